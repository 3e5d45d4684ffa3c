"""`max_points`: a range as at most N time buckets with min, max and mean, so that no spike is lost.

Whole blocks come in by their statistics; the samples are read only of blocks that reach over an edge of the range, hold
doubled numbers, or are much longer than a bucket. Pure but for that reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from datamanager.playback.scan import BlockIndex, Scan
from datamanager.storage.mongo import Document
from datamanager.storage.statistics import FIELDS, dense, numeric_channels, unpack

__all__ = [
    "Cells",
    "bucket_schema",
    "bucketed",
    "cells_of_blocks",
    "cells_of_table",
    "merge_cells",
    "numeric_of",
    "to_table",
]

_NUMERIC = frozenset({"bool", "int", "bigint", "float32", "float"})
_COUNT, _MIN, _MAX, _MEAN, _FIRST, _LAST = range(len(FIELDS))
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Cells:
    """Runs of samples by their statistics.

    Attributes:
        t_ns, t_end_ns: int64 [cells], times of the first and last sample.
        count: int64 [cells], samples.
        values: float64 [cells, 6, channels]: count, min, max, mean, first, last; count as a float here.
    """

    t_ns: Ints
    t_end_ns: Ints
    count: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.t_ns)

    @classmethod
    def joined(cls, parts: "Sequence[Cells]", channels: int) -> "Cells":
        """All cells of some."""
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, none, np.empty((0, len(FIELDS), channels)))
        return cls(
            np.concatenate([p.t_ns for p in parts]),
            np.concatenate([p.t_end_ns for p in parts]),
            np.concatenate([p.count for p in parts]),
            np.concatenate([p.values for p in parts]),
        )


def numeric_of(types: dict[str, str], channels: Sequence[str]) -> list[str]:
    """Those of `channels` that have statistics."""
    return [name for name in channels if types[name] in _NUMERIC]


def cells_of_blocks(documents: Sequence[Document], schemas: dict[str, pa.Schema], channels: Sequence[str]) -> Cells:
    """A cell for each block, from its packed statistics."""
    parts = []
    by_schema: dict[str, list[Document]] = {}
    for document in documents:
        by_schema.setdefault(document["schema"], []).append(document)
    for name, group in by_schema.items():
        there = numeric_channels(schemas[name])
        values = np.full((len(group), len(FIELDS), len(channels)), np.nan)
        values[:, _COUNT] = 0
        if there:
            packed = unpack([d["v"] for d in group], len(there))
            position = {channel: i for i, channel in enumerate(there)}
            chosen = [(i, position[c]) for i, c in enumerate(channels) if c in position]
            mine, theirs = [a for a, _ in chosen], [b for _, b in chosen]
            values[:, :, mine] = packed[:, :, theirs]
            values[:, _COUNT, mine] = packed.view(np.int64)[:, _COUNT, theirs]
        times = np.array([(d["t_ns"], d["t_end_ns"], d["n"]) for d in group], np.int64)
        parts.append(Cells(times[:, 0], times[:, 1], times[:, 2], values))
    return Cells.joined(parts, len(channels))


def cells_of_table(table: pa.Table, edges: tuple[int, int, int], channels: Sequence[str]) -> Cells:
    """A cell for each bucket that samples of a table lie in.

    Args:
        table: samples in ascending time.
        edges: first time, first time after the end, and how many buckets lie between.
        channels: the numeric channels, columns of the table.
    """
    t_ns = table.column(0).to_numpy()
    starts = _bucket_starts(t_ns, edges)
    counts = np.diff(np.append(starts, len(t_ns)))
    values = np.empty((len(starts), len(FIELDS), len(channels)))
    for i, name in enumerate(channels):
        values[:, :, i] = _reduce_samples(dense(table.column(name).combine_chunks()), starts)
    return Cells(t_ns[starts], t_ns[starts + counts - 1], counts, values)


def _bucket_starts(t_ns: Ints, edges: tuple[int, int, int]) -> Ints:
    numbers = _numbers(t_ns, edges)
    return np.flatnonzero(np.diff(numbers, prepend=-1))


def _numbers(t_ns: Ints, edges: tuple[int, int, int]) -> Ints:
    """The bucket of each time. Widths are rounded up, so that int64 arithmetic suffices."""
    start_ns, end_ns, n = edges
    width_ns = -(-(end_ns - start_ns) // n)
    return np.maximum(t_ns - start_ns, 0) // width_ns


def _reduce_samples(values: Floats, starts: Ints) -> Floats:
    there = ~np.isnan(values)
    out = np.empty((len(starts), len(FIELDS)))
    out[:, _COUNT] = np.add.reduceat(there, starts, dtype=np.float64)
    out[:, _MIN] = np.fmin.reduceat(values, starts)
    out[:, _MAX] = np.fmax.reduceat(values, starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        out[:, _MEAN] = np.add.reduceat(np.where(there, values, 0.0), starts) / out[:, _COUNT]
    out[:, _FIRST] = values[starts]
    out[:, _LAST] = values[np.append(starts[1:], len(values)) - 1]
    return out


def merge_cells(cells: Cells, edges: tuple[int, int, int]) -> Cells:
    """Cells merged into buckets, each by its first time."""
    if not len(cells):
        return cells
    order = np.argsort(cells.t_ns, kind="stable")
    t_ns, values = cells.t_ns[order], cells.values[order]
    starts = _bucket_starts(t_ns, edges)
    counts = np.add.reduceat(values[:, _COUNT], starts)
    out = np.empty((len(starts), *values.shape[1:]))
    out[:, _COUNT] = counts
    out[:, _MIN] = np.fmin.reduceat(values[:, _MIN], starts)
    out[:, _MAX] = np.fmax.reduceat(values[:, _MAX], starts)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.where(values[:, _COUNT] > 0, values[:, _MEAN] * values[:, _COUNT], 0.0)
        out[:, _MEAN] = np.add.reduceat(sums, starts) / counts
    out[:, _FIRST] = values[starts, _FIRST]
    out[:, _LAST] = values[np.append(starts[1:], len(values)) - 1, _LAST]
    last_ns = np.maximum.reduceat(cells.t_end_ns[order], starts)
    return Cells(t_ns[starts], last_ns, np.add.reduceat(cells.count[order], starts), out)


def bucket_schema(channels: Sequence[str]) -> pa.Schema:
    """The columns of an answer: `t_ns`, `t_end_ns`, `count`, then `max(x)`, `mean(x)` and `min(x)` by name."""
    names = sorted(f"{field}({name})" for name in channels for field in ("min", "max", "mean"))
    times = [pa.field(name, pa.int64(), nullable=False) for name in ("t_ns", "t_end_ns", "count")]
    return pa.schema(times + [pa.field(name, pa.float64()) for name in names])


def to_table(cells: Cells, channels: Sequence[str]) -> pa.Table:
    """Buckets as an answer's table; a bucket without a value of a channel has none."""
    columns: dict[str, Any] = {"t_ns": cells.t_ns, "t_end_ns": cells.t_end_ns, "count": cells.count}
    for i, name in enumerate(channels):
        empty = cells.values[:, _COUNT, i] == 0
        for field, at in (("min", _MIN), ("max", _MAX), ("mean", _MEAN)):
            columns[f"{field}({name})"] = pa.array(cells.values[:, at, i], mask=empty)
    schema = bucket_schema(channels)
    return pa.Table.from_arrays([pa.array(columns[name]) for name in schema.names], schema=schema)


async def bucketed(scan: Scan, index: BlockIndex, max_points: int) -> pa.Table:
    """A range in at most `max_points` buckets.

    Args:
        scan: the range, its channels all numeric.
        index: its blocks, with packed statistics.
        max_points: at least 1.
    """
    channels = scan.channels
    documents = index.documents
    if not documents:
        return bucket_schema(channels).empty_table()
    start_ns = max(scan.start_ns, min(d["t_ns"] for d in documents))
    end_ns = min(scan.end_ns, max(d["t_end_ns"] for d in documents) + 1)
    edges = (start_ns, end_ns, max_points)
    longest_ns = 4 * (end_ns - start_ns) // max_points
    whole: list[Document] = []
    parted: list[Document] = []
    for i, d in enumerate(documents):
        inside = d["t_ns"] >= scan.start_ns and d["t_end_ns"] < scan.end_ns
        fits = d["t_end_ns"] - d["t_ns"] <= longest_ns
        (whole if inside and fits and i not in index.drops else parted).append(d)
    parts = [cells_of_blocks(whole, scan.layout.schemas, channels)]
    if parted:
        async for table in scan.tables(index.only(parted)):
            parts.append(cells_of_table(table, edges, channels))  # noqa: PERF401  # an async comprehension reads worse
    return to_table(merge_cells(Cells.joined(parts, len(channels)), edges), channels)
