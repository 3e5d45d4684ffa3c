"""The title and headings of Markdown, found line by line, in time that grows with the text and with nothing else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Outline", "outline_of"]

_MOST_HEADINGS = 100
_MOST_CHARS = 200
_LOOKED_AT = 512 * 1024  # characters; a line takes two microseconds, and a bomb has one a character
_LINE = re.compile(r"[^\n\r]*(?:\r\n|\n|\r|\Z)")
# CommonMark 0.31, 4.2, 4.3 and 4.5: at most three spaces before, else it is code.
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_ATX_END = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_NO_PARAGRAPH = re.compile(r"[ ]{0,3}(?:>|[-+*][ \t]|\d{1,9}[.)][ \t]|<)|[ ]{4}|\t|\s*$")
_BREAK = re.compile(r"[ \t]*([-*])(?:[ \t]*\1)+[ \t]*$")
_NESTING = re.compile(r"[ \t]*(?:>|[-+*](?=[ \t])|\d{1,9}[.)](?=[ \t]))")


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a Markdown text.

    Attributes:
        too_deep_at: the character where a line begins that nests too deep; None when there is none.
    """

    title: str | None
    headings: list[dict[str, Any]]
    heading_count: int
    lines: int
    too_deep_at: int | None

    @property
    def metadata(self) -> dict[str, Any]:
        """The same as a map, for the record's metadata."""
        return {
            "title": self.title,
            "headings": self.headings,
            "heading_count": self.heading_count,
            "lines": self.lines,
        }


def outline_of(text: str, max_depth: int) -> Outline:
    """The outline: headings that stand by themselves, not those inside quotes, lists or code.

    The title is the first heading of the first level, else the first heading. Of a very long text the beginning counts.
    """
    headings: list[dict[str, Any]] = []
    count = 0
    too_deep_at: int | None = None
    title: str | None = None
    for line in _lines(text[:_LOOKED_AT]):
        if line.heading is not None:
            count += 1
            level, words = line.heading
            if title is None and level == 1:
                title = words
            if len(headings) < _MOST_HEADINGS:
                headings.append({"level": level, "text": words})
        elif too_deep_at is None and _depth(line.text, max_depth) > max_depth:
            too_deep_at = line.at
    if title is None and headings:
        title = headings[0]["text"]
    lines = max(text.count("\n"), text.count("\r")) + (not text.endswith(("\n", "\r")))
    return Outline(title, headings, count, lines, too_deep_at)


@dataclass(slots=True)
class _Line:
    """One line outside of fenced code, and the heading that ends with it: level and text."""

    at: int
    text: str
    heading: tuple[int, str] | None = None


def _lines(text: str) -> Iterator[_Line]:
    fence = ""
    before = ""  # a line of a paragraph, which an underline would make a heading
    at = 0
    while at < len(text):
        match = _LINE.match(text, at)
        end = match.end() if match else len(text)
        line = _Line(at, text[at:end].rstrip("\r\n"))
        at = end
        opens = _FENCE.match(line.text)
        if fence:
            if opens and opens[1].startswith(fence) and not line.text.strip(" \t" + fence[0]):
                fence = ""
            line.text = before = ""
        elif opens:
            fence, before = opens[1], ""
        else:
            line.heading = _heading(line.text, before)
            before = "" if line.heading or _NO_PARAGRAPH.match(line.text) else line.text
        yield line


def _heading(line: str, before: str) -> tuple[int, str] | None:
    atx = _ATX.match(line)
    if atx is not None:
        return len(atx[1]), _cut(_ATX_END.sub("", (atx[2] or "").rstrip()[: 10 * _MOST_CHARS]))
    underline = _SETEXT.match(line) if before else None
    if underline is None:
        return None
    return (1 if underline[1][0] == "=" else 2), _cut(before)


def _cut(words: str) -> str:
    words = words.strip()
    return words if len(words) <= _MOST_CHARS else words[: _MOST_CHARS - 1] + "…"


def _depth(line: str, most: int) -> int:
    """How many quotes and lists a line is in, counted to one more than `most`."""
    if _BREAK.match(line):  # `- - -` is a rule, and no list in a list in a list
        return 0
    depth = at = 0
    while depth <= most and (match := _NESTING.match(line, at)):
        depth, at = depth + 1, match.end()
    return depth
