"""Encoding a small picture as a tier."""

import io

from PIL import Image

from datamanager.worker.tier import Tier

__all__ = ["encode_picture"]


def encode_picture(image: Image.Image, *, quality: int = 82, sharp_colours: bool = False) -> Tier:
    """The picture as a tier: JPEG, or WebP when it has an alpha channel, which JPEG cannot hold.

    Args:
        image: of mode L, RGB or RGBA.
        quality: of JPEG and WebP, 1 to 95.
        sharp_colours: keep colour at full resolution, for pictures whose colours mean something.
    """
    out = io.BytesIO()
    if image.mode == "RGBA":
        image.save(out, "WEBP", quality=quality, method=2)
        return Tier(out.getvalue(), "image/webp", "webp", image.width, image.height)
    image.save(out, "JPEG", quality=quality, subsampling=0 if sharp_colours else 2)
    return Tier(out.getvalue(), "image/jpeg", "jpg", image.width, image.height)
