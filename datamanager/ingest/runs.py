"""Nested samples of one shape to columns, many at once: what a batch of single samples costs is decided here."""

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from datamanager.errors import Refused
from datamanager.ingest.wire import Message
from datamanager.kinds.names import parse_time_ns
from datamanager.kinds.time_series.columns import Columns, is_columnar
from datamanager.kinds.time_series.flatten import Flattener
from datamanager.kinds.time_series.types import column_from_values

__all__ = ["gather_run"]

_FLOAT = {float}
_FAR_S = 9e9  # later than any time that fits: such a one is looked at closely


def gather_run(run: Sequence[Message], flattener: Flattener, *, from_json: bool) -> Columns | None:
    """The samples as columns; None when they are not all of one shape.

    Raises:
        Refused: one of them is bad; which, shows when each is taken by itself.
    """
    payloads = [message.payload for message in run]
    if type(payloads[0]) is not dict or is_columnar(payloads[0]):
        return None
    found = flattener.rows(payloads)
    if found is None:
        return None
    names, rows = found
    t_ns = _times(run)
    values = tuple(chain.from_iterable(rows))
    if set(map(type, values)) == _FLOAT:
        return Columns(t_ns, names, _transposed(values, len(names)), None)
    columns = zip(*rows, strict=True)
    return Columns(t_ns, names, None, [column_from_values(column, from_json=from_json) for column in columns])


def _transposed(values: tuple[object, ...], width: int) -> list[bytes]:
    """Rows of floats, one after the other, as the float64 buffers of `width` columns."""
    by_row = np.frombuffer(struct.pack(f"={len(values)}d", *values), np.float64).reshape(-1, width)
    by_column = by_row.T.tobytes()
    size = len(by_column) // width
    return [by_column[at : at + size] for at in range(0, len(by_column), size)]


def _times(run: Sequence[Message]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The times of messages, Unix nanoseconds [n]; at once where all give plain seconds."""
    seconds = [message.timestamp for message in run]
    if set(map(type, seconds)) == _FLOAT and all(message.t_ns is None for message in run):
        given = np.array(seconds, np.float64)
        if ((given >= 0) & (given < _FAR_S)).all():
            micros = np.rint(given * 1e6)  # to even, as `round` does
            return micros.astype(np.int64) * 1000
    return np.array([_time(message) for message in run], np.int64)


def _time(message: Message) -> int:
    seconds = message.timestamp
    if message.t_ns is None and type(seconds) is float and 0 <= seconds < _FAR_S:
        return round(seconds * 1e6) * 1000
    t_ns = parse_time_ns(message.t_ns, seconds)
    if t_ns is None:
        raise Refused("missing_field", "the message has no t_ns and no timestamp")
    return t_ns
