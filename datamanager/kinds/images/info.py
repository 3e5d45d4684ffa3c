"""What inspecting a frame tells: the words shared by every format."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Bounds", "Content", "FormatName", "ImageInfo", "ImageLimits", "Role"]

FormatName = Literal["jpeg", "png", "webp", "tiff", "avif", "ply", "pcd", "draco"]
Role = Literal["rgb", "depth", "pointcloud"]
Bounds = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large a frame may be.

    Attributes:
        max_pixels: width times height of a picture, as its header declares them.
        max_points: points of a cloud, as its header declares them.
    """

    max_pixels: int
    max_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one format's check found in the bytes.

    Attributes:
        width: pixels, as stored: before any EXIF orientation. An organised cloud has a width and height too.
        height: pixels.
        mode: the picture's mode in Pillow's words: L, I;16, F, P, RGB, RGBA, CMYK, …; None for a cloud.
        points: points of a cloud, those that are NaN included.
        bounds: smallest and largest x, y, z of the finite points; None for a picture, for a cloud without a finite
            point, and where the points could only be had by unpacking them.
        notes: what is odd, but no reason to refuse.
    """

    width: int | None = None
    height: int | None = None
    mode: str | None = None
    points: int | None = None
    bounds: Bounds | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """What is known of a frame; the fields of `Content`, with the format's and role's names."""

    format: FormatName
    mime_type: str
    extension: str
    role: Role
    width: int | None
    height: int | None
    mode: str | None
    points: int | None
    bounds: Bounds | None
    notes: tuple[str, ...] = ()
