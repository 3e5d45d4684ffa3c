"""A room, seen from inside: rays cast at walls, floor, pillars and a bouncing ball, for pictures, depths and scans.

Room frame: metres, z up, the origin in the middle of the floor.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Hits", "Rays", "View", "cast", "colours"]

Floats = npt.NDArray[np.float32]

_HALF_X, _HALF_Y, _HEIGHT = 6.0, 4.0, 2.8
_PILLARS = (  # x, y, radius
    *((0.0, y, 0.3) for y in (-2.9, 2.9)),
    *((x, y, 0.2) for x in (-3.2, 3.2) for y in (-3.1, 3.1)),
    *((x, 0.0, 0.25) for x in (-5.0, 5.0)),
    *((x, 0.0, 0.16) for x in (-2.1, 2.1)),
)
_PILLAR_HEIGHT = 1.3
_BALL_RADIUS = 0.35
_FLOOR, _CEILING, _WALL_X, _WALL_Y, _PILLAR, _BALL = range(6)
_BASE_COLOURS = np.array(
    [[150, 140, 128], [214, 217, 220], [96, 132, 168], [176, 148, 104], [196, 92, 62], [232, 186, 40]], np.float32
)


_SHADES, _BRIGHTEST = 256, 1.3
_PALETTE = (
    np.minimum(  # by surface and shade: RGB
        _BASE_COLOURS[:, None] * np.linspace(0, _BRIGHTEST, _SHADES)[:, None], 255
    )
    .reshape(-1, 3)
    .astype(np.uint8)
)


@dataclass(frozen=True, slots=True)
class View:
    """Where rays start, which way is ahead, and when (the ball moves)."""

    x: float
    y: float
    z: float
    yaw: float
    t_s: float


@dataclass(frozen=True, slots=True)
class Rays:
    """Directions in the sensor's frame (x ahead, y left, z up), each of the same shape; of any length but 0.

    Those of a camera have the shape (height, width): each row goes from left to right.
    """

    x: Floats
    y: Floats
    z: Floats

    def turned(self, yaw: float) -> "Rays":
        """The directions in the frame of the room."""
        cos, sin = np.float32(np.cos(yaw)), np.float32(np.sin(yaw))
        return Rays(cos * self.x - sin * self.y, sin * self.x + cos * self.y, self.z)

    def __getitem__(self, part: slice) -> "Rays":
        """Those of a part of the last axis: of a camera, some columns."""
        return Rays(self.x[..., part], self.y[..., part], self.z[..., part])


@dataclass(slots=True)
class Hits:
    """Where rays first hit something.

    Attributes:
        along: how many lengths of its direction each ray went.
        surface: of which kind what it hit is, uint8.
    """

    along: Floats
    surface: npt.NDArray[np.uint8]


def cast(view: View, rays: Rays) -> Hits:
    """Casts rays that are already turned into the room."""
    to_x, to_y = _to_walls(rays.x, view.x, _HALF_X), _to_walls(rays.y, view.y, _HALF_Y)
    to_z = _to_walls(rays.z, view.z - _HEIGHT / 2, _HEIGHT / 2)
    sideways = np.minimum(to_x, to_y)
    flat = np.where(rays.z > 0, np.uint8(_CEILING), np.uint8(_FLOOR))
    upright = np.where(to_x < to_y, np.uint8(_WALL_X), np.uint8(_WALL_Y))
    hits = Hits(np.minimum(sideways, to_z), np.where(to_z <= sideways, flat, upright))
    for x, y, radius in _PILLARS:
        _pillar(view, rays, hits, x, y, radius)
    _ball(view, rays, hits)
    return hits


def colours(view: View, rays: Rays, hits: Hits) -> npt.NDArray[np.uint8]:
    """What the rays see: RGB, of the rays' shape and 3."""
    x = np.float32(view.x) + rays.x * hits.along
    y = np.float32(view.y) + rays.y * hits.along
    z = np.float32(view.z) + rays.z * hits.along
    dark = _even(x) == _even(y)  # tiles
    dark &= hits.surface == _FLOOR
    stripes = _even(z * np.float32(2.5))
    stripes &= (hits.surface == _WALL_X) | (hits.surface == _WALL_Y)
    dark |= stripes
    light = np.float32(1.12) / (1 + np.float32(0.09) * hits.along)
    light *= np.where(dark, np.float32(0.76), np.float32(1.0))
    _shade_round(view, hits, light, x, y, z)
    shade = np.minimum(light * (_SHADES / _BRIGHTEST), _SHADES - 1).astype(np.uint16)
    shade += hits.surface * np.uint16(_SHADES)
    rgb: npt.NDArray[np.uint8] = np.take(_PALETTE, shade, axis=0)
    return rgb


def _even(values: Floats) -> npt.NDArray[np.bool_]:
    """Whether the integer below is even."""
    even: npt.NDArray[np.bool_] = (np.floor(values).astype(np.int16) & 1) == 0
    return even


def _to_walls(direction: Floats, at: float, half: float) -> Floats:
    """How many lengths it is to the wall that a ray goes to, of the two at -half and half."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / direction
        lengths = np.float32(half) * np.abs(inverse) - np.float32(at) * inverse
    return np.where(direction == 0, np.float32(np.inf), lengths)


def _ball_at(t_s: float) -> tuple[float, float, float]:
    """It bounces, and wanders between the pillars."""
    bounce = abs(np.sin(1.9 * t_s))
    return 2.4 * float(np.cos(0.31 * t_s)), 1.5 * float(np.sin(0.23 * t_s)), _BALL_RADIUS + 1.1 * float(bounce)


def _pillar(view: View, rays: Rays, hits: Hits, x: float, y: float, radius: float) -> None:
    """An upright cylinder: a circle to a ray seen from above."""
    part = _columns(view, rays, x, y, radius)
    rays = rays[part]
    dx, dy = np.float32(x - view.x), np.float32(y - view.y)
    square = rays.x * rays.x + rays.y * rays.y
    ahead = rays.x * dx + rays.y * dy
    inside = ahead * ahead - square * np.float32(dx * dx + dy * dy - radius * radius)
    with np.errstate(invalid="ignore"):  # straight up or down
        along = (ahead - np.sqrt(np.maximum(inside, 0))) / square
    low = view.z + rays.z * along < _PILLAR_HEIGHT
    _nearer(hits, part, along, (inside > 0) & (ahead > 0) & low, _PILLAR)


def _ball(view: View, rays: Rays, hits: Hits) -> None:
    x, y, z = _ball_at(view.t_s)
    part = _columns(view, rays, x, y, _BALL_RADIUS)
    rays = rays[part]
    dx, dy, dz = np.float32(x - view.x), np.float32(y - view.y), np.float32(z - view.z)
    ahead = rays.x * dx + rays.y * dy + rays.z * dz
    square = rays.x * rays.x + rays.y * rays.y + rays.z * rays.z
    inside = ahead * ahead - square * np.float32(dx * dx + dy * dy + dz * dz - _BALL_RADIUS**2)
    along = (ahead - np.sqrt(np.maximum(inside, 0))) / square
    _nearer(hits, part, along, (inside > 0) & (ahead > 0), _BALL)


def _columns(view: View, rays: Rays, x: float, y: float, radius: float) -> slice:
    """The part of the last axis in which rays may meet a circle, as seen from above."""
    dx, dy = x - view.x, y - view.y
    away = math.hypot(dx, dy)
    if rays.x.ndim == 1 or away <= radius:
        return slice(None)
    # The rows between see no further to a side than the first and the last do.
    edges_x, edges_y = rays.x[[0, -1]], rays.y[[0, -1]]
    beside = np.arctan2(edges_y * dx - edges_x * dy, edges_x * dx + edges_y * dy)  # from the circle's middle, leftwards
    half = math.asin(radius / away)
    found = np.flatnonzero(
        (beside.max(axis=0) >= -half) & (beside.min(axis=0) <= half) & (np.abs(beside) < 2).all(axis=0)
    )
    return slice(found[0], found[-1] + 1) if len(found) else slice(0)


def _nearer(
    hits: Hits, part: slice, along: npt.NDArray[np.floating[Any]], meets: npt.NDArray[np.bool_], surface: int
) -> None:
    before = hits.along[..., part]
    closer = meets & (along > 0) & (along < before)
    before[closer] = along[closer]
    hits.surface[..., part][closer] = surface


def _shade_round(view: View, hits: Hits, light: Floats, x: Floats, y: Floats, z: Floats) -> None:
    """The ball is lit from above, the pillars from the side."""
    ball = hits.surface == _BALL
    _, _, ball_z = _ball_at(view.t_s)
    light[ball] *= 0.7 + 0.45 * (z[ball] - np.float32(ball_z)) / np.float32(_BALL_RADIUS)
    pillar = hits.surface == _PILLAR
    light[pillar] *= 0.8 + 0.2 * np.sin(np.float32(9) * (x[pillar] + y[pillar]))
