"""Raw pictures of recordings as arrays that a PNG carries without loss.

Names of encodings: ROS `sensor_msgs/image_encodings.hpp`, which Foxglove's RawImage shares.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.push.recording.decode import Undecodable

__all__ = ["pixels_of"]

# encoding: (dtype, channels, order of the channels in a PNG)
_LAYOUTS: dict[str, tuple[str, int, tuple[int, ...] | None]] = {
    "rgb8": ("u1", 3, None),
    "8UC3": ("u1", 3, (2, 1, 0)),
    "bgr8": ("u1", 3, (2, 1, 0)),
    "rgba8": ("u1", 4, None),
    "bgra8": ("u1", 4, (2, 1, 0, 3)),
    "8UC4": ("u1", 4, (2, 1, 0, 3)),
    "mono8": ("u1", 1, None),
    "8UC1": ("u1", 1, None),
    "mono16": ("u2", 1, None),
    "16UC1": ("u2", 1, None),
}
_MAX_SIDE = 65_535


def pixels_of(width: int, height: int, encoding: str, step: int, data: bytes, *, big_endian: bool) -> npt.NDArray[Any]:
    """A raw picture as an array of shape (height, width) or (height, width, channels), uint8 or uint16.

    Args:
        width: pixels of a row; `height` rows.
        height: see there.
        encoding: what a pixel is.
        step: bytes from one row to the next.
        data: the rows.
        big_endian: the order of the bytes of 16-bit values.

    Raises:
        Undecodable: PNG has no such pixels, or the sizes do not fit.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise Undecodable(f"PNG has no pixels of encoding {encoding[:40]!r}")
    name, channels, order = layout
    dtype = np.dtype(name).newbyteorder(">" if big_endian else "<")
    row = width * channels * dtype.itemsize
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE) or step < row or len(data) < step * (height - 1) + row:
        raise Undecodable(f"{len(data)} bytes are no {width}x{height} {encoding} with rows of {step}")
    padded = np.frombuffer(data.ljust(step * height, b"\0"), np.uint8, step * height).reshape(height, step)
    pixels = np.ascontiguousarray(padded[:, :row]).view(dtype).reshape(height, width, channels)
    pixels = pixels.astype(dtype.newbyteorder("="))
    if order is not None:
        pixels = pixels[:, :, order]
    return pixels[:, :, 0] if channels == 1 else np.ascontiguousarray(pixels)
