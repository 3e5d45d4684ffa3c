"""Columnar payloads: `{"t_ns": bin, "channels": {name: bin | list}, "dtypes": {name: dtype}}` (DESIGN section 4).

Bins are little-endian; a channel's dtype is named unless it is float64.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.client.flatten import Value, flatten
from datamanager.errors import Refused

__all__ = ["columns_of_arrays", "columns_of_rows"]

_BIN_DTYPES = frozenset("int8 int16 int32 int64 uint8 uint16 uint32 float32 float64".split())
_WIRE_NAMES = {np.dtype(name).newbyteorder("<"): name for name in _BIN_DTYPES}  # dtype.name is computed anew each time
_INT64_MAX = 2**63 - 1
_FLOATS = {float}
_INTS = {int}

Times = npt.NDArray[np.int64] | Sequence[int]


def columns_of_rows(names: tuple[str, ...], t_ns: Sequence[int], rows: Sequence[tuple[Value, ...]]) -> dict[str, Any]:
    """Rows of equal shape as a columnar payload.

    A channel of floats or of ints becomes a bin; any other (text, booleans, missing values, ints among floats) a list,
    in which each value keeps its type.
    """
    channels: dict[str, Any] = {}
    dtypes: dict[str, str] = {}
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        types = set(map(type, column))
        if types == _FLOATS:
            channels[name] = np.array(column, "<f8").data
        elif types == _INTS:
            channels[name] = np.array(column, "<i8").data
            dtypes[name] = "int64"
        else:
            channels[name] = column
    return _payload(np.array(t_ns, "<i8"), channels, dtypes)


def columns_of_arrays(
    t_ns: Times, channels: Mapping[str, Any], split_bytes: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """Arrays as columnar payloads of at most about `split_bytes` each, with the number of samples in each.

    Args:
        t_ns: Unix nanoseconds, shape (n,), int64 or what converts to it without loss.
        channels: name to a 1-D array or list of n values. Numeric arrays keep their dtype (float16 widens to float32,
            uint64 to int64); arrays of text or objects and lists go value by value. Nothing is copied but by encoding.
        split_bytes: the size above which rows go into a further payload.

    Raises:
        Refused: `bad_time`, `bad_payload` or `wrong_type` when lengths, dtypes or values do not fit.
    """
    times = _times(t_ns)
    n = len(times)
    if not channels:
        raise Refused("bad_payload", "a batch without a channel")
    columns = {_name(name): _column(name, values, n) for name, values in channels.items()}
    row_bytes = 8 + sum(_row_bytes(column, n) for column in columns.values())
    step = max(1, split_bytes // max(1, row_bytes))
    for at in range(0, n, step):
        part = slice(at, min(at + step, n))
        yield _payload(times[part], *_encode(columns, part)), part.stop - at


def _payload(t_ns: npt.NDArray[np.int64], channels: dict[str, Any], dtypes: dict[str, str]) -> dict[str, Any]:
    payload = {"t_ns": t_ns.data, "channels": channels}
    return payload | {"dtypes": dtypes} if dtypes else payload


def _encode(
    columns: Mapping[str, npt.NDArray[Any] | list[Value]], part: slice
) -> tuple[dict[str, Any], dict[str, str]]:
    channels: dict[str, Any] = {}
    dtypes: dict[str, str] = {}
    for name, column in columns.items():
        if isinstance(column, list):
            channels[name] = column[part]
            continue
        channels[name] = column[part].data
        wire_name = _WIRE_NAMES[column.dtype]
        if wire_name != "float64":
            dtypes[name] = wire_name
    return channels, dtypes


def _times(t_ns: Times) -> npt.NDArray[np.int64]:
    times = np.asarray(t_ns)
    if times.ndim != 1 or not len(times):
        raise Refused("bad_payload", f"t_ns must be one row of at least one time, not of shape {times.shape}")
    if times.dtype.kind not in "iu":
        raise Refused("wrong_type", f"t_ns must be integers (nanoseconds), not {times.dtype}")
    if times.dtype.kind == "u" and int(times.max()) > _INT64_MAX:
        raise Refused("bad_time", "a time lies beyond int64")
    if int(times.min()) < 0:
        raise Refused("bad_time", f"time {int(times.min())} ns lies before 1970")
    return np.ascontiguousarray(times, "<i8")


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise Refused("wrong_type", f"a channel's name is a string, not {type(name).__name__}")
    return name


def _column(name: str, values: Any, n: int) -> npt.NDArray[Any] | list[Value]:
    if (
        type(values) is np.ndarray
        and values.shape == (n,)
        and values.dtype in _WIRE_NAMES
        and values.flags.c_contiguous
    ):
        return values
    return _converted(name, values, n)


def _converted(name: str, values: Any, n: int) -> npt.NDArray[Any] | list[Value]:
    column = values if isinstance(values, list | tuple) else np.asarray(values)
    if (isinstance(column, np.ndarray) and column.ndim != 1) or len(column) != n:
        shape = column.shape if isinstance(column, np.ndarray) else (len(column),)
        raise Refused("bad_payload", f"channel {name[:140]!r} is of shape {shape}, for {n} times")
    if isinstance(column, list | tuple):
        return _plain(name, column)
    dtype = column.dtype.name
    if dtype == "float16":
        return np.ascontiguousarray(column, "<f4")
    if dtype == "uint64":
        if int(column.max()) > _INT64_MAX:
            raise Refused("bad_payload", f"an integer in {name[:140]!r} is beyond int64")
        return np.ascontiguousarray(column, "<i8")
    if dtype not in _BIN_DTYPES:
        return _plain(name, column.tolist())
    return np.ascontiguousarray(column, column.dtype.newbyteorder("<"))


def _plain(name: str, values: Sequence[Any]) -> list[Value]:
    """Values one by one, each checked and made plain."""
    plain: list[Value] = []
    for value in values:
        if isinstance(value, Mapping | list | tuple | np.ndarray):
            raise Refused("wrong_type", f"channel {name[:140]!r} holds a {type(value).__name__}, which is no value")
        plain.append(flatten({name: value})[1][0])
    return plain


def _row_bytes(column: npt.NDArray[Any] | list[Value], n: int) -> int:
    if isinstance(column, list):
        return sum(4 * len(value) + 5 if isinstance(value, str) else 9 for value in column) // n + 1
    return column.dtype.itemsize
