"""The tiers of a colour or grey picture."""

from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, Image

from datamanager.kinds.images import ImageInfo
from datamanager.worker.decoding import open_picture, refusing
from datamanager.worker.encoding import encode_picture
from datamanager.worker.tier import BOXES, Tier, TierName, fit

__all__ = ["make_picture_tiers"]

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
_PERCENTILES = (0.5, 99.5)


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
        turn = _orientation(image)
        if info.format == "jpeg":
            image.draft(None, fit(size, _stored(largest, turn)))
        image.load()
        image = _plain(image)
    tiers: dict[TierName, Tier] = {}
    for name in sorted(which, key=lambda name: -BOXES[name][0]):  # a smaller one is made from the larger
        wanted = fit(size, _stored(BOXES[name], turn))
        if wanted != image.size:
            image = image.resize(wanted, Image.Resampling.BILINEAR, reducing_gap=2.0)
        turned = image.transpose(_TURNS[turn]) if turn in _TURNS else image
        tiers[name] = encode_picture(_without_idle_alpha(turned))
    return tiers


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where there is none or it cannot be read: the picture itself may be good."""
    try:
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  # a broken EXIF block raises what it likes
        return 1
    return turn if isinstance(turn, int) else 1


def _stored(box: tuple[int, int], turn: int) -> tuple[int, int]:
    """The box as the stored picture sees it, before it is turned."""
    return box[::-1] if turn in (5, 6, 7, 8) else box


def _plain(image: Image.Image) -> Image.Image:
    """The picture as L, RGB or RGBA, with 8 bits a channel."""
    if image.mode in ("L", "RGB", "RGBA"):
        return image.convert("RGBA") if "transparency" in image.info else image
    if image.mode.startswith(("I", "F")):
        return _stretch(image)
    if image.mode == "1":
        return image.convert("L")
    has_alpha = image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _stretch(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits (an infrared camera, say) as 8, from its dark to its bright percentile."""
    step = max(1, min(image.width // 1280, image.height // 720))
    values = np.asarray(image)[::step, ::step].astype(np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return Image.new("L", (values.shape[1], values.shape[0]))
    low, high = np.percentile(values[finite], _PERCENTILES)
    grey = np.where(finite, (values - low) / max(high - low, 1e-9), 0.0)
    return Image.fromarray((np.clip(grey, 0.0, 1.0) * 255).astype(np.uint8))


def _without_idle_alpha(image: Image.Image) -> Image.Image:
    """As RGB where the alpha channel hides nothing, as simulators and screenshots have it."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image
