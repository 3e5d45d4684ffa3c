"""Where a cloud's coordinates and colours lie in its bytes, and their bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.kinds.images.info import Bounds
from datamanager.kinds.images.lzf import unpack_lzf

__all__ = ["AXES", "CloudLayout", "Column", "bounds_of", "cheap_bounds", "read_columns"]

AXES = ("x", "y", "z")
_ROWS = 65536  # rows looked at together, so that a large cloud takes no more memory than a small one
_MAX_TEXT = 1 << 20  # numbers from text take 0.2 µs each

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One number of every point.

    Attributes:
        dtype: how it is declared, byte order included.
        offset: of the first point's value, from the start of the body; in text, the number of its word in a row.
        stride: bytes from one point's value to the next; in text, words in a row.
    """

    dtype: np.dtype[Any]
    offset: int
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudLayout:
    """Where the points of a PLY or PCD file are.

    Attributes:
        points: how many; checked against the bytes that are there, as far as the encoding tells.
        columns: by name, at least x, y and z.
        encoding: `binary`; `text`; or `lzf`, columns one after the other, packed.
        body: offset of the body in the file.
        size: bytes of the body in the file.
        raw_size: bytes of the body when unpacked (`lzf`).
        width: of an organised cloud, else None.
        height: of an organised cloud, else None.
        notes: what is odd, but no reason to refuse.
    """

    points: int
    columns: Mapping[str, Column]
    encoding: Literal["binary", "text", "lzf"]
    body: int
    size: int
    raw_size: int = 0
    width: int | None = None
    height: int | None = None
    notes: tuple[str, ...] = ()


def read_columns(data: bytes, layout: CloudLayout, names: Iterable[str]) -> dict[str, Array]:
    """Columns by name, each of shape (points,) in its declared dtype; views into `data` where that is binary.

    Raises:
        Refused: `bad_payload` when a text or packed body does not hold what the header promised.
    """
    if layout.points == 0:
        return {name: np.empty(0, layout.columns[name].dtype) for name in names}
    if layout.encoding == "text":
        return _text_columns(data, layout, names)
    body, start = data, layout.body
    if layout.encoding == "lzf":
        body, start = bytes(unpack_lzf(data[start : start + layout.size], layout.raw_size)), 0
    return {name: _view(body, start, layout.points, layout.columns[name]) for name in names}


def cheap_bounds(data: bytes, layout: CloudLayout) -> Bounds | None:
    """The bounds, where they can be had within milliseconds: not of packed points and not of a long text."""
    if layout.encoding == "lzf" or (layout.encoding == "text" and layout.size > _MAX_TEXT):
        return None
    columns = read_columns(data, layout, AXES)
    return bounds_of(columns["x"], columns["y"], columns["z"])


def bounds_of(x: Array, y: Array, z: Array) -> Bounds | None:
    """Smallest and largest x, y, z over the points that are finite; None when there is none.

    Args:
        x: shape (points,), any numeric dtype.
        y: as x.
        z: as x.
    """
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for start in range(0, len(x), _ROWS):
        part = slice(start, start + _ROWS)
        with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN like any other
            rows = np.array([x[part], y[part], z[part]], np.float64)
        least, most = rows.min(axis=1), rows.max(axis=1)
        if not np.isfinite((least, most)).all():  # NaN and infinities show in a smallest or largest
            finite = np.isfinite(rows).all(axis=0)
            least, most = np.where(finite, rows, np.inf).min(axis=1), np.where(finite, rows, -np.inf).max(axis=1)
        low, high = np.minimum(low, least), np.maximum(high, most)
    if low[0] > high[0]:
        return None
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))


def _view(body: bytes, start: int, points: int, column: Column) -> Array:
    return np.ndarray((points,), column.dtype, body, start + column.offset, (column.stride,))


def _text_columns(data: bytes, layout: CloudLayout, names: Iterable[str]) -> dict[str, Array]:
    words = layout.columns["x"].stride
    numbers = _numbers(data[layout.body : layout.body + layout.size], layout)
    with np.errstate(invalid="ignore", over="ignore"):  # a number beyond its declared type is the sender's matter
        rows = numbers[: layout.points * words].reshape(layout.points, words)
        return {name: rows[:, layout.columns[name].offset].astype(layout.columns[name].dtype) for name in names}


def _numbers(text: bytes, layout: CloudLayout) -> npt.NDArray[np.float64]:
    try:
        # No `count`: numpy leaves uninitialised what the text does not fill.
        numbers = np.fromstring(text.decode("ascii"), np.float64, sep=" ")
    except ValueError as exc:  # a UnicodeDecodeError is one too
        raise Refused("bad_payload", "the points are no numbers", offset=layout.body) from exc
    words = layout.points * layout.columns["x"].stride
    if len(numbers) < words:
        detail = f"truncated: {layout.points} points take {words} numbers, {len(numbers)} are there"
        raise Refused("bad_payload", detail, offset=layout.body)
    return numbers
