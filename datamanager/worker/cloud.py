"""Reading a point cloud of any format into arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.kinds.images import ImageInfo, ImageLimits
from datamanager.kinds.images.formats import pcd, ply
from datamanager.kinds.images.layout import AXES, read_columns
from datamanager.worker.decoding import refusing
from datamanager.worker.draco import decode_draco

__all__ = ["Cloud", "read_cloud"]

_RGB = ("red", "green", "blue")
_LARGEST = 1e18  # beyond, squares and spans leave float32


@dataclass(frozen=True, slots=True)
class Cloud:
    """The finite points of a cloud.

    Attributes:
        xyz: shape (n, 3), dtype float64: coordinates of a map projection need more than float32 has.
        rgb: shape (n, 3), dtype uint8; None when the points have no colour.
    """

    xyz: npt.NDArray[np.float64]
    rgb: npt.NDArray[np.uint8] | None

    def pick(self, which: npt.NDArray[np.integer] | npt.NDArray[np.bool_] | slice) -> "Cloud":
        """Some of the points, by index, mask or slice."""
        return Cloud(self.xyz[which], None if self.rgb is None else self.rgb[which])


def read_cloud(data: bytes, info: ImageInfo) -> Cloud:
    """The points, without those that are NaN, infinite or beyond all measure.

    Raises:
        Refused: `bad_payload` when the bytes do not hold what their header promised.
    """
    with refusing(info), np.errstate(invalid="ignore"):  # a signalling NaN is a NaN like any other
        if info.format == "draco":
            decoded = decode_draco(data, info.points)
            cloud = Cloud(decoded[0].astype(np.float64), decoded[1])
        else:
            cloud = _read_columns(data, info)
    finite = np.all(np.abs(cloud.xyz) < _LARGEST, axis=1)  # False for NaN
    return cloud if finite.all() else cloud.pick(finite)


def _read_columns(data: bytes, info: ImageInfo) -> Cloud:
    read_layout = ply.read_layout if info.format == "ply" else pcd.read_layout
    layout = read_layout(data, ImageLimits(max_pixels=0, max_points=info.points or 0))
    packed = next((name for name in ("rgb", "rgba") if name in layout.columns), None)
    names = list(AXES)
    if layout.columns.keys() >= set(_RGB):
        names += _RGB
        packed = None
    elif packed is not None:
        names.append(packed)
    columns = read_columns(data, layout, names)
    if layout.points != info.points:
        raise Refused("bad_payload", f"{layout.points} points, not {info.points} as checked")
    xyz = np.stack([columns[axis].astype(np.float64) for axis in AXES], axis=1)
    if packed is not None:
        return Cloud(xyz, _unpack_colour(columns[packed]))
    return Cloud(xyz, _join_colours([columns[name] for name in _RGB]) if _RGB[0] in columns else None)


def _join_colours(channels: list[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    """Three columns as bytes: 8 bits as they are, 16 bits by their upper half, fractions from 0 to 1."""
    joined: npt.NDArray[Any] = np.stack(channels, axis=1)
    if joined.dtype.kind == "f":
        joined = np.clip(np.nan_to_num(joined), 0.0, 1.0) * 255
    elif joined.dtype.itemsize == 2:
        joined = joined >> 8
    return joined.astype(np.uint8)


def _unpack_colour(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8] | None:
    """PCL's colour: 0xAARRGGBB, as a whole number or as the bits of a float."""
    if values.dtype.itemsize != 4:
        return None
    bits = values.astype(values.dtype.newbyteorder("<")).view("<u4")
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
