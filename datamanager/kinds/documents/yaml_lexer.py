"""The productions of YAML's characters, lines, comments and properties (yaml.org/spec/1.2.2, chapters 5 and 6)."""

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import unquote

import yaml

__all__ = ["Lexer"]

_BREAK = re.compile(r"\r\n|\r|\n")
_WHITE = re.compile(r"[ \t]+")
_SPACES = re.compile(r" *")
_COMMENT = re.compile(r"#[^\r\n]*")
_FORBIDDEN = re.compile(r"(?:---|\.\.\.)(?=[ \t\r\n]|\Z)")
_NAME = re.compile(r"[^\s,\[\]{}\ufeff]+")
_TAG_CHARS = re.compile(r"(?:[\w\-#;/?:@&=+$.~*'()]|%[0-9A-Fa-f]{2})+", re.ASCII)
_VERBATIM = re.compile(r"!<((?:[\w\-#;/?:@&=+$,.!~*'()\[\]]|%[0-9A-Fa-f]{2})+)>", re.ASCII)
_HANDLE = re.compile(r"!(?:[\w-]*!)?", re.ASCII)
_YAML_DIRECTIVE = re.compile(r"%YAML[ \t]+[0-9]+\.[0-9]+")
_TAG_DIRECTIVE = re.compile(r"%TAG[ \t]+(!(?:[\w-]*!)?)[ \t]+([^\s,\[\]{}]\S*)", re.ASCII)
_DIRECTIVE = re.compile(r"%(?!YAML[ \t]|TAG[ \t])\S+(?:[ \t]+[^\s#]\S*)*")


class Lexer:
    """Where a parser is in a text, and the events that it has left."""

    DEFAULT_HANDLES: ClassVar[Mapping[str, str]] = {"!": "!", "!!": "tag:yaml.org,2002:"}

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = self.furthest = 0
        self.events: list[Any] = []
        self.begin_directives()
        self._anchor: str | None = None
        self._tag: str | None = None

    def begin_directives(self) -> None:
        """Forgets what the directives of the last document said."""
        self.handles = dict(self.DEFAULT_HANDLES)
        self._has_version = False

    def tried(self, match: Callable[[], bool]) -> bool:
        """Whether it matches; nothing is left of it when it does not."""
        before = (self.at, len(self.events), self._anchor, self._tag)
        if match():
            return True
        self.furthest = max(self.furthest, self.at)
        self.at, count, self._anchor, self._tag = before
        del self.events[count:]
        return False

    def word(self, word: str) -> bool:
        if not self.text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True

    def regex(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()
        return match

    # Events. A node's properties wait for it.

    def begin(self, kind: str) -> bool:
        start = yaml.MappingStartEvent if kind == "mapping" else yaml.SequenceStartEvent
        self.events.append(start(self._anchor, self._tag, self._tag is None))
        self._anchor = self._tag = None
        return True

    def end(self, kind: str) -> bool:
        self.events.append(yaml.MappingEndEvent() if kind == "mapping" else yaml.SequenceEndEvent())
        return True

    def scalar(self, text: str, *, is_plain: bool) -> bool:
        implicit = (is_plain and self._tag is None, not is_plain and self._tag is None)
        self.events.append(yaml.ScalarEvent(self._anchor, self._tag, implicit, text))
        self._anchor = self._tag = None
        return True

    def empty(self) -> bool:
        return self.scalar("", is_plain=True)

    def begin_document(self, *, explicit: bool) -> None:
        self.events.append(yaml.DocumentStartEvent(explicit=explicit))

    def end_document(self) -> bool:
        self.events.append(yaml.DocumentEndEvent())
        return True

    # Lines and comments: chapter 6.

    def spaces_here(self) -> int:
        match = _SPACES.match(self.text, self.at)
        return len(match[0]) if match else 0

    def indent_here(self) -> int:
        """The indent of the line, at whose beginning we are; -1 where none begins, or the document ends."""
        is_start = self.at == 0 or self.text[self.at - 1] in "\r\n"
        return self.spaces_here() if is_start and not self.is_forbidden() else -1

    def indent(self, n: int) -> bool:
        return self.word(" " * n) and not (n == 0 and self.is_forbidden())

    def separate_in_line(self) -> bool:
        return self.regex(_WHITE) is not None or self.at == 0 or self.text[self.at - 1] in "\r\n"

    def flow_line_prefix(self, n: int) -> bool:
        if self.is_forbidden() or not self.word(" " * n):
            return False
        self.regex(_WHITE)
        return True

    def comment_line(self) -> bool:
        """Production 78."""

        def match() -> bool:
            self.regex(_WHITE)
            self.regex(_COMMENT)
            return self.regex(_BREAK) is not None or self.at == len(self.text)

        is_start = self.at == 0 or self.text[self.at - 1] in "\r\n"
        return is_start and self.at < len(self.text) and self.tried(match)

    def comments(self) -> bool:
        """Production 79."""

        def rest_of_line() -> bool:
            if self.separate_in_line():
                self.regex(_COMMENT)
            return self.regex(_BREAK) is not None or self.at == len(self.text)

        is_start = self.at == 0 or self.text[self.at - 1] in "\r\n"
        if not self.tried(rest_of_line) and not is_start:
            return False
        while self.comment_line():
            pass
        return True

    def directive(self) -> bool:
        def match() -> bool:
            tag = self.regex(_TAG_DIRECTIVE)
            if tag:
                self.handles[tag[1]] = tag[2]
            elif self.regex(_YAML_DIRECTIVE):
                if self._has_version:
                    return False
                self._has_version = True
            elif not self.regex(_DIRECTIVE):
                return False
            return self.comments()

        return self.tried(match)

    # Properties and aliases.

    def anchor_property(self) -> bool:
        name = self.text.startswith("&", self.at) and _NAME.match(self.text, self.at + 1)
        if not name:
            return False
        self.at, self._anchor = name.end(), name[0]
        return True

    def tag_property(self) -> bool:
        verbatim = self.regex(_VERBATIM)
        if verbatim:
            self._tag = unquote(verbatim[1])
            return True
        start = self.at
        handle = self.regex(_HANDLE)
        if handle is None:
            return False
        suffix = self.regex(_TAG_CHARS)
        if handle[0] not in self.handles or (suffix is None and handle[0] != "!"):
            self.at = start
            return False
        self._tag = "!" if suffix is None else self.handles[handle[0]] + unquote(suffix[0])
        return True

    def alias(self) -> bool:
        name = self.text.startswith("*", self.at) and _NAME.match(self.text, self.at + 1)
        if not name:
            return False
        self.at = name.end()
        self.events.append(yaml.AliasEvent(name[0]))
        return True

    def is_forbidden(self) -> bool:
        is_start = self.at == 0 or self.text[self.at - 1] in "\r\n"
        return is_start and _FORBIDDEN.match(self.text, self.at) is not None
