"""Pictures of rooms and of odd places with balls, pillars, boxes and cones in them, and where those are.

Half of them are views of the room that made robots drive through; the other half have backgrounds without any sense.
Into both come drawn objects. Everything hangs on the random generator that is handed in.
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from datamanager.simulator import scene
from datamanager.simulator.pictures import _camera_rays
from datamanager.simulator.scene import Hits, Rays, View, cast, colours
from training.sprites import CLASSES, sprite

__all__ = ["Boxes", "Pixels", "Scene", "background", "made_scene", "room", "weather"]

Pixels = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

_BALL, _PILLAR = CLASSES.index("ball"), CLASSES.index("pillar")
_LEAST_PIXELS, _LEAST_SIDE, _LEAST_PART = 24, 4, 0.3


@dataclass(slots=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        pixels: RGB, shape (height, width, 3).
        boxes: one row an object: class, x1, y1, x2, y2, in pixels: what of it can be seen.
    """

    pixels: Pixels
    boxes: Boxes


@dataclass(slots=True)
class _Canvas:
    """A picture that objects are put into: `owner` has, for each pixel, the number of the object that it shows, or -1."""

    pixels: Pixels
    owner: npt.NDArray[np.int16]
    classes: list[int]
    areas: list[int]

    def add(self, class_id: int, mask: npt.NDArray[np.bool_]) -> None:
        self.owner[mask] = len(self.classes)
        self.classes.append(class_id)
        self.areas.append(int(mask.sum()))

    def boxes(self) -> Boxes:
        """Those of which enough can be seen."""
        rows = []
        for number, (class_id, area) in enumerate(zip(self.classes, self.areas, strict=True)):
            ys, xs = np.nonzero(self.owner == number)
            if len(ys) < max(_LEAST_PIXELS, _LEAST_PART * area):
                continue
            x1, y1, x2, y2 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
            if min(x2 - x1, y2 - y1) >= _LEAST_SIDE:
                rows.append((class_id, x1, y1, x2, y2))
        return np.array(rows, np.float32).reshape(-1, 5)


def made_scene(rng: np.random.Generator, width: int = 320, height: int = 240) -> Scene:
    """A scene of either sort, with up to five drawn objects; one in twenty has none at all."""
    if rng.random() < 0.5:
        canvas = _room_canvas(rng, _random_view(rng), width, height)
        drawn = int(rng.integers(0, 4))
    else:
        canvas = _Canvas(background(rng, width, height), np.full((height, width), -1, np.int16), [], [])
        drawn = 0 if rng.random() < 0.1 else int(rng.integers(1, 6))
    taken: list[tuple[int, int, int, int]] = []
    for _ in range(drawn):
        _draw_one(rng, canvas, taken)
    return Scene(canvas.pixels, canvas.boxes())


def room(view: View, width: int, height: int) -> Scene:
    """What a made robot's camera sees, with nothing put in."""
    canvas = _room_canvas(np.random.default_rng(0), view, width, height)
    return Scene(canvas.pixels, canvas.boxes())


def weather(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """The same picture in another light, through another lens and compressed: nothing that moves an object."""
    gamma, gain = np.exp(rng.normal(0, 0.25)), rng.uniform(0.6, 1.25)
    tint = rng.normal(1, 0.06, 3)
    table = np.clip(((np.arange(256) / 255) ** gamma * gain)[:, None] * tint * 255, 0, 255).astype(np.uint8)
    pixels = np.stack([table[pixels[..., c], c] for c in range(3)], axis=-1)
    if rng.random() < 0.35:
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.3))))
        pixels = np.asarray(blurred)
    if rng.random() < 0.5:
        noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(1, 9))
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        pixels = jpeg(pixels, int(rng.integers(40, 96)))
    return pixels


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """There and back."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out).convert("RGB"))


def background(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """Slow colours, stripes, polygons and lines: nothing that has a name."""
    cells = int(rng.integers(2, 9))
    coarse = rng.integers(20, 236, (cells, cells, 3), dtype=np.uint8)
    if rng.random() < 0.4:  # nearly one colour
        coarse = (coarse // 6 + rng.integers(0, 200, 3)).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(0, 4))):
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, 80)
        wave = (x * np.cos(angle) + y * np.sin(angle)) / period
        part = (wave % 1 < rng.uniform(0.1, 0.6)) & (y > rng.uniform(-1, 0.8) * height)
        pixels[part] += rng.uniform(-45, 45, 3).astype(np.float32)
    fine = rng.normal(0, rng.uniform(0, 25), (height // 2, width // 2, 1)).repeat(2, 0).repeat(2, 1)
    return np.clip(_clutter(rng, pixels) + fine.astype(np.float32), 0, 255).astype(np.uint8)


def _clutter(rng: np.random.Generator, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Flat polygons and lines, so that an edge alone is no object."""
    picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    width, height = picture.size
    for _ in range(int(rng.integers(0, 9))):
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        corners = int(rng.integers(2, 6))
        middle, size = rng.uniform(0, 1, 2) * (width, height), rng.uniform(5, 90)
        points = [(float(a), float(b)) for a, b in middle + rng.uniform(-1, 1, (corners, 2)) * size]
        if corners == 2:
            draw.line(points, colour, int(rng.integers(1, 6)))
        else:
            draw.polygon(points, colour)
    return np.asarray(picture).astype(np.float32)


def _draw_one(rng: np.random.Generator, canvas: _Canvas, taken: list[tuple[int, int, int, int]]) -> None:
    """Puts an object where it hides little of those already drawn."""
    height, width = canvas.owner.shape
    class_id = int(rng.integers(len(CLASSES)))
    picture, alpha = sprite(rng, CLASSES[class_id], float(np.exp(rng.uniform(np.log(14), np.log(0.62 * height)))))
    high, wide = alpha.shape
    for _ in range(8):
        x = int(rng.integers(-wide // 4, width - 3 * wide // 4 + 1))
        y = int(rng.integers(-high // 4, height - 3 * high // 4 + 1))
        here = (x, y, x + wide, y + high)
        if all(_shared(here, other) < 0.15 for other in taken):
            break
    else:
        return
    taken.append(here)
    inside = (slice(max(y, 0), min(y + high, height)), slice(max(x, 0), min(x + wide, width)))
    part = (slice(inside[0].start - y, inside[0].stop - y), slice(inside[1].start - x, inside[1].stop - x))
    strength = alpha[part][..., None].astype(np.float32) / 255
    below = canvas.pixels[inside].astype(np.float32)
    canvas.pixels[inside] = (below + strength * (picture[part] - below)).astype(np.uint8)
    mask = np.zeros(canvas.owner.shape, np.bool_)
    mask[inside] = alpha[part] > 127
    canvas.add(class_id, mask)


def _shared(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """The part of the smaller one that both cover."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    least = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return max(wide, 0) * max(high, 0) / least


def _random_view(rng: np.random.Generator) -> View:
    x, y = rng.uniform(-4.6, 4.6), rng.uniform(-3.0, 3.0)
    return View(
        float(x), float(y), float(rng.uniform(0.6, 1.2)), float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(0, 200))
    )


def _room_canvas(rng: np.random.Generator, view: View, width: int, height: int) -> _Canvas:
    """The room and its objects: each is cast alone as well, to tell it from its neighbours."""
    rays = _camera_rays(width, height).turned(view.yaw)
    hits = cast(view, rays)
    pixels = colours(view, rays, hits).copy()
    if rng.random() < 0.3:  # other paint on everything
        pixels = pixels[..., rng.permutation(3)]
    canvas = _Canvas(pixels, np.full(hits.along.shape, -1, np.int16), [], [])
    for x, y, radius in scene._PILLARS:  # noqa: SLF001  # what stands in the room is nobody else's to know
        alone = _nothing(rays)
        scene._pillar(view, rays, alone, x, y, radius)  # noqa: SLF001
        _add_seen(view, rays, canvas, hits, alone, scene._PILLAR, _PILLAR)  # noqa: SLF001
    alone = _nothing(rays)
    scene._ball(view, rays, alone)  # noqa: SLF001
    _add_seen(view, rays, canvas, hits, alone, scene._BALL, _BALL)  # noqa: SLF001
    return canvas


def _nothing(rays: Rays) -> Hits:
    return Hits(np.full(rays.x.shape, np.inf, np.float32), np.zeros(rays.x.shape, np.uint8))


def _add_seen(view: View, rays: Rays, canvas: _Canvas, hits: Hits, alone: Hits, surface: int, class_id: int) -> None:
    with np.errstate(invalid="ignore"):  # where there is nothing, it is nothing times infinity
        whole = (alone.surface == surface) & (view.z + rays.z * alone.along >= 0)  # a pillar goes on below the floor
    if not whole.any():
        return
    canvas.add(class_id, whole & (hits.surface == surface) & (alone.along <= hits.along))
    canvas.areas[-1] = int(whole.sum())
