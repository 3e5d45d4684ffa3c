"""A room, seen from inside: rays cast at walls, floor, pillars and a bouncing ball, for pictures, depths and scans.

Room frame: metres, z up, the origin in the middle of the floor.
"""

import math
from dataclasses import dataclass

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

    Attributes:
        half_angle: no ray looks further to the left or right of ahead, in rad.
    """

    x: Floats
    y: Floats
    z: Floats
    half_angle: float = math.pi

    def turned(self, yaw: float) -> "Rays":
        """The directions in the frame of the room."""
        cos, sin = np.float32(np.cos(yaw)), np.float32(np.sin(yaw))
        return Rays(cos * self.x - sin * self.y, sin * self.x + cos * self.y, self.z, self.half_angle)


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
    with np.errstate(divide="ignore"):
        to_x = (np.where(rays.x > 0, np.float32(_HALF_X), np.float32(-_HALF_X)) - np.float32(view.x)) / rays.x
        to_y = (np.where(rays.y > 0, np.float32(_HALF_Y), np.float32(-_HALF_Y)) - np.float32(view.y)) / rays.y
        to_z = (np.where(rays.z > 0, np.float32(_HEIGHT), np.float32(0)) - np.float32(view.z)) / rays.z
    along = np.minimum(np.minimum(np.abs(to_x), np.abs(to_y)), np.abs(to_z))
    flat = np.where(rays.z > 0, np.uint8(_CEILING), np.uint8(_FLOOR))
    upright = np.where(np.abs(to_x) < np.abs(to_y), np.uint8(_WALL_X), np.uint8(_WALL_Y))
    hits = Hits(along, np.where(np.abs(to_z) <= along, flat, upright))
    for x, y, radius in _PILLARS:
        _pillar(view, rays, hits, x, y, radius)
    _ball(view, rays, hits)
    return hits


def colours(view: View, rays: Rays, hits: Hits) -> npt.NDArray[np.uint8]:
    """What the rays see: RGB, of the rays' shape and 3."""
    x = np.float32(view.x) + rays.x * hits.along
    y = np.float32(view.y) + rays.y * hits.along
    z = np.float32(view.z) + rays.z * hits.along
    tiles = (np.floor(x).astype(np.int16) + np.floor(y).astype(np.int16)) & 1
    stripes = (np.floor(z * 2.5).astype(np.int16) & 1) == 0
    light = np.float32(1.12) / (1 + np.float32(0.09) * hits.along)
    light *= np.where(hits.surface == _FLOOR, np.where(tiles == 0, np.float32(0.72), np.float32(1.0)), np.float32(1.0))
    walls = (hits.surface == _WALL_X) | (hits.surface == _WALL_Y)
    light *= np.where(walls & stripes, np.float32(0.82), np.float32(1.0))
    _shade_round(view, hits, light, x, y, z)
    seen = _BASE_COLOURS[hits.surface]
    seen *= light[..., None]
    return np.minimum(seen, 255, out=seen).astype(np.uint8)


def _ball_at(t_s: float) -> tuple[float, float, float]:
    """It bounces, and wanders between the pillars."""
    bounce = abs(np.sin(1.9 * t_s))
    return 2.4 * float(np.cos(0.31 * t_s)), 1.5 * float(np.sin(0.23 * t_s)), _BALL_RADIUS + 1.1 * float(bounce)


def _pillar(view: View, rays: Rays, hits: Hits, x: float, y: float, radius: float) -> None:
    """An upright cylinder: a circle to a ray seen from above."""
    if not _in_sight(view, rays, x, y, radius):
        return
    dx, dy = np.float32(x - view.x), np.float32(y - view.y)
    flat = rays.x * rays.x + rays.y * rays.y
    ahead = rays.x * dx + rays.y * dy
    inside = ahead * ahead - flat * np.float32(dx * dx + dy * dy - radius * radius)
    near = np.flatnonzero((inside > 0) & (ahead > 0))
    along = (ahead.flat[near] - np.sqrt(inside.flat[near])) / flat.flat[near]
    below = view.z + rays.z.flat[near] * along < _PILLAR_HEIGHT
    _nearer(hits, near[below], along[below], _PILLAR)


def _ball(view: View, rays: Rays, hits: Hits) -> None:
    x, y, z = _ball_at(view.t_s)
    if not _in_sight(view, rays, x, y, _BALL_RADIUS):
        return
    dx, dy, dz = np.float32(x - view.x), np.float32(y - view.y), np.float32(z - view.z)
    ahead = rays.x * dx + rays.y * dy + rays.z * dz
    square = rays.x * rays.x + rays.y * rays.y + rays.z * rays.z
    inside = ahead * ahead - square * np.float32(dx * dx + dy * dy + dz * dz - _BALL_RADIUS**2)
    near = np.flatnonzero((inside > 0) & (ahead > 0))
    _nearer(hits, near, (ahead.flat[near] - np.sqrt(inside.flat[near])) / square.flat[near], _BALL)


def _in_sight(view: View, rays: Rays, x: float, y: float, radius: float) -> bool:
    """Whether any ray can meet a circle, as seen from above."""
    away = math.hypot(x - view.x, y - view.y)
    turn = math.atan2(y - view.y, x - view.x) - view.yaw
    turn = abs(math.remainder(turn, 2 * math.pi))
    return away <= radius or turn - math.asin(radius / away) <= rays.half_angle


def _nearer(hits: Hits, index: npt.NDArray[np.intp], along: Floats, surface: int) -> None:
    closer = (along < hits.along.flat[index]) & (along > 0)
    hits.along.flat[index[closer]] = along[closer]
    hits.surface.flat[index[closer]] = surface


def _shade_round(view: View, hits: Hits, light: Floats, x: Floats, y: Floats, z: Floats) -> None:
    """The ball is lit from above, the pillars from the side."""
    ball = np.flatnonzero(hits.surface == _BALL)
    _, _, ball_z = _ball_at(view.t_s)
    light.flat[ball] *= 0.7 + 0.45 * (z.flat[ball] - np.float32(ball_z)) / np.float32(_BALL_RADIUS)
    pillar = np.flatnonzero(hits.surface == _PILLAR)
    light.flat[pillar] *= 0.8 + 0.2 * np.sin(np.float32(9) * (x.flat[pillar] + y.flat[pillar]))
