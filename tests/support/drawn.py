"""Drawn pictures: coloured rectangles on black."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageDraw

__all__ = ["BLUE", "GREEN", "RED", "drawn", "encoded"]

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Rectangle = tuple[int, int, int, int]


def drawn(size: tuple[int, int], rectangles: Mapping[tuple[int, int, int], Rectangle]) -> Image.Image:
    """A picture of `size`, width and height.

    Args:
        size: in pixels.
        rectangles: by colour: x1, y1, x2, y2, the last ones not drawn any more.
    """
    image = Image.new("RGB", size)
    draw = ImageDraw.Draw(image)
    for colour, (x1, y1, x2, y2) in rectangles.items():
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour)
    return image


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The picture's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()
