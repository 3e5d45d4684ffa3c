"""Packed statistics of a block: what answers `max_points` and `stats` without touching the samples.

For each numeric or boolean channel, in the order of the block's schema, six numbers of 8 little-endian bytes:
count of values that are neither missing nor NaN (int64), min, max, mean, first, last (float64). One block is a
row of `[6, channels]`, so that the rows of many blocks decode as one array. Integers beyond 2^53 are rounded to the
nearest float64.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["FIELDS", "is_numeric", "numeric_channels", "pack", "pack_columns", "unpack"]

FIELDS = ("count", "min", "max", "mean", "first", "last")
_WIDTH = len(FIELDS)
Matrix = np.ndarray[Any, np.dtype[np.float64]]


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a channel of that type has statistics."""
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def numeric_channels(schema: pa.Schema) -> list[str]:
    """The names of the channels with statistics, in the order of the packed columns."""
    return [f.name for i, f in enumerate(schema) if i > 1 and is_numeric(f.type)]


def pack(values: Matrix) -> bytes:
    """The packed statistics of dense float64 values.

    Args:
        values: float64 [channels, samples] in time order; NaN where there is no value.
    """
    channels, n = values.shape
    out = np.empty((_WIDTH, channels))
    with np.errstate(over="ignore", invalid="ignore"):
        out[3] = values.mean(axis=1)
        if np.isnan(out[3]).any():
            return _pack_gaps(values, out)
        out[1] = values.min(axis=1)
        out[2] = values.max(axis=1)
    out[0].view(np.int64)[:] = n
    out[4] = values[:, 0]
    out[5] = values[:, -1]
    return out.tobytes()


def _pack_gaps(values: Matrix, out: Matrix) -> bytes:
    there = ~np.isnan(values)
    counts = there.sum(axis=1)
    rows = np.arange(len(values))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        out[3] = np.where(there, values, 0.0).sum(axis=1) / counts
        out[1] = np.fmin.reduce(values, axis=1)
        out[2] = np.fmax.reduce(values, axis=1)
    out[4] = values[rows, there.argmax(axis=1)]
    out[5] = values[rows, values.shape[1] - 1 - there[:, ::-1].argmax(axis=1)]
    out[0].view(np.int64)[:] = counts
    return out.tobytes()


def pack_columns(columns: Sequence[pa.Array]) -> bytes:
    """The packed statistics of a block's channels; empty when none is numeric."""
    numeric = [dense(column) for column in columns if is_numeric(column.type)]
    return pack(np.stack(numeric)) if numeric else b""


def dense(column: pa.Array) -> Matrix:
    """A numeric or boolean column as float64 [n], NaN where there is no value."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def unpack(rows: list[bytes], channels: int) -> Matrix:
    """Packed statistics of many blocks of one schema as float64 [blocks, 6, channels]; view `count` as int64."""
    return np.frombuffer(b"".join(rows), np.float64).reshape(len(rows), _WIDTH, channels)
