"""Samples for the parts that ask for a few: the last one before a time, and how many there are."""

import numpy as np
import pyarrow as pa

from datamanager.kinds.time_series.types import cast_column
from datamanager.playback.samples_port import SampleAt
from datamanager.playback.scan import MAX_NS, Scan, StreamLayout, load_layout
from datamanager.storage.blocks import decode_batch
from datamanager.storage.mongo import Document
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

__all__ = ["Samples"]

_LAST_BLOCKS = 4  # of the blocks that begin last, one nearly always holds the last sample


class Samples:
    """Reads `time_series` streams; the `SampleReader` of browsing."""

    def __init__(self, streams: Streams, telemetry: Telemetry) -> None:
        self._streams = streams
        self._telemetry = telemetry

    async def last_at(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> SampleAt | None:
        """The last sample of a stream at or before `t_ns`; None when there is none."""
        layout = await load_layout(self._streams, robot_id, session_id, stream)
        documents = await self._telemetry.last_blocks(robot_id, session_id, stream, before_ns=t_ns, limit=_LAST_BLOCKS)
        best: SampleAt | None = None
        for document in documents:
            if best is None or document["t_end_ns"] > best.t_ns:
                best = max((best, _last_in(layout, document, t_ns)), key=lambda s: -1 if s is None else s.t_ns)
        return best

    async def counts(
        self, robot_id: str, session_id: str, start_ns: int, end_ns: int, bins: int
    ) -> dict[str, list[int]]:
        """How many samples each stream has in each bin of [start_ns, end_ns).

        A block within one bin counts as a whole; only the times of one that spans bins are read.
        """
        names = [s["stream"] for s in await self._streams.all_of(robot_id, session_id) if s["kind"] == "time_series"]
        return {name: await self._count(robot_id, session_id, name, (start_ns, end_ns), bins) for name in names}

    async def _count(self, robot_id: str, session_id: str, stream: str, span: tuple[int, int], bins: int) -> list[int]:
        start_ns, end_ns = span
        layout = await load_layout(self._streams, robot_id, session_id, stream)
        scan = Scan(self._telemetry, layout, start_ns, min(end_ns, MAX_NS), [])
        index = await scan.index()
        counts = np.zeros(bins, np.int64)
        parted: list[Document] = []
        for i, document in enumerate(index.documents):
            first, last = (_bin(document[name], start_ns, end_ns, bins) for name in ("t_ns", "t_end_ns"))
            if first == last >= 0 and i not in index.drops:
                counts[first] += document["n"]
            else:
                parted.append(document)
        if parted:
            async for table in scan.tables(index.only(parted)):
                t_ns = table.column(0).to_numpy().astype(object)  # the product below outgrows int64
                where = (t_ns - start_ns) * bins // (end_ns - start_ns)
                counts += np.bincount(where.astype(np.int64), minlength=bins)
        return [int(count) for count in counts]


def _bin(t_ns: int, start_ns: int, end_ns: int, bins: int) -> int:
    return -1 if not start_ns <= t_ns < end_ns else (t_ns - start_ns) * bins // (end_ns - start_ns)


def _last_in(layout: StreamLayout, document: Document, t_ns: int) -> SampleAt | None:
    batch: pa.RecordBatch = decode_batch(document["data"], layout.schemas[document["schema"]])
    at = int(np.searchsorted(batch.column(0).to_numpy(), t_ns, side="right")) - 1
    if at < 0:
        return None
    row = batch.slice(at, 1)
    values = {
        field.name: cast_column(row.column(i), layout.types[field.name])[0].as_py()
        for i, field in enumerate(batch.schema)
        if i > 1
    }
    return SampleAt(row.column(0)[0].as_py(), {name: v for name, v in values.items() if v is not None})
