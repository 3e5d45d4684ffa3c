"""Drawing boxes and masks into a picture, with what they are of."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from datamanager.errors import Refused

__all__ = ["DRAWING", "OverlayBox", "OverlayMask", "draw_overlay"]

DRAWING = 1
"""Grows when pictures are drawn otherwise: whoever has kept one asks anew."""

_MOST_BOXES = 300
_MOST_MASKS = 100
_MOST_CELLS = 1 << 20  # of a mask
_VEIL = 0.45  # how much of a mask's colour covers what is below it
_LABELS_FROM = 160  # pixels of height; in less a label hides more than it says
_MOST_NAME = 28
_QUALITY = 90
# Twenty that are told apart on most pictures, next to each other and from asphalt, foliage and walls.
_COLOURS = (
    "#ffe119 #e6194b #3cb44b #42d4f4 #f58231 #f032e6 #4363d8 #bfef45 #fabed4 #469990 "
    "#dcbeff #ff7f7f #aaffc3 #9a6324 #fffac8 #00b3ff #ffd8b1 #b14bff #00e5a8 #ff5ca8"
).split()

Rect = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class OverlayBox:
    """A box to be drawn.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the upright original picture.
        name: of its class.
        class_id: number of its class, which chooses the colour; by its name where None.
        score: 0 to 1.
        track_id: of the object; None where it has none.
    """

    box: Rect
    name: str
    class_id: int | None
    score: float
    track_id: int | None

    @property
    def label(self) -> str:
        """What is written beside it."""
        name = "".join(c if c.isprintable() else "?" for c in self.name)
        name = name if len(name) <= _MOST_NAME else name[: _MOST_NAME - 1] + "…"
        return f"{name} {self.score:.2f}" + ("" if self.track_id is None else f"  #{self.track_id}")

    @property
    def colour(self) -> str:
        """Of its class, in every picture the same."""
        return _colour(crc32(self.name.encode("utf-8", "replace")) if self.class_id is None else self.class_id)


@dataclass(frozen=True, slots=True)
class OverlayMask:
    """A part of the picture.

    Attributes:
        size: height and width of the grid of cells that covers the whole picture.
        runs: pairs of (number, length): runs of cells, row by row; the cells of number 0 are left as they are.
        numbers: which colour the cells of a number get.
    """

    size: tuple[int, int]
    runs: tuple[tuple[int, int], ...]
    numbers: tuple[int, ...]


def draw_overlay(
    data: bytes, boxes: Sequence[OverlayBox], masks: Sequence[OverlayMask], size: tuple[int, int] | None
) -> bytes:
    """The picture as JPEG with boxes in it, the best on top, and labels where there is room for them to be read.

    Args:
        data: the encoded picture, turned upright already or saying in its EXIF block how to.
        boxes: of these the 300 best.
        masks: of these the first 100.
        size: width and height of the upright original that the boxes are measured in; None: of this picture.

    Raises:
        Refused: `bad_payload` when it cannot be decoded, or has no 8 bits a channel.
    """
    image = _opened(data)
    for mask in masks[:_MOST_MASKS]:
        image = _veiled(image, mask)
    width, height = size or image.size
    scale = image.width / width, image.height / height
    best = sorted(boxes, key=lambda box: -box.score)[:_MOST_BOXES]
    placed = [(box, rect) for box in best if (rect := _scaled(box.box, scale, image.size)) is not None]
    draw = ImageDraw.Draw(image)
    line = max(1 if image.height < _LABELS_FROM else 2, round(min(image.size) / 180))
    for box, rect in reversed(placed):
        _draw_box(draw, rect, box.colour, line)
    if image.height >= _LABELS_FROM:
        _draw_labels(draw, placed, image.size)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, subsampling=0)  # full colour: text and thin lines are nothing without it
    return out.getvalue()


def _opened(data: bytes) -> Image.Image:
    try:
        stored = Image.open(io.BytesIO(data))
        stored.load()
        image: Image.Image = ImageOps.exif_transpose(stored)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise Refused("bad_payload", f"the picture cannot be decoded: {exc}"[:300]) from exc
    if image.mode.startswith(("I", "F")):
        raise Refused("bad_payload", f"a picture of mode {image.mode} has no colours to draw in: ask for its preview")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "#727272"), over).convert("RGB")
    return image.convert("RGB")


def _veiled(image: Image.Image, mask: OverlayMask) -> Image.Image:
    """The picture with a mask over it; as it is where the runs do not make up the grid."""
    height, width = mask.size
    lengths = [length for _, length in mask.runs]
    if not 0 < height * width <= _MOST_CELLS or min(lengths, default=-1) < 0 or sum(lengths) != height * width:
        return image
    cells: npt.NDArray[np.int64] = np.repeat([number for number, _ in mask.runs], lengths).reshape(height, width)
    for number in np.unique(cells):
        if number:
            part = Image.fromarray(((cells == number) * round(255 * _VEIL)).astype(np.uint8))
            image.paste(_colour(mask.numbers[number - 1]), mask=part.resize(image.size, Image.Resampling.BILINEAR))
    return image


def _scaled(box: Rect, scale: tuple[float, float], size: tuple[int, int]) -> Rect | None:
    """A box in pixels of the picture, cut off at its edges; None where nothing is left."""
    if not all(math.isfinite(side) for side in box):
        return None
    x1, x2 = sorted(min(max(x * scale[0], 0.0), size[0] - 1.0) for x in box[::2])
    y1, y2 = sorted(min(max(y * scale[1], 0.0), size[1] - 1.0) for y in box[1::2])
    return round(x1), round(y1), round(x2), round(y2)


def _draw_box(draw: ImageDraw.ImageDraw, rect: Rect, colour: str, line: int) -> None:
    x1, y1, x2, y2 = rect
    # A dark edge, so that it is seen on what has its own colour.
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="#000000", width=line + 2 if line > 1 else 1)
    draw.rectangle(rect, outline=colour, width=line)


def _draw_labels(draw: ImageDraw.ImageDraw, placed: Sequence[tuple[OverlayBox, Rect]], size: tuple[int, int]) -> None:
    """Labels, those of the best boxes first: each where it hides no other, if there is such a place."""
    points = min(64, max(11, round(size[1] / 28)))
    font = ImageFont.load_default(points)
    pad = max(2, points // 5)
    taken: list[Rect] = []
    for box, rect in placed:
        text = box.label
        left, _, right, _ = font.getbbox(text)
        extent = (right - left + 2 * pad, points + 2 * pad - 1)
        place = _free_place(rect, extent, size, taken)
        if place is None:
            continue
        taken.append(place)
        draw.rectangle(place, fill=box.colour, outline="#000000")
        draw.text(
            (place[0] + pad - left, place[1] + extent[1] / 2), text, fill=_ink(box.colour), font=font, anchor="lm"
        )


def _free_place(rect: Rect, extent: tuple[float, float], size: tuple[int, int], taken: Sequence[Rect]) -> Rect | None:
    """Above the box, below it, or in it: the first where no other label is; None where there is none."""
    (x1, y1, x2, y2), (width, height) = rect, extent
    for x, y in (
        (x1, y1 - height),
        (x2 - width, y1 - height),
        (x1, y1 + 1),
        (x1, y2 + 1),
        (x2 - width, y2 + 1),
        (x1, y2 - height - 1),
        (x2 - width, y1 + 1),
    ):
        left = min(max(x, 0), max(0, size[0] - 1 - width))
        if not 0 <= y <= size[1] - 1 - height:
            continue
        place = (left, y, left + width, y + height)
        if not any(_overlap(place, other) for other in taken):
            return place
    return None


def _overlap(one: Rect, other: Rect) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _ink(colour: str) -> str:
    """Black or white, whichever is read better on a colour (ITU-R BT.601 luma)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else "#ffffff"
