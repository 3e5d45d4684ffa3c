"""The tiers of a depth picture: near is warm, far is cool, black is where nothing came back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from datamanager.kinds.images import ImageInfo
from datamanager.worker.decoding import open_picture, refusing
from datamanager.worker.encoding import encode_picture
from datamanager.worker.tier import BOXES, Tier, TierName, fit
from datamanager.worker.turbo import TURBO

__all__ = ["colour_depth", "make_depth_tiers"]

Floats = npt.NDArray[np.float32]

_PERCENTILES = (1.0, 99.0)
_SATURATED = 65535  # what sensors of 16 bits write for "no measurement" beside 0
_ENDS = (0.04, 0.96)  # of the colour map: its ends are nearly black, which is for no return
_SAMPLE = 65536


def make_depth_tiers(data: bytes, info: ImageInfo, which: Sequence[TierName]) -> dict[TierName, Tier]:
    """The wanted tiers from one decode, coloured between the frame's own near and far.

    Raises:
        Refused: `bad_payload` when the bytes cannot be decoded.
    """
    image = open_picture(data, info)
    with refusing(info):
        image.load()
        # Neighbours are left out of a very large picture: it is shown at 640 pixels, and held as float32.
        step = max(1, min(image.width // 1280, image.height // 720))
        depth = np.asarray(image)[::step, ::step].astype(np.float32)
    known = np.isfinite(depth) & (depth > 0)
    if image.mode.startswith("I;16"):
        known &= depth != _SATURATED
    near, far = _range(depth[known])
    tiers: dict[TierName, Tier] = {}
    for name in which:
        small, seen = _scale(depth, known, fit(image.size, BOXES[name]))
        tiers[name] = encode_picture(Image.fromarray(colour_depth(small, seen, near, far)), sharp_colours=True)
    return tiers


def colour_depth(depth: Floats, known: npt.NDArray[np.bool_], near: float, far: float) -> npt.NDArray[np.uint8]:
    """Depths as colours.

    Args:
        depth: shape (height, width), in any unit.
        known: same shape; what is not known becomes black.
        near: the depth, and all below, that gets the warmest colour.
        far: the depth, and all above, that gets the coolest.

    Returns:
        Shape (height, width, 3), dtype uint8: RGB.
    """
    nearness = np.clip((far - depth) / (far - near), 0.0, 1.0)
    place = (_ENDS[0] + (_ENDS[1] - _ENDS[0]) * nearness) * 255
    colours = TURBO[np.where(known, place, 0).astype(np.uint8)]
    colours[~known] = 0
    return colours


def _range(values: Floats) -> tuple[float, float]:
    """Near and far: percentiles, so that a few wild points do not take all colours for themselves."""
    if len(values) == 0:
        return 0.0, 1.0
    near, far = np.percentile(values[:: max(1, len(values) // _SAMPLE)], _PERCENTILES)
    return float(near), float(max(far, near + 1e-3 * max(abs(near), 1e-3)))


def _scale(depth: Floats, known: npt.NDArray[np.bool_], size: tuple[int, int]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Depth at another size, the mean of what is known; known where most of a pixel is."""
    if size == depth.shape[::-1]:
        return depth, known
    weight = _resize(known.astype(np.float32), size)
    total = _resize(np.where(known, depth, 0.0).astype(np.float32), size)
    seen = weight > 0.5
    return np.divide(total, weight, out=np.zeros_like(total), where=seen), seen


def _resize(values: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))
