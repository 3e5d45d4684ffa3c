"""The entries of a log record, and those of them that are looked for."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.errors import Refused
from datamanager.kinds.log import LEVELS, normalise_level
from datamanager.kinds.source import Source

__all__ = ["Entry", "LogFilter", "Search", "find_entries", "live_entries"]

_LEVEL_CHARS = 160  # a line says its level near its beginning, or not at all
_WORD = re.compile(r"(?<![A-Za-z0-9_])[A-Z]{4,8}(?![A-Za-z0-9_])")
_WORDS = frozenset("TRACE DEBUG INFO NOTICE WARN WARNING ERROR FATAL CRITICAL".split())
_ANDROID = re.compile(r"([VDIWEF])/")
_OWN = frozenset({"level", "logger", "message", "lines"})


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a log record.

    Attributes:
        line: its place in the record, from 0.
        level: one of trace, debug, info, warn, error, fatal; None where none is known. Of a line of text it is the word for a
            level that stands near its beginning, else that of the record.
        fields: what else an entry says.
    """

    line: int
    level: str | None
    logger: str | None
    message: str
    fields: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries.

    Attributes:
        level: of this level at least; an entry without a level is none.
        text: with this text in their message, in upper or lower case.
        logger: of this logger, or of one below it: `nav` and `nav.planner`.
    """

    level: str | None = None
    text: str | None = None
    logger: str | None = None

    def takes_text(self, message: str) -> bool:
        """Whether a message has the text that is looked for."""
        return self.text is None or self.text.casefold() in message.casefold()

    def takes(self, entry: Entry) -> bool:
        """Whether an entry is looked for."""
        if not self.takes_text(entry.message):
            return False
        if self.logger is not None and not _is_below(entry.logger, self.logger):
            return False
        if self.level is None:
            return True
        return entry.level is not None and LEVELS.index(entry.level) >= LEVELS.index(self.level)


@dataclass(frozen=True, slots=True)
class Search:
    """What was found in some records.

    Attributes:
        found: of each record that was looked into, its entries that are looked for.
        stopped_at: the line of the last of these records at which the next look begins; None when all of it was looked at.
    """

    found: list[list[Entry]]
    stopped_at: int | None


def find_entries(records: Sequence[tuple[Source, int]], wanted: LogFilter, limit: int) -> Search:
    """Looks into records until `limit` entries are found.

    Args:
        records: the content of each, and the line to begin at.
        wanted: which entries.
        limit: how many at most.
    """
    found: list[list[Entry]] = []
    left = limit
    for source, first in records:
        if left <= 0:
            break
        mine: list[Entry] = []
        found.append(mine)
        for entry in _entries(_payload(source.read(0, source.size)), first, wanted):
            if wanted.takes(entry):
                if left <= 0:
                    return Search(found, entry.line)
                mine.append(entry)
                left -= 1
    return Search(found, None)


def live_entries(payload: Mapping[str, Any], wanted: LogFilter) -> list[Entry]:
    """The entries of a message's payload that are looked for; of a payload as a robot sends it."""
    data = payload.get("data")
    if isinstance(data, str):
        data = base64.b64decode(data) if payload.get("encoding") == "base64" else data.encode("utf-8", "replace")
    said = _payload(data) if data is not None else payload
    return [entry for entry in _entries(said, 0, wanted) if wanted.takes(entry)]


def _payload(data: bytes) -> Mapping[str, Any]:
    """What a record holds: an entry or entries in JSON, or lines of text."""
    text = data.decode("utf-8-sig", "replace")
    if text.startswith("{") and "\n" not in text:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and ("message" in value or "lines" in value):
            return value
    return {"lines": text.splitlines()}


def _entries(payload: Mapping[str, Any], first: int, wanted: LogFilter) -> Iterator[Entry]:
    """The entries from a line on; of lines of text only those with the text that is wanted."""
    level, logger, lines = _level(payload), payload.get("logger"), payload.get("lines")
    if lines is None:
        if first == 0:
            yield _entry(0, payload, level, logger)
        return
    for number in range(first, len(lines)):
        line = lines[number]
        if isinstance(line, Mapping):
            yield _entry(number, line, _level(line) or level, line.get("logger") or logger)
        elif wanted.takes_text(line):
            yield Entry(line=number, level=_level_in(line) or level, logger=logger, message=line)


def _entry(number: int, said: Mapping[str, Any], level: str | None, logger: str | None) -> Entry:
    fields = {str(name): value for name, value in said.items() if name not in _OWN}
    return Entry(line=number, level=level, logger=logger, message=said["message"], fields=fields)


def _level(said: Mapping[str, Any]) -> str | None:
    try:
        return normalise_level(said.get("level"))
    except Refused:
        return None


def _level_in(line: str) -> str | None:
    match = _ANDROID.match(line)
    if match is not None:
        return normalise_level(match[1])
    for word in _WORD.findall(line, 0, _LEVEL_CHARS):
        if word in _WORDS:
            return normalise_level(word)
    return None


def _is_below(logger: str | None, name: str) -> bool:
    return logger is not None and (logger == name or logger.startswith((f"{name}.", f"{name}/")))
