"""Point clouds of recordings as binary PCD (https://pointclouds.org/documentation/tutorials/pcd_file_format.html)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datamanager.push.recording.decode import Undecodable

__all__ = ["CloudField", "pcd_of"]

_NEEDED = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class CloudField:
    """One field of each point: its numpy type without byte order (`f4`, `u1`, …), and where in the point it begins."""

    name: str
    offset: int
    dtype: str
    count: int = 1


def pcd_of(
    fields: Sequence[CloudField],
    *,
    points: int,
    width: int,
    stride: int,
    data: bytes,
    row_step: int | None = None,
    big_endian: bool = False,
) -> bytes:
    """A packed cloud as PCD, with every field and point, invalid ones too.

    Args:
        fields: of each point; x, y and z among them.
        points: how many there are.
        width: of a row, in points; `points` for a cloud without order.
        stride: bytes from one point to the next.
        data: the points.
        row_step: bytes from one row to the next.
        big_endian: the order of the bytes.

    Raises:
        Undecodable: sizes or fields do not fit.
    """
    if not {"x", "y", "z"} <= {f.name for f in fields}:
        raise Undecodable("the cloud has no x, y and z")
    height = points // width if width else 0
    if points <= 0 or width * height != points:
        raise Undecodable(f"{points} points are no rows of {width}")
    order = ">" if big_endian else "<"
    try:
        formats = [(f"{order}{f.dtype}", (f.count,)) if f.count > 1 else f"{order}{f.dtype}" for f in fields]
        point = np.dtype(
            {
                "names": [f.name for f in fields],
                "formats": formats,
                "offsets": [f.offset for f in fields],
                "itemsize": stride,
            }
        )
        rows = _rows(data, height, width * stride, row_step or width * stride)
        cloud = np.frombuffer(rows, point, points)
    except (ValueError, TypeError) as exc:
        raise Undecodable(f"the cloud's fields do not fit: {exc}"[:200]) from exc
    kept = [f for f in fields if f.count >= 1]
    packed = np.dtype([(f.name, f"<{f.dtype}", (f.count,)) if f.count > 1 else (f.name, f"<{f.dtype}") for f in kept])
    out = np.empty(points, packed)
    for each in kept:
        out[each.name] = cloud[each.name]
    return _header(kept, width, height).encode() + out.tobytes()


def _rows(data: bytes, height: int, row: int, step: int) -> bytes:
    """The rows without what stands between them."""
    if step < row or len(data) < step * (height - 1) + row:
        raise ValueError(f"{len(data)} bytes, where {height} rows of {step} were to be")
    return data if step == row else b"".join(data[n * step : n * step + row] for n in range(height))


def _header(fields: Sequence[CloudField], width: int, height: int) -> str:
    kinds = {"f": "F", "u": "U", "i": "I"}
    lines = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        f"FIELDS {' '.join(f.name for f in fields)}",
        f"SIZE {' '.join(f.dtype[1:] for f in fields)}",
        f"TYPE {' '.join(kinds[f.dtype[0]] for f in fields)}",
        f"COUNT {' '.join(str(f.count) for f in fields)}",
        f"WIDTH {width}",
        f"HEIGHT {height}",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {width * height}",
        "DATA binary",
    ]
    return "\n".join(lines) + "\n"
