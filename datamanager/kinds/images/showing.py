"""What a decoded picture needs to be looked at: to be turned upright, and 8 bits where it has more."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

__all__ = ["is_sideways", "orientation_of", "stretched", "upright"]

# What undoes each EXIF orientation (CIPA DC-008, tag 0112); 5 to 8 change width and height.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})
_PERCENTILES = (0.5, 99.5)


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where there is none or it cannot be read: the picture itself may be good."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  # a broken EXIF block raises what it likes
        return 1
    return turn if isinstance(turn, int) else 1


def is_sideways(turn: int) -> bool:
    """Whether a picture of that orientation is stored with its width for its height."""
    return turn in _SIDEWAYS


def upright(image: Image.Image, turn: int) -> Image.Image:
    """The picture as its orientation means it to be seen; itself where that is upright, or none."""
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def stretched(values: npt.NDArray[Any]) -> Image.Image:
    """Grey of 16 or 32 bits (an infrared camera, say) as 8, from its dark to its bright percentile.

    Args:
        values: [height, width]; what is not finite is black.
    """
    values = values.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return Image.new("L", (values.shape[1], values.shape[0]))
    low, high = np.percentile(values[finite], _PERCENTILES)
    grey = np.where(finite, (values - low) / max(high - low, 1e-9), 0.0)
    return Image.fromarray((np.clip(grey, 0.0, 1.0) * 255).astype(np.uint8))
