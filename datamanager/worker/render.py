"""Drawing a point cloud as a small picture."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from datamanager.worker.cloud import Cloud
from datamanager.worker.turbo import TURBO

__all__ = ["draw_cloud"]

Floats = npt.NDArray[np.float64]

_BACKGROUND = (16, 19, 26)
_MAX_POINTS = 150_000
_FINER = 2  # drawn at twice the size and scaled down, so that edges are smooth
_AZIMUTH, _ELEVATION = np.radians(-55.0), np.radians(32.0)
_MARGIN = 0.94  # of the picture that the cloud fills


def draw_cloud(cloud: Cloud, size: tuple[int, int]) -> Image.Image:
    """The cloud as a picture of mode RGB: in its own colours, else by height.

    A cloud that lies before a camera at the origin, looking along +z with y down (a depth camera's), is seen from that
    camera. Any other is seen from above at an angle, z up.

    Args:
        cloud: any; an empty one gives the background alone.
        size: width and height in pixels.
    """
    width, height = size[0] * _FINER, size[1] * _FINER
    if len(cloud.xyz) > _MAX_POINTS:
        cloud = cloud.pick(np.random.default_rng(1).integers(0, len(cloud.xyz), _MAX_POINTS))
    canvas = np.full((height * width, 3), _BACKGROUND, np.uint8)
    if len(cloud.xyz):
        across, down, depth, up = _project(cloud.xyz)
        columns, rows = _place(across, down, (width, height))
        colours = _by_height(up) if cloud.rgb is None else cloud.rgb
        canvas = _splat(canvas, columns, rows, depth, colours, (width, height))
    return Image.fromarray(canvas.reshape(height, width, 3)).resize(size, Image.Resampling.BOX)


def _project(xyz: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Each point's place across and down, its distance, and its height, in the view that suits the cloud."""
    if _is_before_camera(xyz):
        z = np.maximum(xyz[:, 2], 1e-9)
        return xyz[:, 0] / z, xyz[:, 1] / z, xyz[:, 2], -xyz[:, 1]
    centred = xyz - np.median(xyz, axis=0)
    to_eye = np.array(
        [np.cos(_ELEVATION) * np.cos(_AZIMUTH), np.cos(_ELEVATION) * np.sin(_AZIMUTH), np.sin(_ELEVATION)]
    )
    right = np.array([-np.sin(_AZIMUTH), np.cos(_AZIMUTH), 0.0])
    return centred @ right, -(centred @ np.cross(to_eye, right)), -(centred @ to_eye), xyz[:, 2]


def _is_before_camera(xyz: Floats) -> bool:
    sample = xyz[:: max(1, len(xyz) // 5000)]
    z = np.maximum(sample[:, 2], 1e-9)
    ahead = float(np.mean(sample[:, 2] > 0)) > 0.995
    slopes = np.percentile(np.abs(sample[:, :2]) / z[:, None], 95, axis=0)
    return ahead and bool(slopes[0] < 1.5 and slopes[1] < 1.2)


def _place(across: Floats, down: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Columns and rows: what lies between the outer percentiles fills the picture; proportions are kept."""
    (left, right), (top, bottom) = (np.percentile(v[:: max(1, len(v) // 20000)], (0.5, 99.5)) for v in (across, down))
    span = max((right - left) / size[0], (bottom - top) / size[1], 1e-12)
    scale = _MARGIN / span
    return (
        (across - (left + right) / 2) * scale + size[0] / 2,
        (down - (top + bottom) / 2) * scale + size[1] / 2,
    )


def _by_height(up: Floats) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(up[:: max(1, len(up) // 20000)], (2, 98))
    place = np.clip((up - low) / max(high - low, 1e-12), 0.0, 1.0)
    colours: npt.NDArray[np.uint8] = TURBO[(20 + place * 225).astype(np.uint8)]
    return colours


def _splat(
    canvas: npt.NDArray[np.uint8],
    columns: Floats,
    rows: Floats,
    depth: Floats,
    colours: npt.NDArray[np.uint8],
    size: tuple[int, int],
) -> npt.NDArray[np.uint8]:
    """Draws each point as a square, near ones over far ones, and shades where depth falls off."""
    width, height = size
    side = int(np.clip(np.sqrt(0.6 * width * height / len(depth)), 2, 5))
    order = np.argsort(-depth)  # far first: of several points on a pixel, the last is the nearest
    depths = np.full(width * height, np.inf)
    steps = np.arange(side) - side // 2
    x = columns[order].astype(np.int64)[:, None, None] + steps[None, None, :]
    y = rows[order].astype(np.int64)[:, None, None] + steps[None, :, None]
    inside = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).reshape(-1)
    pixels = (y * width + x).reshape(-1)[inside]
    point = np.repeat(order, side * side)[inside]
    canvas[pixels] = colours[point]
    depths[pixels] = depth[point]
    shade = _shade(depths.reshape(height, width)).reshape(-1, 1)
    return np.where(np.isfinite(depths)[:, None], canvas * shade, canvas).astype(np.uint8)


def _shade(depths: Floats) -> Floats:
    """Darker where a neighbour is nearer: eye-dome lighting (Christian Boucheny, 2009). Shape as given, 0 to 1."""
    seen = np.isfinite(depths)
    if not seen.any():
        return np.ones_like(depths)
    low, high = np.percentile(depths[seen], (2, 98))
    plain = np.where(seen, depths, high)
    total = np.zeros_like(depths)
    for axis in (0, 1):
        for step in (-2, 2):
            total += np.maximum(0.0, plain - np.roll(plain, step, axis))
    shade: Floats = np.exp(-4.0 * np.minimum(total / max(high - low, 1e-12), 0.4))
    return shade
