"""What a range holds, by its statistics: from rollups where they suffice, from blocks at its edges and since the last rollup.

Rollups need not be complete. The stream's document says up to which generation all chunks are: of later generations the
blocks' own statistics come in, but for those that a chunk which is ahead holds already. That document is read first, so that
whatever was acked before is found in one of the two.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from datamanager.playback.scan import BlockIndex, Scan
from datamanager.storage.cells import Cells, in_channels
from datamanager.storage.doubled import ranges_of
from datamanager.storage.lod import CHUNK_CELLS, LEVELS_NS, Chunk, Lod
from datamanager.storage.mongo import Document

__all__ = ["Found", "find"]

_MOST_OPENED = 6  # runs of cells; each is a query
_MOST_OPENED_CELLS = 120
MUCH_LONGER = 4  # a cell so many times as long as what it is to go into is opened


@dataclass(frozen=True, slots=True)
class Found:
    """All samples of a range, once.

    Attributes:
        parts: cells that lie wholly in the range.
        index: further blocks, some perhaps only to know what is doubled.
        counted: those of them that count.
    """

    parts: list[Cells]
    index: BlockIndex
    counted: list[Document] = field(default_factory=list)

    @property
    def span(self) -> tuple[int, int] | None:
        """Times of the first and last sample, which may lie outside the range; None when there is nothing."""
        firsts = [d["t_ns"] for d in self.counted]
        lasts = [d["t_end_ns"] for d in self.counted]
        firsts += [int(part.t_ns.min()) for part in self.parts]
        lasts += [int(part.t_end_ns.max()) for part in self.parts]
        return (min(firsts), max(lasts)) if firsts else None


async def find(scan: Scan, lod: Lod, wanted_ns: int) -> Found:
    """What a range holds, in pieces that are not much longer than `wanted_ns` where rollups or blocks have such.

    Args:
        scan: the range, its channels all numeric; none when only counts are wanted.
        lod: where rollups are.
        wanted_ns: how long the runs are into which the samples are to be merged.
    """
    levels = [level_ns for level_ns in LEVELS_NS if level_ns <= wanted_ns]
    if levels and scan.layout.lod.upto and scan.start_ns < scan.end_ns:
        found = await _rolled_up(scan, lod, levels[-1], wanted_ns)
        if found is not None:
            return found
    index = await scan.index(packed=bool(scan.channels))
    return Found([], index, index.documents)


async def _rolled_up(scan: Scan, lod: Lod, level_ns: int, wanted_ns: int) -> Found | None:
    """None when the blocks alone are the better way."""
    layout = scan.layout
    place = (layout.robot_id, layout.session_id, layout.stream)
    since_ns = scan.start_ns - layout.reach_ns
    chunks, fresh = await asyncio.gather(
        lod.between(*place, level_ns, since_ns, scan.end_ns, counts_only=not scan.channels),
        scan.statistics(since_ns, scan.end_ns, since_generation=layout.lod.upto),
    )
    fresh = _not_held(fresh, chunks, level_ns)
    if _doubles(fresh, chunks):
        return None
    parts: list[Cells] = []
    opened: list[int] = []
    for chunk in chunks:
        part, others = _parted(chunk, scan, MUCH_LONGER * wanted_ns)
        parts += [part] if len(part) else []
        opened += others
    runs = _runs(opened, level_ns)
    if len(runs) > _MOST_OPENED or len(opened) > _MOST_OPENED_CELLS:
        return None
    around = await asyncio.gather(
        *(scan.statistics(first_ns - layout.reach_ns, end_ns + layout.reach_ns) for first_ns, end_ns in runs)
    )
    index = BlockIndex([*fresh, *(d for documents in around for d in documents)])
    fresh_ids = {d["block"] for d in fresh}
    counted = [
        d
        for d in index.documents
        if d["t_end_ns"] >= scan.start_ns
        and d["t_ns"] < scan.end_ns
        and (d["block"] in fresh_ids or any(first_ns <= d["t_ns"] < end_ns for first_ns, end_ns in runs))
    ]
    return Found(parts, index, counted)


def _not_held(documents: list[Document], chunks: Sequence[Chunk], level_ns: int) -> list[Document]:
    """The statistics that no chunk holds."""
    if not documents:
        return documents
    upto = {chunk.number: chunk.upto for chunk in chunks}
    width_ns = level_ns * CHUNK_CELLS
    return [d for d in documents if d["m"]["generation"] >= upto.get(d["t_ns"] // width_ns, 0)]


def _doubles(documents: Sequence[Document], chunks: Sequence[Chunk]) -> bool:
    """Whether chunks hold a number that one of these blocks, which they do not hold, has too."""
    return any(
        seqs is not None and seqs.common(first, last)
        for d in documents
        if not d["auto"]
        for seqs in (chunk.seqs.get(d["producer"]) for chunk in chunks)
        for first, last in ranges_of(d)
    )


def _parted(chunk: Chunk, scan: Scan, longest_ns: int) -> tuple[Cells, list[int]]:
    """The cells of a chunk that come in whole, with the wanted channels, and the windows that are to be opened."""
    cells = chunk.cells
    near = (cells.t_end_ns >= scan.start_ns) & (cells.t_ns <= scan.end_ns - 1)
    whole = (cells.t_ns >= scan.start_ns) & (cells.t_end_ns <= scan.end_ns - 1)
    whole &= cells.t_end_ns - cells.t_ns <= longest_ns
    values = in_channels(cells.values, chunk.channels, scan.channels)
    wanted = Cells(cells.t_ns, cells.t_end_ns, cells.count, values)
    return (wanted if whole.all() else wanted[whole]), chunk.windows[near & ~whole].tolist()


def _runs(windows: list[int], level_ns: int) -> list[tuple[int, int]]:
    """Half-open times of windows, neighbours together."""
    runs: list[tuple[int, int]] = []
    for window in windows:
        first_ns, end_ns = window * level_ns, (window + 1) * level_ns
        if runs and runs[-1][1] == first_ns:
            runs[-1] = (runs[-1][0], end_ns)
        else:
            runs.append((first_ns, end_ns))
    return runs
