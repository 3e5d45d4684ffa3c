"""The productions of YAML's scalars, with what they come to (yaml.org/spec/1.2.2, chapters 5.7, 7.3 and 8.1)."""

import re

from datamanager.kinds.documents.yaml_lexer import Lexer

__all__ = ["Texts"]

_BREAK = re.compile(r"\r\n|\r|\n")
_WHITE = re.compile(r"[ \t]+")
_SPACES = re.compile(r" *")
_COMMENT = re.compile(r"#[^\r\n]*")
_FORBIDDEN = re.compile(r"(?:---|\.\.\.)(?=[ \t\r\n]|\Z)")
_HEADER = re.compile(r"([|>])(?:([1-9])([-+]?)|([-+])([1-9]?))?")
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0abt\tnvfre \"/\\N_LP])|(\r\n|\r|\n))"
)
_ESCAPED = dict(zip('0abt\tnvfre "/\\N_LP', '\0\a\b\t\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029', strict=True))
_INDICATORS = frozenset("-?:,[]{}#&*!|>'\"%@`")
_FLOW_INDICATORS = frozenset(",[]{}")
_SPACE = frozenset(" \t\r\n\ufeff")
_IN_FLOW = frozenset({"flow-in", "flow-key"})
_KEYS = frozenset({"block-key", "flow-key"})
_MAX_CODE = 0x10FFFF


class Texts(Lexer):
    """Plain, quoted and block scalars."""

    def is_plain_safe_next(self, c: str) -> bool:
        char = self.text[self.at : self.at + 1]
        return bool(char) and char not in _SPACE and not (c in _IN_FLOW and char in _FLOW_INDICATORS)

    def plain(self, n: int, c: str) -> bool:
        def match() -> bool:
            char = self.text[self.at : self.at + 1]
            if not char or char in _SPACE or self.is_forbidden():
                return False
            if char in _INDICATORS:
                self.at += 1
                if char not in "?:-" or not self.is_plain_safe_next(c):
                    return False
                self.at -= 1
            start = self.at
            self.at += 1
            self._plain_line(c)
            found = self.text[start : self.at]
            while c not in _KEYS:
                folded = self._plain_next_line(n, c)
                if folded is None:
                    break
                found += folded
            return self.scalar(found, is_plain=True)

        return self.tried(match)

    def _plain_line(self, c: str) -> None:
        """Production 132: to the last character that belongs to it."""
        at = self.at
        while at < len(self.text):
            char = self.text[at]
            if char in " \t":
                at += 1
                continue
            if char in "\r\n\ufeff" or (c in _IN_FLOW and char in _FLOW_INDICATORS):
                break
            if char == "#" and self.text[at - 1] in " \t":
                break
            if char == ":":
                self.at, before = at + 1, self.at
                is_safe = self.is_plain_safe_next(c)
                self.at = before
                if not is_safe:
                    break
            at += 1
            self.at = at

    def _plain_next_line(self, n: int, c: str) -> str | None:
        before = self.at
        folded = self._flow_folded(n)
        char = self.text[self.at : self.at + 1]
        start = self.at
        if folded is not None and char and char != "#":
            self._plain_line(c)
        if folded is None or self.at == start:
            self.at = before
            return None
        return folded + self.text[start : self.at]

    def _flow_folded(self, n: int) -> str | None:
        """Production 74: the end of a line and the empty ones behind it, as they fold."""
        self.regex(_WHITE)
        if self.regex(_BREAK) is None:
            return None
        empty = 0
        while self.tried(self._empty_line):
            empty += 1
        return ("\n" * empty or " ") if self.flow_line_prefix(n) else None

    def _empty_line(self) -> bool:
        self.regex(_WHITE)
        return self.regex(_BREAK) is not None

    def quoted(self, n: int, *, is_one_line: bool) -> bool:
        if not self.text.startswith(('"', "'"), self.at):
            return False
        return self.tried(lambda: self._quoted(n, self.text[self.at], is_one_line=is_one_line))

    def _quoted(self, n: int, quote: str, *, is_one_line: bool) -> bool:
        self.at += 1
        found: list[str] = []
        kept = 0  # so many of the parts are not folded away: an escape's white space is content
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == quote:
                self.at += 1
                if quote == "'" and self.word("'"):
                    found.append("'")
                    continue
                return self.scalar("".join(found), is_plain=False)
            if char in "\r\n":
                while len(found) > kept and found[-1] in (" ", "\t"):
                    found.pop()
                folded = None if is_one_line else self._flow_folded(n)
                if folded is None:
                    return False
                found.append(folded)
                kept = len(found)
            elif char == "\\" and quote == '"':
                text = self._escape(n, is_one_line=is_one_line)
                if text is None:
                    return False
                found.append(text)
                kept = len(found)
            else:
                found.append(char)
                self.at += 1
        return False

    def _escape(self, n: int, *, is_one_line: bool) -> str | None:
        match = self.regex(_ESCAPE)
        if match is None:
            return None
        if match[4] is not None:
            return _ESCAPED[match[4]]
        if match[5] is None:
            code = int(match[1] or match[2] or match[3], 16)
            return chr(code) if code <= _MAX_CODE else None
        empty = 0
        while not is_one_line and self.tried(self._empty_line):
            empty += 1
        return "\n" * empty if not is_one_line and self.flow_line_prefix(n) else None

    def block_text(self, n: int) -> bool:
        """Productions 162 to 182: a literal or folded scalar."""
        header = self.regex(_HEADER)
        if header is None or not self._header_ends():
            return False
        chomp = header[3] or header[4] or ""
        digit = header[2] or header[5]
        wide = max(n, 0) + int(digit) if digit and n >= 0 else int(digit) if digit else self._detected_indent(n)
        if wide is None:
            return False
        lines = self._block_lines(wide)
        return self.scalar(_chomped(lines, chomp, is_folded=header[1] == ">"), is_plain=False) and self._trailing(wide)

    def _header_ends(self) -> bool:
        white = self.regex(_WHITE)
        if white:
            self.regex(_COMMENT)
        return self.regex(_BREAK) is not None or self.at == len(self.text)

    def _detected_indent(self, n: int) -> int | None:
        """The indent of the first line that is not empty; None where an empty one before it is wider."""
        at, widest = self.at, 0
        while at < len(self.text):
            spaces = _SPACES.match(self.text, at)
            wide = len(spaces[0]) if spaces else 0
            end = at + wide
            line_end = _BREAK.search(self.text, end)
            if end < len(self.text) and self.text[end] not in "\r\n":
                is_end = wide <= n or (wide == 0 and _FORBIDDEN.match(self.text, at) is not None)
                if is_end:
                    break
                return wide if widest <= wide else None
            widest = max(widest, wide)
            if line_end is None:
                break
            at = line_end.end()
        return max(n + 1, widest)

    def _block_lines(self, wide: int) -> list[str]:
        """The lines of the scalar without their indent; empty ones at the end included."""
        lines: list[str] = []
        while self.at < len(self.text):
            if self.is_forbidden() and wide == 0:
                break
            spaces = min(self.spaces_here(), wide)
            end = _BREAK.search(self.text, self.at)
            stop = end.start() if end else len(self.text)
            content = self.text[self.at + spaces : stop]
            if spaces < wide and content:
                break
            lines.append(content)
            self.at = end.end() if end else stop
        return lines

    def _trailing(self, wide: int) -> bool:
        """Production 169: comments behind a scalar; the first is indented less than it."""
        wide_here = self.spaces_here()
        if wide_here < max(wide, 1) and self.text.startswith("#", self.at + wide_here):
            while self.comment_line():
                pass
        return True


def _chomped(lines: list[str], chomp: str, *, is_folded: bool) -> str:
    content = list(lines)
    while content and not content[-1]:
        content.pop()
    empty = len(lines) - len(content)
    text = _folded(content) if is_folded else "\n".join(content)
    if chomp == "-" or (not content and chomp != "+"):
        return text
    return text + ("\n" if content else "") + ("\n" * empty if chomp == "+" else "")


def _folded(lines: list[str]) -> str:
    """Production 175 and what it is made of: single ends of lines become spaces, but beside lines that begin with space."""
    text, empty, previous = "", 0, ""
    for number, line in enumerate(lines):
        if not line:
            empty += 1
            continue
        if number and (previous or empty):
            is_more = line[0] in " \t" or previous[:1] in (" ", "\t")
            first = number == empty
            text += "\n" * empty if first else "\n" * (empty + 1) if is_more else "\n" * empty or " "
        text += line
        empty, previous = 0, line
    return text
