"""Objects to be put into pictures: shaded balls, pillars, boxes and cones of any colour."""

import colorsys

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

__all__ = ["CLASSES", "sprite"]

CLASSES = ("ball", "pillar", "box", "cone")
_OWN = {"ball": (232, 186, 40), "pillar": (196, 92, 62), "box": (150, 110, 70), "cone": (240, 110, 20)}
_FINE = 3  # drawn so many times as large, so that edges come out smooth

Colour = npt.NDArray[np.float32]
Drawn = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
Points = list[tuple[float, float]]


def sprite(rng: np.random.Generator, name: str, side: float) -> Drawn:
    """An object about `side` pixels long.

    Returns:
        RGB of shape (height, width, 3), and how much it covers, 0 to 255, of shape (height, width), cut to what is covered.
    """
    size = max(int(side * _FINE), 8)
    picture, alpha = _DRAWN[name](rng, size, _colour(rng, name))
    turned = Image.merge("RGBA", (*Image.fromarray(picture).split(), Image.fromarray(alpha)))
    small = turned.resize((max(turned.width // _FINE, 2), max(turned.height // _FINE, 2)), Image.Resampling.BOX)
    rgba = np.asarray(small)
    ys, xs = np.nonzero(rgba[..., 3] > 127)
    rgba = rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return rgba[..., :3].copy(), rgba[..., 3].copy()


def _colour(rng: np.random.Generator, name: str) -> Colour:
    """Its own every third time, with some change, else any."""
    if rng.random() < 0.35:
        return np.clip(np.array(_OWN[name]) * rng.uniform(0.7, 1.2) + rng.normal(0, 12, 3), 5, 250).astype(np.float32)
    hsv = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 1), rng.uniform(0.35, 1))
    return (np.array(hsv) * 255).astype(np.float32)


def _ball(rng: np.random.Generator, size: int, colour: Colour) -> Drawn:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, axis)
    away = x * x + y * y
    z = np.sqrt(np.maximum(1 - away, 0))
    angle = rng.uniform(-np.pi, 0)
    lit = np.cos(angle) * x * 0.5 + np.sin(angle) * y * 0.5 + rng.uniform(0.2, 0.7) * z
    shade = 0.55 + 0.6 * np.clip(lit, -0.4, 1)
    paint = np.broadcast_to(colour, (size, size, 3)).copy()
    if rng.random() < 0.3:  # a band or a half of another colour
        turn = rng.uniform(0, np.pi)
        across = np.cos(turn) * x + np.sin(turn) * y + 0.4 * z
        paint[np.abs(across) < rng.uniform(0.15, 0.5)] = rng.integers(0, 256, 3)
    return _bytes(paint * shade[..., None]), (away <= 1).astype(np.uint8) * 255


def _pillar(rng: np.random.Generator, size: int, colour: Colour) -> Drawn:
    wide = max(int(size / rng.uniform(1.8, 6)), 4)
    x = (np.arange(wide, dtype=np.float32) + 0.5) / wide * 2 - 1
    shade = 0.55 + 0.45 * np.cos((x - rng.uniform(-0.6, 0.6)) * 1.3)
    drawn = np.broadcast_to((colour * shade[:, None])[None], (size, wide, 3)).copy()
    bow = max(int(wide * rng.uniform(0, 0.22)), 1)
    picture = Image.new("L", (wide, size), 0)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, bow, wide, size - bow), 255)
    draw.ellipse((0, size - 2 * bow, wide - 1, size - 1), 255)
    draw.ellipse((0, 0, wide - 1, 2 * bow), 255)
    if rng.random() < 0.4:
        top = Image.fromarray(_bytes(drawn))
        ImageDraw.Draw(top).ellipse((0, 0, wide - 1, 2 * bow), _ink(colour * rng.uniform(0.8, 1.3)))
        return np.asarray(top), np.asarray(picture)
    return _bytes(drawn), np.asarray(picture)


def _box(rng: np.random.Generator, size: int, colour: Colour) -> Drawn:
    """Front, top and one side, in oblique projection."""
    high = size * rng.uniform(0.45, 0.8)
    wide = size * rng.uniform(0.45, 0.8)
    deep_x, deep_y = size * rng.uniform(0.1, 0.35), size * rng.uniform(0.08, 0.25)
    light = rng.permutation(np.array([rng.uniform(0.45, 0.65), rng.uniform(0.7, 0.85), rng.uniform(0.95, 1.2)]))
    x1, y1, x2, y2 = 0.0, deep_y, wide, deep_y + high
    faces: list[Points] = [
        [(x1, y1), (x2, y1), (x2, y2), (x1, y2)],
        [(x1, y1), (x1 + deep_x, 0), (x2 + deep_x, 0), (x2, y1)],
        [(x2, y1), (x2 + deep_x, 0), (x2 + deep_x, y2 - deep_y), (x2, y2)],
    ]
    around = (int(wide + deep_x) + 1, int(high + deep_y) + 1)
    picture, alpha = Image.new("RGB", around), Image.new("L", around)
    for face, shade in zip(faces, light, strict=True):
        ImageDraw.Draw(picture).polygon(face, _ink(colour * shade))
        ImageDraw.Draw(alpha).polygon(face, 255)
    if rng.random() < 0.5:  # a label or a tape
        a, b = np.sort(rng.uniform(0.1, 0.9, 2))
        label = (wide * a, deep_y + high * 0.2, wide * b, deep_y + high * rng.uniform(0.3, 0.8))
        ImageDraw.Draw(picture).rectangle(label, _ink(rng.uniform(0, 255, 3)))
    if rng.random() < 0.5:
        picture, alpha = (one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in (picture, alpha))
    return np.asarray(picture), np.asarray(alpha)


def _cone(rng: np.random.Generator, size: int, colour: Colour) -> Drawn:
    wide = max(int(size * rng.uniform(0.5, 0.95)), 6)
    bow = max(int(wide * rng.uniform(0.08, 0.2)), 1)
    tip = wide * rng.uniform(0, 0.08)
    middle = wide / 2
    alpha = Image.new("L", (wide, size), 0)
    draw = ImageDraw.Draw(alpha)
    left, right = wide * 0.06, wide * 0.94
    draw.polygon([(middle - tip, 0), (middle + tip, 0), (right, size - bow), (left, size - bow)], 255)
    draw.ellipse((left, size - 2 * bow, right, size - 1), 255)
    if rng.random() < 0.4:  # a foot
        draw.rectangle((0, size - bow, wide, size), 255)
    x = (np.arange(wide, dtype=np.float32) + 0.5) / wide * 2 - 1
    shade = 0.6 + 0.4 * np.cos((x - rng.uniform(-0.5, 0.5)) * 1.4)
    paint = np.broadcast_to(colour, (size, wide, 3)).copy()
    if rng.random() < 0.6:  # bands
        for at in rng.uniform(0.2, 0.8, int(rng.integers(1, 3))):
            paint[int(at * size) : int((at + rng.uniform(0.08, 0.2)) * size)] = rng.uniform(180, 255)
    return _bytes(paint * shade[None, :, None]), np.asarray(alpha)


def _bytes(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _ink(colour: npt.NDArray[np.floating]) -> tuple[int, int, int]:
    r, g, b = (int(v) for v in np.clip(colour, 0, 255))
    return r, g, b


_DRAWN = {"ball": _ball, "pillar": _pillar, "box": _box, "cone": _cone}
