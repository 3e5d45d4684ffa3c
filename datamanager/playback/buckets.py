"""`max_points`: a range as at most N time buckets with min, max and mean, so that no spike is lost.

Cells of rollups and whole blocks come in by their statistics; the samples are read only of blocks that reach over an
edge of the range, hold doubled numbers, or are much longer than a bucket. Pure but for that reading.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from datamanager.playback.lod import MUCH_LONGER, Found, find
from datamanager.playback.scan import Scan
from datamanager.storage.cells import COUNT, FIRST, LAST, MAX, MEAN, MIN, Cells, Floats, Ints, cells_of_blocks, merged
from datamanager.storage.lod import Lod
from datamanager.storage.mongo import Document
from datamanager.storage.statistics import FIELDS, dense

__all__ = ["bucket_schema", "bucketed", "cells_of_table", "merge_cells", "merged_in", "numeric_of", "to_table"]

_NUMERIC = frozenset({"bool", "int", "bigint", "float32", "float"})
Edges = tuple[int, int, int]
"""First time, first time after the end, and how many buckets lie between."""


def numeric_of(types: dict[str, str], channels: Sequence[str]) -> list[str]:
    """Those of `channels` that have statistics."""
    return [name for name in channels if types[name] in _NUMERIC]


def cells_of_table(table: pa.Table, edges: Edges, channels: Sequence[str]) -> Cells:
    """A cell for each bucket that samples of a table lie in.

    Args:
        table: samples in ascending time.
        edges: first time, first time after the end, and how many buckets lie between.
        channels: the numeric channels: the table's columns after the time, which one of them may be called as.
    """
    t_ns = table.column(0).to_numpy()
    starts = _bucket_starts(t_ns, edges)
    counts = np.diff(np.append(starts, len(t_ns)))
    values = np.empty((len(starts), len(FIELDS), len(channels)))
    for i in range(len(channels)):
        values[:, :, i] = _reduce_samples(dense(table.column(i + 1).combine_chunks()), starts)
    return Cells(t_ns[starts], t_ns[starts + counts - 1], counts, values)


def _bucket_starts(t_ns: Ints, edges: Edges) -> Ints:
    numbers = _numbers(t_ns, edges)
    return np.flatnonzero(np.diff(numbers, prepend=-1))


def _numbers(t_ns: Ints, edges: Edges) -> Ints:
    """The bucket of each time. Widths are rounded up, so that int64 arithmetic suffices."""
    start_ns, end_ns, n = edges
    width_ns = -(-(end_ns - start_ns) // n)
    return np.maximum(t_ns - start_ns, 0) // width_ns


def _reduce_samples(values: Floats, starts: Ints) -> Floats:
    there = ~np.isnan(values)
    out = np.empty((len(starts), len(FIELDS)))
    out[:, COUNT] = np.add.reduceat(there, starts, dtype=np.float64)
    out[:, MIN] = np.fmin.reduceat(values, starts)
    out[:, MAX] = np.fmax.reduceat(values, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        out[:, MEAN] = np.add.reduceat(np.where(there, values, 0.0), starts) / out[:, COUNT]
    out[:, FIRST] = values[starts]
    out[:, LAST] = values[np.append(starts[1:], len(values)) - 1]
    return out


def merge_cells(cells: Cells, edges: Edges) -> Cells:
    """Cells merged into buckets, each by its first time."""
    return merged(cells, _numbers(cells.t_ns, edges)) if len(cells) else cells


def bucket_schema(channels: Sequence[str]) -> pa.Schema:
    """The columns of an answer: `t_ns`, `t_end_ns`, `count`, then `max(x)`, `mean(x)` and `min(x)` by name."""
    names = sorted(f"{field}({name})" for name in channels for field in ("min", "max", "mean"))
    times = [pa.field(name, pa.int64(), nullable=False) for name in ("t_ns", "t_end_ns", "count")]
    return pa.schema(times + [pa.field(name, pa.float64()) for name in names])


def to_table(cells: Cells, channels: Sequence[str]) -> pa.Table:
    """Buckets as an answer's table; a bucket without a value of a channel has none."""
    columns: dict[str, Any] = {"t_ns": cells.t_ns, "t_end_ns": cells.t_end_ns, "count": cells.count}
    values = np.ascontiguousarray(cells.values.transpose(2, 1, 0))
    for name, rows in zip(channels, values, strict=True):
        empty = rows[COUNT] == 0
        mask = empty if empty.any() else None
        for field, at in (("min", MIN), ("max", MAX), ("mean", MEAN)):
            columns[f"{field}({name})"] = pa.array(rows[at], mask=mask)
    schema = bucket_schema(channels)
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)


async def bucketed(scan: Scan, lod: Lod, max_points: int) -> pa.Table:
    """A range in at most `max_points` buckets.

    Args:
        scan: the range, its channels all numeric.
        lod: where rollups are.
        max_points: at least 1.
    """
    found = await find(scan, lod, _likely_ns(scan) // max_points)
    span = found.span
    if span is None:
        return bucket_schema(scan.channels).empty_table()
    start_ns, end_ns = max(scan.start_ns, span[0]), min(scan.end_ns, span[1] + 1)
    cells = await merged_in(scan, found, (start_ns, end_ns, max_points))
    return await asyncio.to_thread(to_table, cells, scan.channels)


def _likely_ns(scan: Scan) -> int:
    """How long the part of a range is that has samples, as far as rollups know."""
    first_ns, last_ns = scan.layout.lod.first_ns, scan.layout.lod.last_ns
    if first_ns is None or last_ns is None:
        return 0
    return max(0, min(scan.end_ns, last_ns + 1) - max(scan.start_ns, first_ns))


async def merged_in(scan: Scan, found: Found, edges: Edges) -> Cells:
    """What was found in a range, merged into buckets.

    Args:
        scan: the range, its channels all numeric.
        found: what it holds.
        edges: of the buckets.
    """
    channels = scan.channels
    longest_ns = MUCH_LONGER * (edges[1] - edges[0]) // edges[2]
    dropped = {id(found.index.documents[i]) for i in found.index.drops}
    whole: list[Document] = []
    parted: list[Document] = []
    for d in found.counted:
        inside = d["t_ns"] >= scan.start_ns and d["t_end_ns"] < scan.end_ns
        fits = d["t_end_ns"] - d["t_ns"] <= longest_ns
        (whole if inside and fits and id(d) not in dropped else parted).append(d)
    parts = list(found.parts)
    if parted:
        async for table in scan.tables(found.index.only(parted)):
            parts.append(cells_of_table(table, edges, channels))  # noqa: PERF401  # an async comprehension reads worse

    def together() -> Cells:
        joined = [*parts, cells_of_blocks(whole, scan.layout.schemas, channels)]
        # Sorted, parts nearly always join to ascending cells, which need not be moved again.
        joined = sorted((part for part in joined if len(part)), key=lambda part: int(part.t_ns[0]))
        return merge_cells(Cells.joined(joined, len(channels)), edges)

    return await asyncio.to_thread(together)
