"""A session as this process knows it: its streams' kinds and schemas, and what it spans."""

import asyncio
from typing import Any

import pyarrow as pa

from datamanager.clock import Clock
from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.floors import Floor
from datamanager.kinds.time_series.types import widen
from datamanager.storage.blocks import Block
from datamanager.storage.mongo import Document
from datamanager.storage.sessions import Streams

__all__ = ["SessionState"]

_MAX_NS = 2**63 - 1
_MANY_SCHEMAS = 16
_MANY_SCHEMA_BYTES = 1_000_000
_MAX_SCHEMA_BYTES = 10_000_000  # of a stream's document, which may have 16 MB
_MAX_DATA_BYTES = 12_000_000  # more than any block has whose numbers stay numbers
_BASE_SPAN_NS = 2_000_000_000  # readers always look this far before a range for blocks that reach into it


class SessionState:
    """The parts of a session that all its producers share.

    Attributes:
        kinds: stream name to its one kind.
        floor: below which generation this process writes into it no more.
    """

    def __init__(
        self,
        document: Document,
        streams: list[Document],
        store: Streams,
        config: IngestConfig,
        clock: Clock,
        floor: Floor,
    ) -> None:
        self.id: str = document["_id"]
        self.robot_id: str = document["robot_id"]
        self.session_id: str = document["session_id"]
        self.clock = clock
        self.floor = floor
        self.kinds: dict[str, str] = {s["stream"]: s["kind"] for s in streams}
        self.ended = False
        self.users = 0
        self.used_s = clock.monotonic_s()
        self._streams = {s["stream"]: s for s in streams}
        self._store = store
        self._config = config
        self._first_ns: int | None = document["first_t_ns"]
        self._last_ns: int | None = document["last_t_ns"]
        self._ahead = "clock_ahead" in document["flags"]
        self._kept: tuple[int | None, int | None, bool] = (self._first_ns, self._last_ns, self._ahead)
        self._describing = asyncio.Lock()

    async def ensure_stream(self, name: str, kind: str) -> None:
        """Makes a stream on its first message.

        Raises:
            Refused: `kind_mismatch` when it has another kind, `too_large` when the session has too many streams.
            MongoUnavailable: MongoDB does not answer.
        """
        if name not in self.kinds:
            if len(self.kinds) >= self._config.max_streams:
                raise Refused("too_large", f"the session has {self._config.max_streams} streams, which is the limit")
            stream = await self._store.ensure(self.robot_id, self.session_id, name, kind, self.clock.now_ns())
            self._streams[name] = stream
            self.kinds[name] = stream["kind"]
        self.check_kind(name, kind)

    def check_kind(self, name: str, kind: str) -> None:
        """Raises `Refused` (`kind_mismatch`) when the stream has another kind."""
        if self.kinds[name] != kind:
            raise Refused("kind_mismatch", f"stream {name!r} is of kind {self.kinds[name]}, the message of kind {kind}")

    def schema(self, stream: str, name: str) -> pa.Schema:
        """The Arrow schema that a stream keeps under a hash."""
        ipc = next(s["ipc"] for s in self._streams[stream]["schemas"] if s["hash"] == name)
        return pa.ipc.read_schema(pa.py_buffer(ipc))

    def channels(self, stream: str) -> list[str]:
        """The channels that a stream is known to have."""
        found = self._streams.get(stream)
        return [] if found is None else [channel["name"] for channel in found["channels"]]

    def layout(self, stream: str) -> dict[str, str] | None:
        """Channel to type, of a stream that has had so many schemas that its blocks are better alike; else None."""
        found = self._streams[stream]
        if len(found["schemas"]) < _MANY_SCHEMAS and _schema_bytes(found) < _MANY_SCHEMA_BYTES:
            return None
        return {channel["name"]: channel["type"] for channel in found["channels"]}

    def widen(self, first_ns: int, last_ns: int) -> None:
        """Notes that data of these times became durable."""
        self._first_ns = first_ns if self._first_ns is None else min(first_ns, self._first_ns)
        self._last_ns = last_ns if self._last_ns is None else max(last_ns, self._last_ns)
        if self._last_ns > self.clock.now_ns() + self._config.clock_ahead_s * 1e9:
            self._ahead = True

    def span(self) -> tuple[str, int, int, bool] | None:
        """The session's span when it is wider than what is known to be in the database."""
        if (
            self._first_ns is None
            or self._last_ns is None
            or (self._first_ns, self._last_ns, self._ahead) == self._kept
        ):
            return None
        return (self.id, self._first_ns, self._last_ns, self._ahead)

    def span_kept(self, span: tuple[str, int, int, bool]) -> None:
        """The span is in the database."""
        self._kept = span[1:]

    async def refresh(self) -> None:
        """Reads the streams again, which another process may have added to."""
        for stream in await self._store.all_of(self.robot_id, self.session_id):
            known = self._streams.get(stream["stream"])
            if known is None or known["version"] <= stream["version"]:
                self._streams[stream["stream"]] = stream
                self.kinds[stream["stream"]] = stream["kind"]

    async def describe(self, block: Block) -> None:
        """Makes a block's schema, channels and reach durable in its stream's document, when they are new to it.

        Raises:
            Refused: `too_large`: the block, or the stream's document with it, is more than MongoDB can keep.
            MongoUnavailable: MongoDB does not answer.
        """
        if len(block.data) > _MAX_DATA_BYTES:
            raise Refused("too_large", f"a block of {len(block.data)} bytes; at most {_MAX_DATA_BYTES} can be kept")
        async with self._describing:
            while (changes := self._changes(self._streams[block.stream], block)) is not None:
                stream = self._streams[block.stream]
                if await self._store.replace(stream, changes):
                    self._streams[block.stream] = {**stream, **changes, "version": stream["version"] + 1}
                    return
                again = await self._store.get(self.robot_id, self.session_id, block.stream)
                self._streams[block.stream] = again or await self._store.ensure(
                    self.robot_id, self.session_id, block.stream, self.kinds[block.stream], self.clock.now_ns()
                )

    def _changes(self, stream: Document, block: Block) -> dict[str, Any] | None:
        changes: dict[str, Any] = {}
        if all(s["hash"] != block.schema for s in stream["schemas"]):
            if _schema_bytes(stream) + len(block.schema_ipc) > _MAX_SCHEMA_BYTES:
                raise Refused("too_large", f"the samples of stream {block.stream!r} have too many different channels")
            changes["schemas"] = [*stream["schemas"], {"hash": block.schema, "ipc": block.schema_ipc}]
        types = {c["name"]: c["type"] for c in stream["channels"]}
        joined = types | {n: widen(types.get(n, "null"), t) for n, t in block.channel_types.items()}
        if joined != types:
            changes["channels"] = [{"name": n, "type": joined[n]} for n in sorted(joined)]
        span_ns = block.t_end_ns - block.t_ns
        if span_ns > max(stream["max_span_ns"], _BASE_SPAN_NS):
            changes["max_span_ns"] = min(1 << span_ns.bit_length(), _MAX_NS)
        if block.extra and (metadata := stream["metadata"] | block.extra) != stream["metadata"]:
            changes["metadata"] = metadata
        return changes or None


def _schema_bytes(stream: Document) -> int:
    return sum(len(schema["ipc"]) for schema in stream["schemas"])
