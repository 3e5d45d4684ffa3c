"""The camera, the depth camera and the lidar of a made robot: what they see of the scene, encoded."""

import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.simulator.events import Frame
from datamanager.simulator.motion import base
from datamanager.simulator.rates import bursty_s
from datamanager.simulator.scene import Rays, View, cast, colours
from datamanager.simulator.settings import CameraRate, CloudRate

__all__ = ["MadeCamera", "MadeClouds", "MadeDepth", "encode_jpeg", "encode_ply"]

_CAMERA_Z, _LIDAR_Z = 0.85, 0.6
_PITCH = 0.14  # rad, downwards
_FOCAL = 0.72  # of the width: about 70 degrees from side to side
_DEPTH_MIN_M, _DEPTH_MAX_M = 0.25, 9.0
_LIDAR_UP, _LIDAR_DOWN = np.radians(22.0), np.radians(-28.0)
_LIDAR_RINGS = 48


@dataclass(frozen=True, slots=True)
class MadeCamera:
    """RGB, as JPEG where Pillow is installed, else as PNG."""

    stream: str
    rate: CameraRate
    phase_s: float
    seed: tuple[int, ...]

    @property
    def origin(self) -> str:
        """What it is."""
        return f"{_rate_text(self.rate)}, {self.rate.width}x{self.rate.height}, a made room with a ball"

    def events(self, end_ns: int) -> Iterator[Frame]:
        """The frames before `end_ns`, each made when it is asked for."""
        for offset_ns, view in _views(self.rate, self.phase_s, self.seed, end_ns, _CAMERA_Z):
            rays = _camera_rays(self.rate.width, self.rate.height).turned(view.yaw)
            pixels = colours(view, rays, cast(view, rays))
            yield Frame(self.stream, offset_ns, encode_jpeg(pixels), "rgb", _where(view))


@dataclass(frozen=True, slots=True)
class MadeDepth:
    """16-bit depth: millimetres along the camera's axis; 0 where nothing came back."""

    stream: str
    rate: CameraRate
    phase_s: float
    seed: tuple[int, ...]

    @property
    def origin(self) -> str:
        """What it is."""
        return f"{_rate_text(self.rate)}, {self.rate.width}x{self.rate.height} in mm, the same room"

    def events(self, end_ns: int) -> Iterator[Frame]:
        """The frames before `end_ns`, each made when it is asked for."""
        noise = np.random.default_rng((*self.seed, 1))
        for offset_ns, view in _views(self.rate, self.phase_s, self.seed, end_ns, _CAMERA_Z):
            rays = _camera_rays(self.rate.width, self.rate.height).turned(view.yaw)
            depth_m = cast(view, rays).along  # the rays are 1 long along the camera's axis
            depth_m = depth_m + np.float32(0.0004) * depth_m**2 * noise.standard_normal(depth_m.shape, np.float32)
            seen = (depth_m > _DEPTH_MIN_M) & (depth_m < _DEPTH_MAX_M)
            depth_mm = np.where(seen, np.rint(depth_m * 1000), 0).astype(np.uint16)
            yield Frame(self.stream, offset_ns, depth_mm, "depth", _where(view) | {"unit": "mm"})


@dataclass(frozen=True, slots=True)
class MadeClouds:
    """A lidar's scans: binary PLY with colours, in the frame of the sensor."""

    stream: str
    rate: CloudRate
    phase_s: float
    seed: tuple[int, ...]

    @property
    def origin(self) -> str:
        """What it is."""
        return f"{_rate_text(self.rate)}, about {self.rate.points} points, a made lidar in the same room"

    def events(self, end_ns: int) -> Iterator[Frame]:
        """The scans before `end_ns`, each made when it is asked for."""
        noise = np.random.default_rng((*self.seed, 1))
        rays = _lidar_rays(self.rate.points)
        for offset_ns, view in _views(self.rate, self.phase_s, self.seed, end_ns, _LIDAR_Z):
            turned = rays.turned(view.yaw)
            hits = cast(view, turned)
            far_m = hits.along + np.float32(0.008) * noise.standard_normal(hits.along.shape, np.float32)
            points = np.stack([rays.x * far_m, rays.y * far_m, rays.z * far_m], axis=1)
            ply = encode_ply(points, colours(view, turned, hits))
            yield Frame(self.stream, offset_ns, ply, "pointcloud", _where(view))


def encode_jpeg(pixels: npt.NDArray[np.uint8]) -> bytes | npt.NDArray[np.uint8]:
    """RGB as JPEG; where Pillow is not installed the array as it is, which the client sends as PNG."""
    pillow = _pillow()
    if pillow is None:
        return pixels
    out = io.BytesIO()
    pillow.fromarray(pixels).save(out, "JPEG", quality=85)
    return out.getvalue()


def encode_ply(points: npt.NDArray[np.float32], rgb: npt.NDArray[np.uint8]) -> bytes:
    """A coloured cloud as binary little-endian PLY 1.0 (Turk, 1994).

    Args:
        points: metres, shape (n, 3).
        rgb: shape (n, 3).
    """
    fields = [("xyz", "<f4", 3), ("rgb", "u1", 3)]
    rows = np.empty(len(points), fields)
    rows["xyz"], rows["rgb"] = points, rgb
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    shades = "".join(f"property uchar {shade}\n" for shade in ("red", "green", "blue"))
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{axes}{shades}end_header\n"
    return head.encode() + rows.tobytes()


@cache
def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ModuleNotFoundError:
        return None


@cache
def _camera_rays(width: int, height: int) -> Rays:
    """A pinhole camera's, one a pixel, shape (height, width), 1 long along its axis, pitched down."""
    focal = _FOCAL * width
    left = ((width - 1) / 2 - np.arange(width)) / focal
    up = ((height - 1) / 2 - np.arange(height)) / focal
    y, z = np.meshgrid(left, up)
    cos, sin = np.cos(_PITCH), np.sin(_PITCH)
    x, z = cos + sin * z, cos * z - sin
    return Rays(x.astype(np.float32), y.astype(np.float32), z.astype(np.float32))


@cache
def _lidar_rays(points: int) -> Rays:
    """A spinning lidar's, shape (about points,), each 1 long."""
    rings = min(_LIDAR_RINGS, max(4, points // 16))
    angle, up = np.meshgrid(
        np.linspace(0, 2 * np.pi, max(1, points // rings), endpoint=False), np.linspace(_LIDAR_DOWN, _LIDAR_UP, rings)
    )
    x, y, z = np.cos(up) * np.cos(angle), np.cos(up) * np.sin(angle), np.sin(up)
    x, y, z = (axis.ravel().astype(np.float32) for axis in (x, y, z))
    return Rays(x, y, z)


def _views(
    rate: CameraRate | CloudRate, phase_s: float, seed: tuple[int, ...], end_ns: int, z: float
) -> Iterator[tuple[int, View]]:
    """When something is seen, and from where."""
    rng = np.random.default_rng(seed)
    for t_s in bursty_s(rate.rate_hz, rate.burst, end_s=end_ns / 1e9, phase_s=phase_s, rng=rng):
        at = base(np.array([t_s + phase_s]))
        yield round(t_s * 1e9), View(float(at.x[0]), float(at.y[0]), z, float(at.yaw[0]), t_s + phase_s)


def _where(view: View) -> dict[str, Any]:
    return {"position": [round(view.x, 4), round(view.y, 4), view.z], "yaw": round(view.yaw, 5)}


def _rate_text(rate: CameraRate | CloudRate) -> str:
    return f"{rate.rate_hz:g} Hz" + (f", bursts of {rate.burst.rate_hz:g} Hz" if rate.burst else "")
