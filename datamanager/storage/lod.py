"""Rollups of block statistics, in the ordinary collection `lod`: what an overview of a day is drawn from.

A cell is what the blocks that begin in one aligned window amount to; a level has windows of one length; a chunk is a
document with up to 60 cells of one stream and level. A chunk whose `upto` is G holds exactly the blocks of
generations below G that begin in it. The stream's document says in `lod.upto` up to which generation all of its chunks
are complete. A chunk may be ahead of that (a rollup is under way, or died), never behind.

    _id       robot/session/stream/level in s/number        level, t_ns   window length, beginning of the first window
    upto      generation                                    channels      names, of those with numbers
    times     int64 [cells, 4]: number of the window, counted from 1970, t_ns, t_end_ns, count
    values    float64 [cells, 6, channels] as in `Cells`
    seqs      [{producer, ranges: int64 [n, 2]}]: the numbers in it, but for those that the server gave
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamanager.storage.cells import Cells
from datamanager.storage.mongo import BulkFailure, Document, InsertOne, Mongo, ReplaceOne, UpdateOne, translated
from datamanager.storage.ranges import RangeSet
from datamanager.storage.statistics import FIELDS

__all__ = ["CHUNK_CELLS", "LEVELS_NS", "MAX_CHANNELS", "Chunk", "Lod", "LodState"]

_SECOND_NS = 1_000_000_000
LEVELS_NS = (_SECOND_NS, 10 * _SECOND_NS, 60 * _SECOND_NS, 600 * _SECOND_NS)
"""The lengths of windows, ascending."""
CHUNK_CELLS = 60
_TIMES_BYTES = 4 * 8
MAX_CHANNELS = 4000
"""Streams with more have no rollups: a chunk of 60 cells would come near the 16 MB of a document."""


@dataclass(frozen=True, slots=True)
class LodState:
    """What a stream's document says of its rollups.

    Attributes:
        upto: all chunks are complete up to this generation; 0 when there are none.
        first_ns, last_ns: times of the first and last sample in them; None when there are none.
    """

    upto: int = 0
    first_ns: int | None = None
    last_ns: int | None = None

    @classmethod
    def of(cls, stream: Document) -> "LodState":
        """From a stream's document."""
        state = stream.get("lod") or {}
        return cls(state.get("upto", 0), state.get("first_ns"), state.get("last_ns"))


@dataclass(slots=True, kw_only=True)
class Chunk:
    """A chunk as it is worked with; fields as in its document.

    Attributes:
        cells: ascending by window.
        windows: int64 [cells], the number of each cell's window, counted from 1970.
        seqs: producer to numbers.
    """

    level_ns: int
    number: int
    upto: int
    channels: list[str]
    cells: Cells
    windows: Any
    seqs: dict[str, RangeSet]

    @classmethod
    def of(cls, document: Document) -> "Chunk":
        """From its document; the cells' values are not copied."""
        times = np.frombuffer(document["times"], np.int64).reshape(-1, 4)
        packed = document.get("values", b"")
        channels = document["channels"] if packed else []
        shape = (len(times), len(FIELDS), len(channels))
        values = np.frombuffer(packed, np.float64).reshape(shape) if packed else np.empty(shape)
        cells = Cells(times[:, 1], times[:, 2], times[:, 3], values)
        level_ns = document["level"]
        return cls(
            level_ns=level_ns,
            number=document["t_ns"] // (level_ns * CHUNK_CELLS),
            upto=document["upto"],
            channels=channels,
            cells=cells,
            windows=times[:, 0],
            seqs={s["producer"]: _ranges(s["ranges"]) for s in document["seqs"]},
        )

    def document(self, robot_id: str, session_id: str, stream: str) -> Document:
        """As it is kept."""
        cells = self.cells
        times = np.column_stack([self.windows, cells.t_ns, cells.t_end_ns, cells.count]).astype(np.int64)
        return {
            "_id": _chunk_id(robot_id, session_id, stream, self.level_ns, self.number),
            "robot_id": robot_id,
            "session_id": session_id,
            "stream": stream,
            "level": self.level_ns,
            "t_ns": self.number * self.level_ns * CHUNK_CELLS,
            "upto": self.upto,
            "channels": self.channels,
            "times": times.tobytes(),
            "values": np.ascontiguousarray(cells.values).tobytes(),
            "seqs": [{"producer": name, "ranges": _packed(ranges)} for name, ranges in sorted(self.seqs.items())],
        }


def _ranges(packed: bytes) -> RangeSet:
    return RangeSet(np.frombuffer(packed, np.int64).reshape(-1, 2).tolist())


def _packed(ranges: RangeSet) -> bytes:
    return np.array(list(ranges), np.int64).tobytes()


def _span(place: tuple[str, str, str], level_ns: int, start_ns: int, end_ns: int) -> Document:
    width_ns = level_ns * CHUNK_CELLS
    return {
        "robot_id": place[0],
        "session_id": place[1],
        "stream": place[2],
        "level": level_ns,
        "t_ns": {"$gte": max(start_ns, 0) // width_ns * width_ns, "$lte": end_ns - 1},  # no time is below 0
    }


def _chunk_id(robot_id: str, session_id: str, stream: str, level_ns: int, number: int) -> str:
    return f"{robot_id}/{session_id}/{stream}/{level_ns // _SECOND_NS}/{number}"


class Lod:
    """The collection `lod`, and `lod` in `streams`. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._chunks = mongo.durable("lod")
        self._streams = mongo.durable("streams")

    async def between(
        self,
        robot_id: str,
        session_id: str,
        stream: str,
        level_ns: int,
        start_ns: int,
        end_ns: int,
        *,
        counts_only: bool = False,
    ) -> list[Chunk]:
        """The chunks of a level with a window that begins in `[start_ns, end_ns)`, ascending.

        With `counts_only` they have no channels, which are most of what there is to be read.
        """
        query = _span((robot_id, session_id, stream), level_ns, start_ns, end_ns)
        fields = dict.fromkeys(["robot_id", "session_id", "stream", *(["values"] if counts_only else [])], 0)
        with translated():
            found = await self._chunks.find(query, fields, batch_size=10_000).sort("t_ns", 1).to_list()
        return [Chunk.of(document) for document in found]

    async def count(
        self, robot_id: str, session_id: str, stream: str, level_ns: int, start_ns: int, end_ns: int
    ) -> int:
        """How many cells there are in what `between` gives."""
        stages: list[Document] = [
            {"$match": _span((robot_id, session_id, stream), level_ns, start_ns, end_ns)},
            {"$group": {"_id": None, "bytes": {"$sum": {"$binarySize": "$times"}}}},
        ]
        with translated():
            found = await (await self._chunks.aggregate(stages)).to_list()
        return int(found[0]["bytes"]) // _TIMES_BYTES if found else 0

    async def numbered(
        self, robot_id: str, session_id: str, stream: str, level_ns: int, numbers: Iterable[int]
    ) -> dict[int, Chunk]:
        """Those of some chunks that are there."""
        ids = [_chunk_id(robot_id, session_id, stream, level_ns, number) for number in numbers]
        with translated():
            found = await self._chunks.find({"_id": {"$in": ids}}, batch_size=10_000).to_list()
        return {chunk.number: chunk for chunk in map(Chunk.of, found)}

    async def put(
        self, robot_id: str, session_id: str, stream: str, chunks: Sequence[tuple[Chunk, int | None]]
    ) -> bool:
        """Writes chunks, each in the place of the one that was read.

        Args:
            robot_id: whose; as are the next two.
            session_id: as above.
            stream: as above.
            chunks: each with the `upto` of the one that it replaces; None when there was none.

        Returns:
            False when somebody else was faster with any of them: read them again.
        """
        writes: list[Any] = []
        for chunk, old in chunks:
            document = chunk.document(robot_id, session_id, stream)
            writes.append(
                InsertOne(document) if old is None else ReplaceOne({"_id": document["_id"], "upto": old}, document)
            )
        try:
            with translated():
                result = await self._chunks.bulk_write(writes, ordered=False)
        except BulkFailure as failure:
            if failure.only_duplicates:
                return False
            raise
        return int(result.inserted_count + result.matched_count) == len(writes)

    async def state(self, robot_id: str, session_id: str, stream: str) -> LodState | None:
        """How far a stream is rolled up; None when there is no such stream."""
        with translated():
            found = await self._streams.find_one({"_id": f"{robot_id}/{session_id}/{stream}"}, {"lod": 1})
        return None if found is None else LodState.of(found)

    async def advance(
        self, robot_id: str, session_id: str, stream: str, state: LodState, upto: int, span: tuple[int, int] | None
    ) -> bool:
        """Says that all chunks of a stream are complete up to a generation.

        Args:
            robot_id: whose; as are the next two.
            session_id: as above.
            stream: as above.
            state: as it was read.
            upto: the generation.
            span: times of the first and last sample that came in; None when nothing did.

        Returns:
            False when somebody else was faster.
        """
        update: Document = {"$set": {"lod.upto": upto}}
        if span is not None:
            update |= {"$min": {"lod.first_ns": span[0]}, "$max": {"lod.last_ns": span[1]}}
        query = {"_id": f"{robot_id}/{session_id}/{stream}", "lod.upto": state.upto or None}
        with translated():
            result = await self._streams.bulk_write([UpdateOne(query, update)])
        return bool(result.matched_count)
