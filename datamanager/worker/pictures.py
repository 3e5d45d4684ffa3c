"""The tiers of a colour or grey picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from datamanager.kinds.images import ImageInfo
from datamanager.kinds.images.showing import is_sideways, orientation_of, stretched, upright
from datamanager.worker.decoding import open_picture, refusing
from datamanager.worker.encoding import encode_picture
from datamanager.worker.tier import BOXES, Tier, TierName, fit

__all__ = ["make_picture_tiers"]


def make_picture_tiers(data: bytes, info: ImageInfo, which: Sequence[TierName]) -> dict[TierName, Tier]:
    """The wanted tiers from one decode; a JPEG is decoded at the smallest of its scales that is large enough.

    Raises:
        Refused: `bad_payload` when the bytes cannot be decoded.
    """
    image = open_picture(data, info)
    size, largest = image.size, max((BOXES[name] for name in which), default=(1, 1))
    with refusing(info):
        if info.format != "jpeg":
            image.load()  # first: asking a PNG for its EXIF decodes it too, and hides that this failed
        turn = orientation_of(image)
        if info.format == "jpeg":
            image.draft(None, fit(size, _stored(largest, turn)))
        image.load()
        image = _plain(image)
    tiers: dict[TierName, Tier] = {}
    for name in sorted(which, key=lambda name: -BOXES[name][0]):  # a smaller one is made from the larger
        wanted = fit(size, _stored(BOXES[name], turn))
        if wanted != image.size:
            image = image.resize(wanted, Image.Resampling.BILINEAR, reducing_gap=2.0)
        tiers[name] = encode_picture(_without_idle_alpha(upright(image, turn)))
    return tiers


def _stored(box: tuple[int, int], turn: int) -> tuple[int, int]:
    """The box as the stored picture sees it, before it is turned."""
    return box[::-1] if is_sideways(turn) else box


def _plain(image: Image.Image) -> Image.Image:
    """The picture as L, RGB or RGBA, with 8 bits a channel."""
    if image.mode in ("L", "RGB", "RGBA"):
        return image.convert("RGBA") if "transparency" in image.info else image
    if image.mode.startswith(("I", "F")):
        step = max(1, min(image.width // 1280, image.height // 720))
        return stretched(np.asarray(image)[::step, ::step])
    if image.mode == "1":
        return image.convert("L")
    has_alpha = image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _without_idle_alpha(image: Image.Image) -> Image.Image:
    """As RGB where the alpha channel hides nothing, as simulators and screenshots have it."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image
