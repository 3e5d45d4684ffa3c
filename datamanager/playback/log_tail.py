"""Following the logs of a session: what was last, then what comes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import NotFound
from datamanager.kinds.log_entries import Entry, LogFilter, live_entries
from datamanager.playback.contents import Contents
from datamanager.playback.live import LiveHub
from datamanager.playback.logs import LogItem, LogReader
from datamanager.playback.plain_json import encode_json, plain, timestamp_s
from datamanager.playback.viewer import LiveMessage
from datamanager.storage.mongo import Document

__all__ = ["LogTail", "TailQuery"]

# What arrived before the viewer watched, and was durable only after the last ones were read, is found by reading again.
_AGAIN_S = (0.5, 1.5, 4.0)
_AGAIN_ENTRIES = 200
_MOST_KNOWN = 10_000
_IS_LOG = b"\xa9data_type\xa3log"  # MessagePack of an envelope's field
_HEAD_BYTES = 512
_DECODER = msgspec.msgpack.Decoder()

Key = tuple[str, int, int | str, int]


@dataclass(frozen=True, slots=True)
class TailQuery:
    """What is followed.

    Attributes:
        streams: which streams; all logs of the session, also those to come, when empty.
        last: how many of the last entries are told first.
    """

    robot_id: str
    session_id: str
    streams: Sequence[str]
    wanted: LogFilter
    last: int


class LogTail:
    """Follows logs."""

    def __init__(self, live: LiveHub, reader: LogReader, contents: Contents, clock: Clock) -> None:
        self._live = live
        self._reader = reader
        self._contents = contents
        self._clock = clock

    async def follow(self, query: TailQuery) -> AsyncIterator[bytes]:
        """JSON messages without end: `{"type": "entry", …}` with the fields of an item of `…/logs` as far as they are known.

        First the last ones, then `{"type": "live"}`, then what comes. `{"type": "dropped", "count"}` tells of messages that
        went because they were not taken in time.
        """
        async with self._live.watch(
            query.robot_id, query.session_id, query.streams, as_json=False, wanted=_is_log
        ) as viewer:
            known: dict[Key, None] = {}
            there = await self._last(query)
            for item, document in there:
                _know(known, _key(item, document))
            for item, _ in there[len(there) - min(len(there), query.last) :]:
                yield _entry(item)
            yield encode_json({"type": "live"})
            again = [self._clock.monotonic_s() + pause_s for pause_s in _AGAIN_S]
            coming = asyncio.ensure_future(viewer.next())
            try:
                while True:
                    wait_s = max(0.0, again[0] - self._clock.monotonic_s()) if again else None
                    done, _ = await asyncio.wait({coming}, timeout=wait_s)
                    if done:
                        message = _DECODER.decode(coming.result())  # type: ignore[arg-type]  # not text, for it isn't asked for
                        coming = asyncio.ensure_future(viewer.next())
                        for told in await self._live_entries(query, message, known):
                            yield told
                        continue
                    again.pop(0)
                    for item, document in await self._last(query):
                        if _know(known, _key(item, document)):
                            yield _entry(item)
            finally:
                coming.cancel()

    async def _last(self, query: TailQuery) -> list[tuple[LogItem, Document]]:
        try:
            streams = await self._reader.streams(query.robot_id, query.session_id, [])
        except NotFound:  # it may begin any moment
            return []
        named = [name for name in streams if not query.streams or name in query.streams]
        return await self._reader.last(
            query.robot_id, query.session_id, named, query.wanted, max(query.last, _AGAIN_ENTRIES)
        )

    async def _live_entries(self, query: TailQuery, message: dict[str, Any], known: dict[Key, None]) -> list[bytes]:
        if message.get("type") == "dropped":
            return [encode_json(message)]
        payload = message["payload"]
        if "record_id" in payload:  # too large to come with the message
            payload = {"data": await self._content(payload["record_id"])}
        place = {
            "type": "entry",
            "t_ns": str(message["t_ns"]),
            "timestamp": timestamp_s(message["t_ns"]),
            "stream": message["stream"],
            "seq": message.get("seq"),
        }
        return [
            encode_json(place | plain(msgspec.to_builtins(entry)))
            for entry in live_entries(payload, query.wanted)
            if _know(known, _live_key(message, entry))
        ]

    async def _content(self, record_id: str) -> bytes:
        _, source = await self._contents.open(record_id, {"log"})
        return await asyncio.to_thread(source.read, 0, source.size)


def _is_log(message: LiveMessage) -> bool:
    return _IS_LOG in message.packed[:_HEAD_BYTES]


def _entry(item: LogItem) -> bytes:
    return encode_json({"type": "entry"} | msgspec.to_builtins(item))


def _key(item: LogItem, document: Document) -> Key:
    """What is told once. The server's own numbers are not in what comes live."""
    return item.stream, document["t_ns"], item.message[:200] if document["auto"] else item.seq, item.line


def _live_key(message: dict[str, Any], entry: Entry) -> Key:
    seq = message.get("seq")
    return message["stream"], message["t_ns"], entry.message[:200] if seq is None else seq, entry.line


def _know(known: dict[Key, None], key: Key) -> bool:
    """Notes what is told; False when it was told already."""
    if key in known:
        return False
    known[key] = None
    while len(known) > _MOST_KNOWN:
        del known[next(iter(known))]
    return True
