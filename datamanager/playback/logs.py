"""Searching the logs of a session."""

from collections.abc import Sequence
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import NotFound, Refused
from datamanager.kinds.log import normalise_level
from datamanager.kinds.log_entries import Entry, LogFilter, Search, find_entries
from datamanager.kinds.source import BytesSource, Source
from datamanager.playback.contents import Contents
from datamanager.playback.pages import DEFAULT_LIMIT
from datamanager.playback.params import decode_cursor, encode_cursor, parse_int, parse_list, parse_range
from datamanager.playback.plain_json import plain, timestamp_s
from datamanager.storage.log_queries import LogQueries
from datamanager.storage.mongo import Document
from datamanager.storage.session_queries import SessionQueries

__all__ = ["LogItem", "LogPage", "LogReader", "parse_filter"]

_BATCH_RECORDS = 500
_BATCH_BYTES = 4 << 20
_HERE_BYTES = 32 * 1024
_MOST_RECORDS = 20_000  # of one call
_MOST_BYTES = 64 << 20
_MOST_S = 1.0
_MOST_TEXT = 1024


class LogItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of a log. `line` is its place in its record; `fields` is what else it says."""

    t_ns: str
    timestamp: float
    stream: str
    record_id: str
    seq: int
    producer: str
    line: int
    level: str | None
    logger: str | None
    message: str
    fields: dict[str, Any] = {}


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, ascending in time; those of one time in a steady order.

    Attributes:
        items: what was found, also fewer than were asked for, or none, where one call does not look any further.
        next_cursor: leads on from there; null when all was looked at.
        scanned_records: how many records were looked into.
        scanned_to_ns: the time of the last one; null when there was none.
    """

    items: list[LogItem]
    next_cursor: str | None
    scanned_records: int
    scanned_to_ns: str | None


def parse_filter(level: str | None, text: str | None, logger: str | None) -> LogFilter:
    """Which entries are asked for.

    Raises:
        Refused: `wrong_type`: there is no such level; `too_large`: the text is too long.
    """
    if level:
        known = normalise_level(level[:32])
        if known is None:
            raise Refused("wrong_type", f"level {level[:32]!r} is none of trace, debug, info, warn, error, fatal")
        level = known
    for name, value in (("text", text), ("logger", logger)):
        if value is not None and len(value) > _MOST_TEXT:
            raise Refused("too_large", f"{name} has {len(value)} characters, {_MOST_TEXT} are allowed")
    return LogFilter(level or None, text or None, logger or None)


class LogReader:
    """Answers `…/logs`, and tells the tail what was last."""

    def __init__(
        self, sessions: SessionQueries, queries: LogQueries, contents: Contents, clock: Clock, *, page_limit: int
    ) -> None:
        self._sessions = sessions
        self._queries = queries
        self._contents = contents
        self._clock = clock
        self._page_limit = page_limit

    async def page(
        self,
        robot_id: str,
        session_id: str,
        wanted: LogFilter,
        *,
        streams: list[str] | None,
        start: str | None,
        end: str | None,
        limit: str | None,
        cursor: str | None,
    ) -> LogPage:
        """A page of entries. One call looks into 20,000 records, 64 MB, or for a second, whichever is over first.

        Raises:
            NotFound: there is no such session.
            Refused: a parameter cannot be read.
        """
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        span, at = parse_range(start, end), decode_cursor(cursor, tuple[int, str, int])
        names = await self.streams(robot_id, session_id, parse_list(streams))
        items: list[LogItem] = []
        scanned = size = 0
        last_ns: int | None = None
        until_s = self._clock.monotonic_s() + _MOST_S
        while True:
            place, first = (None, 0) if at is None else ((at[0], at[1]), at[2])
            batch = await self._queries.ascending(
                robot_id,
                session_id,
                names,
                start_ns=span.start_ns,
                end_ns=span.end_ns,
                place=place,
                limit=_BATCH_RECORDS + 1,
            )
            taken = _bounded(batch[:_BATCH_RECORDS])
            lines = [first if i == 0 and place == (d["t_ns"], d["_id"]) else 0 for i, d in enumerate(taken)]
            search = await self._find(taken, lines, wanted, count - len(items))
            looked = taken[: len(search.found)]
            items += _items(looked, search.found)
            scanned, size = scanned + len(looked), size + sum(d["size_bytes"] for d in looked)
            last_ns = looked[-1]["t_ns"] if looked else last_ns
            at = _next(batch, looked, search)
            is_over = scanned >= _MOST_RECORDS or size >= _MOST_BYTES or self._clock.monotonic_s() > until_s
            if at is None or len(items) >= count or is_over:
                break
        return LogPage(
            items=items,
            next_cursor=None if at is None else encode_cursor(at),
            scanned_records=scanned,
            scanned_to_ns=None if last_ns is None else str(last_ns),
        )

    async def last(
        self, robot_id: str, session_id: str, streams: Sequence[str], wanted: LogFilter, count: int
    ) -> list[tuple[LogItem, Document]]:
        """The last `count` entries, ascending, each with its record; fewer when they are too far back."""
        found: list[tuple[LogItem, Document]] = []
        before: tuple[int, str] | None = None
        scanned = 0
        while streams and len(found) < count and scanned < _MOST_RECORDS:
            batch = await self._queries.descending(robot_id, session_id, streams, before, _BATCH_RECORDS)
            taken = _bounded(batch)
            if not taken:
                break
            taken.reverse()
            search = await self._find(taken, [0] * len(taken), wanted, 10**9)
            some = [
                (item, document)
                for document, entries in zip(taken, search.found, strict=True)
                for item in _items([document], [entries])
            ]
            found = some + found
            before, scanned = (taken[0]["t_ns"], taken[0]["_id"]), scanned + len(taken)
        return found[-count:] if count else []

    async def streams(self, robot_id: str, session_id: str, named: list[str]) -> list[str]:
        """The streams of logs that are named; all of the session when none is.

        Raises:
            NotFound: there is no such session, or stream.
            Refused: `kind_mismatch`: a stream is of another kind.
        """
        kinds = await self._sessions.kinds(robot_id, session_id)
        for name in named:
            if name not in kinds:
                raise NotFound(f"the session has no stream {name[:80]!r}")
            if kinds[name] != "log":
                raise Refused("kind_mismatch", f"stream {name!r} is of kind {kinds[name]}, not log")
        return named or [name for name, kind in kinds.items() if kind == "log"]

    async def _find(self, documents: list[Document], lines: list[int], wanted: LogFilter, limit: int) -> Search:
        records: list[tuple[Source, int]] = [
            (self._contents.source(document), line) for document, line in zip(documents, lines, strict=True)
        ]
        is_small = sum(document["size_bytes"] for document in documents) <= _HERE_BYTES
        if is_small and all(isinstance(source, BytesSource) for source, _ in records):
            return find_entries(records, wanted, limit)
        return await self._contents.call(find_entries, records, wanted, limit)


def _bounded(documents: list[Document]) -> list[Document]:
    """The first of them, as many as one look may hold; one at least."""
    size = 0
    for i, document in enumerate(documents):
        size += document["size_bytes"]
        if size > _BATCH_BYTES and i:
            return documents[:i]
    return documents


def _next(batch: list[Document], looked: list[Document], search: Search) -> tuple[int, str, int] | None:
    """Where the next look begins: in the midst of a record, or with the one after those that were looked into."""
    if search.stopped_at is not None:
        return int(looked[-1]["t_ns"]), looked[-1]["_id"], search.stopped_at
    if len(looked) < len(batch):
        following = batch[len(looked)]
        return int(following["t_ns"]), following["_id"], 0
    return None


def _items(documents: Sequence[Document], found: Sequence[list[Entry]]) -> list[LogItem]:
    return [
        LogItem(
            t_ns=str(document["t_ns"]),
            timestamp=timestamp_s(document["t_ns"]),
            stream=document["stream"],
            record_id=document["_id"],
            seq=int(document["seq"]),
            producer=document["producer"],
            line=entry.line,
            level=entry.level,
            logger=entry.logger,
            message=_text(entry.message),
            fields=plain(entry.fields),
        )
        for document, entries in zip(documents, found, strict=True)
        for entry in entries
    ]


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
