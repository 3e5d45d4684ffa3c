"""Writes blocks of samples straight into MongoDB, as ingest does, but as doubled, late and odd as a test likes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datamanager.ingest.builder import BlockBuilder
from datamanager.kinds.time_series.columns import Columns
from datamanager.kinds.time_series.types import column_from_values, widen
from datamanager.playback.scan import Scan, load_layout
from datamanager.storage.blocks import Block
from datamanager.storage.mongo import Mongo
from datamanager.storage.ranges import RangeSet
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

__all__ = ["Message", "StreamOfBlocks", "block_of"]

_SESSIONS = itertools.count()


@dataclass(frozen=True)
class Message:
    """One message: its number, its samples' times, and its channels' values."""

    seq: int
    t_ns: Sequence[int]
    channels: dict[str, Sequence[Any]]


def block_of(messages: Sequence[Message], place: tuple[str, str, str], **more: Any) -> Block:
    """A block of these messages; `more` are fields of it."""
    builder = BlockBuilder()
    for message in messages:
        names = tuple(sorted(message.channels))
        arrays = [column_from_values(message.channels[name], from_json=False) for name in names]
        columns = Columns(np.array(message.t_ns, np.int64), names, None, arrays)
        builder.add_columns(message.seq, columns, min(message.t_ns), max(message.t_ns))
    built = builder.build()
    seqs = list(RangeSet([(m.seq, m.seq) for m in messages]))
    fields: dict[str, Any] = {
        "robot_id": place[0],
        "session_id": place[1],
        "stream": place[2],
        "producer": "p",
        "seqs": seqs,
        "prevs": [None] * len(seqs),
        "auto": False,
        "messages": len(messages),
        "size_bytes": 1,
        "generation": 1,
    }
    copied = "t_ns t_end_ns n schema schema_ipc channel_types data statistics".split()
    return Block(**{name: getattr(built, name) for name in copied}, **fields | more)


@dataclass
class StreamOfBlocks:
    """A stream in a session of its own."""

    mongo: Mongo
    place: tuple[str, str, str] = field(default_factory=lambda: ("r", f"s{next(_SESSIONS)}", "x"))

    async def write(self, *blocks: Block) -> None:
        """Writes blocks with their statistics, and describes them in the stream's document."""
        await Streams(self.mongo).ensure(*self.place, "time_series", 1)
        stream = await Streams(self.mongo).get(*self.place)
        assert stream is not None
        schemas = {s["hash"]: s["ipc"] for s in stream["schemas"]} | {b.schema: b.schema_ipc for b in blocks}
        types = {c["name"]: c["type"] for c in stream["channels"]}
        for block in blocks:
            types |= {name: widen(types.get(name, "null"), kind) for name, kind in block.channel_types.items()}
        changes = {
            "schemas": [{"hash": name, "ipc": ipc} for name, ipc in schemas.items()],
            "channels": [{"name": name, "type": types[name]} for name in sorted(types)],
            "max_span_ns": max(stream["max_span_ns"], *(b.t_end_ns - b.t_ns for b in blocks)),
        }
        assert await Streams(self.mongo).replace(stream, changes)
        await Telemetry(self.mongo).insert(blocks)
        await Telemetry(self.mongo).insert_statistics(blocks)

    async def scan(self, start_ns: int, end_ns: int, channels: Sequence[str] = ()) -> Scan:
        """A range of it."""
        layout = await load_layout(Streams(self.mongo), *self.place)
        return Scan(Telemetry(self.mongo), layout, start_ns, end_ns, layout.select(channels))

    async def rows(self, start_ns: int = 0, end_ns: int = 2**63) -> list[dict[str, Any]]:
        """The samples of a range, as they are read."""
        scan = await self.scan(start_ns, end_ns)
        found: list[dict[str, Any]] = []
        async for table in scan.tables(await scan.index()):
            assert table.schema == scan.schema
            found += table.to_pylist()
        return found
