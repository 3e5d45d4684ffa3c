"""Finding where rows with lists in them end, without a step of Python for every row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamanager.errors import Refused

__all__ = ["Part", "end_of_rows"]

_MAX_RUNS = 1000
_MAX_LIST = 2**24


@dataclass(frozen=True, slots=True)
class Part:
    """One property of a row: a number, or a list preceded by its length.

    Attributes:
        dtype: of the number, or of one in the list.
        count: dtype of the list's length; None for a plain number.
    """

    dtype: np.dtype[Any]
    count: np.dtype[Any] | None = None


def end_of_rows(data: bytes, at: int, rows: int, parts: Sequence[Part], what: str) -> int | None:
    """Where `rows` rows that begin at `at` end; None when their lists change length too often to be worth following.

    Rows whose lists are of the same lengths as in the row before (triangles after triangles) are skipped together.

    Raises:
        Refused: `bad_payload` when there are fewer bytes than the rows take at the least, or a list's length is absurd.
    """
    least = sum((part.count or part.dtype).itemsize for part in parts)
    _check_room(data, at, rows, least, what)
    if all(part.count is None for part in parts):
        return at + rows * least
    for _ in range(_MAX_RUNS):
        if rows == 0:
            return at
        places, size = _measure_row(data, at, parts, what)
        same = _rows_alike(data, at, rows, places, size)
        at, rows = at + same * size, rows - same
        _check_room(data, at, rows, least, what)
    return at if rows == 0 else None


def _check_room(data: bytes, at: int, rows: int, least: int, what: str) -> None:
    if rows * least > len(data) - at:
        detail = (
            f"the header declares {rows} x {what} of at least {least} bytes; {max(0, len(data) - at)} bytes are left"
        )
        raise Refused("bad_payload", detail, offset=at)


def _measure_row(data: bytes, at: int, parts: Sequence[Part], what: str) -> tuple[list[tuple[int, np.dtype[Any]]], int]:
    """Where in the row at `at` its lists' lengths stand, and the row's size."""
    places, offset = [], 0
    for part in parts:
        items = 1
        if part.count is not None:
            places.append((offset, part.count))
            _check_room(data, at + offset, 1, part.count.itemsize, what)
            items = int(np.frombuffer(data, part.count, 1, at + offset)[0])
            if not 0 <= items <= _MAX_LIST:
                raise Refused("bad_payload", f"a list of {items} in {what}", offset=at + offset)
            offset += part.count.itemsize
        offset += items * part.dtype.itemsize
    _check_room(data, at, 1, offset, what)
    return places, offset


def _rows_alike(data: bytes, at: int, rows: int, places: list[tuple[int, np.dtype[Any]]], size: int) -> int:
    """How many rows from `at` on have lists of the same lengths as the first; at least 1."""
    alike = min(rows, (len(data) - at) // size)
    for offset, dtype in places:
        lengths = np.ndarray((alike,), dtype, data, at + offset, (size,))
        seen, step = 1, 64
        while seen < alike:
            other = np.flatnonzero(lengths[seen : min(seen + step, alike)] != lengths[0])
            if len(other):
                alike = seen + int(other[0])
                break
            seen, step = seen + step, step * 8  # few rows first: a short run must not cost as much as a long one
    return alike
