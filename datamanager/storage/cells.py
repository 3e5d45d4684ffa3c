"""Cells: runs of samples by their statistics, made of blocks, merged into longer ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from datamanager.storage.mongo import Document
from datamanager.storage.statistics import FIELDS, numeric_channels, unpack

__all__ = [
    "COUNT",
    "FIRST",
    "LAST",
    "MAX",
    "MEAN",
    "MIN",
    "Cells",
    "Floats",
    "Ints",
    "cells_of_blocks",
    "in_channels",
    "merged",
]

COUNT, MIN, MAX, MEAN, FIRST, LAST = range(len(FIELDS))
Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Cells:
    """Runs of samples by their statistics.

    Attributes:
        t_ns, t_end_ns: int64 [cells], times of the first and last sample.
        count: int64 [cells], samples.
        values: float64 [cells, 6, channels]: count, min, max, mean, first, last; count as a float here. Where a
            channel has no value the count is 0 and the rest anything.
    """

    t_ns: Ints
    t_end_ns: Ints
    count: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.t_ns)

    def __getitem__(self, which: Any) -> "Cells":
        """Some of the cells, by a slice, a mask or places."""
        return Cells(self.t_ns[which], self.t_end_ns[which], self.count[which], self.values[which])

    @classmethod
    def joined(cls, parts: "Sequence[Cells]", channels: int) -> "Cells":
        """All cells of some."""
        parts = [part for part in parts if len(part)]
        if not parts:
            none = np.empty(0, np.int64)
            return cls(none, none, none, np.empty((0, len(FIELDS), channels)))
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([p.t_ns for p in parts]),
            np.concatenate([p.t_end_ns for p in parts]),
            np.concatenate([p.count for p in parts]),
            np.concatenate([p.values for p in parts]),
        )


def cells_of_blocks(documents: Sequence[Document], schemas: dict[str, pa.Schema], channels: Sequence[str]) -> Cells:
    """A cell for each block, from its packed statistics; those of one schema stay in their order."""
    parts = []
    by_schema: dict[str, list[Document]] = {}
    for document in documents:
        by_schema.setdefault(document["schema"] if channels else "", []).append(document)
    for name, group in by_schema.items():
        there = numeric_channels(schemas[name]) if channels else []
        values = np.empty((len(group), len(FIELDS), len(there)))
        if there:
            packed = unpack([d["v"] for d in group], len(there))
            values[:] = packed
            values[:, COUNT] = packed[:, COUNT].view(np.int64)
        times = np.array([(d["t_ns"], d["t_end_ns"], d["n"]) for d in group], np.int64)
        parts.append(Cells(times[:, 0], times[:, 1], times[:, 2], in_channels(values, there, channels)))
    return Cells.joined(parts, len(channels))


def in_channels(values: Floats, mine: Sequence[str], wanted: Sequence[str]) -> Floats:
    """Values of cells with other channels: those that they lack have none.

    Args:
        values: float64 [cells, 6, channels], not changed.
        mine: their channels.
        wanted: those that are wanted, in order.
    """
    if list(mine) == list(wanted):
        return values
    position = {name: i for i, name in enumerate(mine)}
    chosen = [(i, position[name]) for i, name in enumerate(wanted) if name in position]
    mine_at, theirs = [a for a, _ in chosen], [b for _, b in chosen]
    out = np.full((*values.shape[:2], len(wanted)), np.nan)
    out[:, COUNT] = 0
    out[:, :, mine_at] = values[:, :, theirs]
    return out


def merged(cells: Cells, numbers: Ints) -> Cells:
    """Cells merged into one for each number.

    The first and last values are those of the cells that begin first and end last; where cells overlap, another one may
    hold the very first value of a channel.

    Args:
        cells: at least one.
        numbers: int64 [cells], which of the new cells each belongs to; the new ones come in ascending numbers.
    """
    order = np.lexsort((cells.t_ns, numbers))
    if (order[1:] < order[:-1]).any():
        cells, numbers = cells[order], numbers[order]
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    values, t_end_ns = cells.values, cells.t_end_ns
    count = np.add.reduceat(cells.count, starts)
    full = bool((values[:, COUNT] == cells.count[:, None]).all())
    counts = count[:, None].astype(np.float64) if full else np.add.reduceat(values[:, COUNT], starts)
    out = np.empty((len(starts), *values.shape[1:]))
    out[:, COUNT] = counts
    there = values[:, COUNT] > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        if there.all():
            out[:, MIN] = np.minimum.reduceat(values[:, MIN], starts)
            out[:, MAX] = np.maximum.reduceat(values[:, MAX], starts)
            out[:, MEAN] = np.add.reduceat(values[:, MEAN] * values[:, COUNT], starts) / counts
        else:
            out[:, MIN] = np.fmin.reduceat(np.where(there, values[:, MIN], np.nan), starts)
            out[:, MAX] = np.fmax.reduceat(np.where(there, values[:, MAX], np.nan), starts)
            sums = np.where(there, values[:, MEAN] * values[:, COUNT], 0.0)
            out[:, MEAN] = np.add.reduceat(sums, starts) / counts
    out[:, FIRST] = _firsts(values[:, FIRST], there, starts)
    out[:, LAST] = _lasts(values[:, LAST], there, starts, numbers, t_end_ns)
    last_ns = np.maximum.reduceat(t_end_ns, starts)
    return Cells(cells.t_ns[starts], last_ns, count, out)


def _firsts(values: Floats, there: Any, starts: Ints) -> Floats:
    """Of each group and channel the first value that is there."""
    if there[starts].all():
        return np.asarray(values[starts], np.float64)
    far = len(values)
    places = np.minimum.reduceat(np.where(there, np.arange(far)[:, None], far), starts)
    firsts: Floats = np.where(places < far, np.take_along_axis(values, np.minimum(places, far - 1), 0), np.nan)
    return firsts


def _lasts(values: Floats, there: Any, starts: Ints, numbers: Ints, t_end_ns: Ints) -> Floats:
    """Of each group and channel the last value that is there, by the cells' ends."""
    if (t_end_ns[1:] < t_end_ns[:-1]).any():
        order = np.lexsort((t_end_ns, numbers))
        values, there = values[order], there[order]
    ends = np.append(starts[1:], len(values)) - 1
    if there[ends].all():
        return np.asarray(values[ends], np.float64)
    places = np.maximum.reduceat(np.where(there, np.arange(len(values))[:, None], -1), starts)
    lasts: Floats = np.where(places >= 0, np.take_along_axis(values, np.maximum(places, 0), 0), np.nan)
    return lasts
