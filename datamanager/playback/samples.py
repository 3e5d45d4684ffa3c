"""Samples for the parts that ask for a few: the last one before a time, and how many there are."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from datamanager.kinds.time_series.types import cast_column
from datamanager.playback.lod import find
from datamanager.playback.samples_port import SampleAt
from datamanager.playback.scan import MAX_NS, BlockIndex, Scan, StreamLayout, layout_of, load_layout
from datamanager.storage.blocks import decode_batch
from datamanager.storage.lod import Lod
from datamanager.storage.mongo import Document
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

__all__ = ["Samples", "spread"]

# How far back is looked for the last sample: nearly always it stands within the first.
_LOOKS_NS = (10_000_000_000, 3_600_000_000_000, MAX_NS)
_AT_ONCE = 8  # streams that are counted


class Samples:
    """Reads `time_series` streams; the `SampleReader` of browsing."""

    def __init__(self, streams: Streams, telemetry: Telemetry, lod: Lod) -> None:
        self._streams = streams
        self._telemetry = telemetry
        self._lod = lod

    async def last_at(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> SampleAt | None:
        """The last sample of a stream at or before `t_ns`; None when there is none."""
        layout = await load_layout(self._streams, robot_id, session_id, stream)
        best: SampleAt | None = None
        for look_ns in _LOOKS_NS:
            best = await self._last_within(layout, t_ns, look_ns)
            # Blocks that begin earlier than was looked at end before this time, so they hold nothing later.
            if best is not None and best.t_ns >= t_ns - look_ns:
                break
        return best

    async def _last_within(self, layout: StreamLayout, t_ns: int, look_ns: int) -> SampleAt | None:
        scan = Scan(self._telemetry, layout, max(t_ns - look_ns, 0), min(t_ns + 1, MAX_NS + 1), [])
        index = await scan.index()
        best: SampleAt | None = None
        for entry in sorted(index.documents, key=lambda d: min(d["t_end_ns"], t_ns), reverse=True):
            if best is not None and min(entry["t_end_ns"], t_ns) <= best.t_ns:
                break
            for document in await self._telemetry.blocks(
                layout.robot_id,
                layout.session_id,
                layout.stream,
                start_ns=entry["t_ns"],
                end_ns=entry["t_ns"] + 1,
                reaching_ns=0,
            ):
                best = max((best, _last_in(layout, document, t_ns)), key=lambda s: -1 if s is None else s.t_ns)
        return best

    async def counts(
        self, robot_id: str, session_id: str, start_ns: int, end_ns: int, bins: int
    ) -> dict[str, list[int]]:
        """How many samples each stream has in each bin of [start_ns, end_ns), without reading samples.

        A block or a cell of a rollup counts where its times say; one that spans bins is spread evenly over its time.
        """
        documents = await self._streams.all_of(robot_id, session_id)
        layouts = [layout_of(document) for document in documents if document["kind"] == "time_series"]
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def count(layout: StreamLayout) -> list[int]:
            async with at_once:
                return await self._count(layout, (start_ns, end_ns), bins)

        counts = await asyncio.gather(*(count(layout) for layout in layouts))
        return {layout.stream: found for layout, found in zip(layouts, counts, strict=True)}

    async def _count(self, layout: StreamLayout, span: tuple[int, int], bins: int) -> list[int]:
        found = await find(Scan(self._telemetry, layout, *span, []), self._lod, (span[1] - span[0]) // bins)
        cells = [zip(*(c.tolist() for c in (p.t_ns, p.t_end_ns, p.count)), strict=True) for p in found.parts]
        return spread(itertools.chain(*cells, _runs(found.index.only(found.counted))), span, bins)


def _runs(index: BlockIndex) -> Iterator[tuple[int, int, int]]:
    for i, document in enumerate(index.documents):
        yield document["t_ns"], document["t_end_ns"], document["n"] - _doubled(document, index.drops.get(i, ()))


def spread(runs: Iterable[tuple[int, int, int]], span: tuple[int, int], bins: int) -> list[int]:
    """The samples of runs, of which the first and last time and the number are known, in each of `bins` bins of `span`.

    What lies between two edges is the difference of what lies before each, so that no sample is lost to rounding:
    over a range that holds all runs whole the counts sum up to all samples.
    """
    start_ns, end_ns = span
    counts = [0] * bins
    for first_ns, last_ns, n in runs:
        low, high = (_bin(t, start_ns, end_ns, bins) for t in (max(first_ns, start_ns), min(last_ns, end_ns - 1)))
        if low == high and start_ns <= first_ns and last_ns < end_ns:
            counts[low] += n
            continue
        before = [
            _before(start_ns + (end_ns - start_ns) * k // bins, first_ns, last_ns, n) for k in range(low, high + 2)
        ]
        for k in range(low, high + 1):
            counts[k] += before[k - low + 1] - before[k - low]
    return counts


def _before(t_ns: int, first_ns: int, last_ns: int, n: int) -> int:
    """How many of `n` samples, evenly from `first_ns` to `last_ns`, lie before `t_ns`."""
    if t_ns <= first_ns:
        return 0
    if t_ns > last_ns:
        return n
    return min(n - 1, 1 + (t_ns - 1 - first_ns) * (n - 1) // (last_ns - first_ns))


def _doubled(document: Document, drops: list[tuple[int, int]] | tuple[()]) -> int:
    """How many samples of a block another one holds already, each message taken to have as many."""
    if not drops:
        return 0
    ranges = document.get("seqs") or ((document["seq_first"], document["seq_last"]),)
    messages = sum(last - first + 1 for first, last in ranges)
    return int(document["n"] * sum(last - first + 1 for first, last in drops) // messages)


def _bin(t_ns: int, start_ns: int, end_ns: int, bins: int) -> int:
    return (t_ns - start_ns) * bins // (end_ns - start_ns)


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
