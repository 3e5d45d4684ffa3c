"""Reads a range of samples: finds the blocks, merges them in time, drops what is doubled. Pure but for the reading.

What is found first is the index: the small statistics documents that stand for blocks. From it the blocks are read in
windows of bounded size, each merged with what reaches over from the one before. Memory is bounded by the window and
by how many blocks overlap at one time, not by the range.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from datamanager.errors import NotFound, Refused
from datamanager.kinds.time_series.types import ARROW_TYPES, cast_column
from datamanager.storage.blocks import SYSTEM_COLUMNS
from datamanager.storage.doubled import doubled
from datamanager.storage.lod import LodState
from datamanager.storage.mongo import Document
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

__all__ = ["BASE_SPAN_NS", "BlockIndex", "Scan", "StreamLayout", "layout_of", "load_layout"]

BASE_SPAN_NS = 2_000_000_000
_WINDOW_BYTES = 12_000_000
_APART_NS = 1_000_000_000
MAX_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class StreamLayout:
    """What a stream's document says of its samples.

    Attributes:
        types: channel to the name of the type that holds all its values, sorted by channel.
        schemas: hash to the Arrow schema of blocks.
        reach_ns: a block is at most this long.
        lod: how far its rollups go.
    """

    robot_id: str
    session_id: str
    stream: str
    types: dict[str, str]
    schemas: dict[str, pa.Schema]
    reach_ns: int
    lod: LodState

    def select(self, channels: Sequence[str]) -> list[str]:
        """The wanted channels in their order in an answer, all when none is named.

        Raises:
            NotFound: the stream has no such channel.
        """
        unknown = [name for name in channels if name not in self.types]
        if unknown:
            raise NotFound(f"stream {self.stream!r} has no channel {unknown[0]!r}")
        return sorted(set(channels)) if channels else list(self.types)


async def load_layout(streams: Streams, robot_id: str, session_id: str, stream: str) -> StreamLayout:
    """A time_series stream's layout.

    Raises:
        NotFound: there is no such stream.
        Refused: `kind_mismatch` when it is of another kind.
    """
    document = await streams.get(robot_id, session_id, stream)
    if document is None:
        raise NotFound(f"session {robot_id}/{session_id} has no stream {stream!r}")
    if document["kind"] != "time_series":
        raise Refused("kind_mismatch", f"stream {stream!r} is of kind {document['kind']}, which has no samples")
    return layout_of(document)


def layout_of(document: Document) -> StreamLayout:
    """The layout that a time_series stream's document tells."""
    schemas = {s["hash"]: pa.ipc.read_schema(pa.py_buffer(s["ipc"])) for s in document["schemas"]}
    types = {c["name"]: c["type"] for c in sorted(document["channels"], key=lambda c: c["name"])}
    reach_ns = max(document["max_span_ns"], BASE_SPAN_NS)
    place = (document["robot_id"], document["session_id"], document["stream"])
    return StreamLayout(*place, types, schemas, reach_ns, LodState.of(document))


class BlockIndex:
    """The blocks that reach into a range, by ascending beginning, as columns.

    Attributes:
        documents: the statistics document of each.
        drops: index of a block to the seq ranges that an earlier one holds already.
        sparse: whether there may be blocks between these that are not wanted.
    """

    def __init__(self, documents: list[Document]) -> None:
        # A write whose outcome was not known may have been done twice: what bears one id is one block.
        documents = list({d["block"]: d for d in documents}.values())
        documents.sort(key=lambda d: (d["t_ns"], d["producer"], d["seq_first"]))
        self.documents = documents
        self.drops = doubled(documents)
        self.sparse = False

    def __len__(self) -> int:
        return len(self.documents)

    def only(self, documents: list[Document]) -> "BlockIndex":
        """An index of some of these blocks; what was doubled among all stays dropped."""
        wanted = {id(d) for d in documents}
        places = [i for i, d in enumerate(self.documents) if id(d) in wanted]
        chosen = BlockIndex([])
        chosen.documents = [self.documents[i] for i in places]
        chosen.drops = {at: self.drops[i] for at, i in enumerate(places) if i in self.drops}
        chosen.sparse = True
        return chosen

    @property
    def samples(self) -> int:
        """How many samples the blocks hold; at most so many lie in the range."""
        return sum(d["n"] for d in self.documents)


class Scan:
    """One range of one stream.

    Args:
        telemetry: where blocks are.
        layout: the stream's.
        start_ns: the first time that counts.
        end_ns: the first time that does not.
        channels: what to read, as `StreamLayout.select` gave it.
    """

    def __init__(
        self, telemetry: Telemetry, layout: StreamLayout, start_ns: int, end_ns: int, channels: list[str]
    ) -> None:
        self._telemetry = telemetry
        self.layout = layout
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.channels = channels
        self.schema = pa.schema(
            [pa.field("t_ns", pa.int64(), nullable=False)]
            + [pa.field(name, ARROW_TYPES[layout.types[name]]) for name in channels]
        )

    async def index(self, *, packed: bool = False) -> BlockIndex:
        """The blocks that reach into the range; with their statistics when `packed`."""
        place = self.layout
        documents = await self._telemetry.statistics(
            place.robot_id,
            place.session_id,
            place.stream,
            start_ns=self.start_ns - place.reach_ns,
            end_ns=self.end_ns,
            packed=packed,
        )
        return BlockIndex([d for d in documents if d["t_end_ns"] >= self.start_ns and d["t_ns"] < self.end_ns])

    async def statistics(self, start_ns: int, end_ns: int, *, since_generation: int | None = None) -> list[Document]:
        """The statistics of the blocks that begin in a time, of a generation or later, in no order; packed if need be."""
        place = (self.layout.robot_id, self.layout.session_id, self.layout.stream)
        return await self._telemetry.statistics(
            *place,
            start_ns=start_ns,
            end_ns=end_ns,
            packed=bool(self.channels),
            since_generation=since_generation,
        )

    async def tables(self, index: BlockIndex) -> AsyncIterator[pa.Table]:
        """The samples in ascending time, in tables of `schema`. Closing the iterator stops the reading."""
        carry: pa.Table | None = None
        windows = self._windows(index)
        ahead: asyncio.Task[list[Document]] | None = None
        try:
            for number, window in enumerate(windows):
                documents = await (ahead or self._fetch(index, window))
                following = windows[number + 1] if number + 1 < len(windows) else None
                ahead = asyncio.create_task(self._fetch(index, following)) if following is not None else None
                limit_ns = MAX_NS if following is None else index.documents[following[0]]["t_ns"]
                done, carry = await asyncio.to_thread(self._merge, index, window, documents, carry, limit_ns)
                if done.num_rows:
                    yield done
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.wait({ahead})
        if carry is not None and carry.num_rows:
            yield carry

    def _windows(self, index: BlockIndex) -> list[range]:
        """Runs of blocks to be read together; blocks that begin at the same time stay together."""
        width = 8 * (len(self.layout.types) + 2)
        windows: list[range] = []
        first, size = 0, 0
        for i, document in enumerate(index.documents):
            far = index.sparse and i > 0 and _are_apart(index.documents[i - 1], document)
            if (size > _WINDOW_BYTES or far) and (
                document["t_ns"] // 1_000_000 > index.documents[i - 1]["t_ns"] // 1_000_000
            ):
                windows.append(range(first, i))
                first, size = i, 0
            size += document["n"] * width
        if first < len(index):
            windows.append(range(first, len(index)))
        return windows

    async def _fetch(self, index: BlockIndex, window: range) -> list[Document]:
        place = self.layout
        return await self._telemetry.blocks(
            place.robot_id,
            place.session_id,
            place.stream,
            start_ns=index.documents[window[0]]["t_ns"],
            end_ns=index.documents[window[-1]]["t_ns"] + 1,
            reaching_ns=self.start_ns,
        )

    def _merge(
        self, index: BlockIndex, window: range, documents: list[Document], carry: pa.Table | None, limit_ns: int
    ) -> tuple[pa.Table, pa.Table | None]:
        """The samples before `limit_ns`, and those that later blocks may still come between."""
        blocks = _matched(index, window, documents)
        pieces = ([] if carry is None else [carry]) + self._pieces(blocks, index)
        if not pieces:
            return self.schema.empty_table(), None
        table = pa.concat_tables(pieces) if len(pieces) > 1 else pieces[0]
        last_ns = _last_ns(blocks)
        if carry is not None or last_ns is None:
            t_ns = table.column(0).to_numpy()
            if (t_ns[1:] < t_ns[:-1]).any():
                table = table.take(pa.array(np.argsort(t_ns, kind="stable")))
        elif last_ns < limit_ns:
            return table, None
        cut = int(np.searchsorted(table.column(0).to_numpy(), limit_ns))
        return table.slice(0, cut), table.slice(cut) if cut < table.num_rows else None

    def _pieces(self, blocks: list[tuple[int, Document]], index: BlockIndex) -> list[pa.Table]:
        """The blocks' samples in the blocks' order; neighbours that are alike and taken whole are put together."""
        pieces: list[pa.Table] = []
        for alike, group in groupby(blocks, lambda block: self._taken_whole(block, index) and block[1]["schema"]):
            if alike:
                pieces.append(self._whole([document for _, document in group]))
            else:
                pieces.extend(self._cut(document, index.drops.get(i, ())) for i, document in group)
        return pieces

    def _taken_whole(self, block: tuple[int, Document], index: BlockIndex) -> bool:
        i, document = block
        inside: bool = document["t_ns"] >= self.start_ns and document["t_end_ns"] < self.end_ns
        return inside and i not in index.drops

    def _whole(self, documents: list[Document]) -> pa.Table:
        """Blocks of one schema, in their order, as they are."""
        schema = self.layout.schemas[documents[0]["schema"]]
        batches = [pa.ipc.read_record_batch(pa.py_buffer(d["data"]), schema) for d in documents]
        return self._fitted(pa.Table.from_batches(batches, schema))

    def _cut(self, document: Document, drops: Sequence[tuple[int, int]]) -> pa.Table:
        """The samples of one block that lie in the range and are not held by another one."""
        schema = self.layout.schemas[document["schema"]]
        batch = pa.ipc.read_record_batch(pa.py_buffer(document["data"]), schema)
        t_ns = batch.column(0).to_numpy()
        low = int(np.searchsorted(t_ns, self.start_ns))
        high = len(t_ns) if self.end_ns > MAX_NS else int(np.searchsorted(t_ns, self.end_ns))  # int64 has no 2^63
        table = self._fitted(pa.Table.from_batches([batch.slice(low, high - low)], schema))
        if drops:
            seq = batch.column(1).to_numpy()[low:high]
            keep = np.ones(len(seq), bool)
            for first, last in drops:
                keep &= (seq < first) | (seq > last)
            table = table.filter(pa.array(keep))
        return table

    def _fitted(self, table: pa.Table) -> pa.Table:
        """The columns of an answer: the wanted channels, widened, missing where blocks do not have them."""
        places = {name: i for i, name in enumerate(table.schema.names) if i >= SYSTEM_COLUMNS}
        columns = [table.column(0)]
        for name, kind in zip(self.channels, self.schema.types[1:], strict=True):
            at = places.get(name)
            if at is None:
                columns.append(pa.chunked_array([pa.nulls(table.num_rows, kind)]))
            elif table.schema.field(at).type == kind:
                columns.append(table.column(at))
            else:
                chunks = [cast_column(chunk, self.layout.types[name]) for chunk in table.column(at).chunks]
                columns.append(pa.chunked_array(chunks, kind))
        return pa.Table.from_arrays(columns, schema=self.schema)


def _matched(index: BlockIndex, window: range, documents: list[Document]) -> list[tuple[int, Document]]:
    """The blocks of a window in the index's order; one that was deleted between the two looks is left out."""
    found = {document["block"]: document for document in documents}
    matches = ((i, found.get(index.documents[i]["block"])) for i in window)
    return [(i, document) for i, document in matches if document is not None]


def _are_apart(document: Document, following: Document) -> bool:
    """Whether another block may well lie between two."""
    gap_ns: int = following["t_ns"] - document["t_end_ns"]
    long_ns: int = document["t_end_ns"] - document["t_ns"]
    return gap_ns > max(_APART_NS, long_ns)


def _last_ns(blocks: list[tuple[int, Document]]) -> int | None:
    """The last time of blocks that follow each other; None when some overlap."""
    last_ns = -1
    for _, document in blocks:
        if document["t_ns"] < last_ns:
            return None
        last_ns = document["t_end_ns"]
    return last_ns
