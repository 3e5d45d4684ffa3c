"""Pictures as a model's input: decoded at about the size it needs, fitted, turned upright, and scaled all at once."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from datamanager.errors import Refused
from datamanager.inference.manifest import FrameInput
from datamanager.inference.placement import Placement, place
from datamanager.kinds.images import ImageInfo, ImageLimits, inspect_image
from datamanager.kinds.images.showing import is_sideways, orientation_of, stretched, upright
from datamanager.kinds.kind import KindLimits

__all__ = ["FILL", "Small", "fill_tensor", "shrink"]

FILL = 114
"""The grey beside a letterboxed picture, as Ultralytics' models were trained with."""

_LIMITS = ImageLimits(KindLimits().max_pixels, KindLimits().max_points)

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Small:
    """A picture at the size of the input, not scaled to the model's numbers yet.

    Attributes:
        pixels: shape (height, width, channels), uint8.
        placement: where the picture lies in them.
    """

    pixels: Pixels
    placement: Placement


def shrink(data: bytes, spec: FrameInput) -> Small:
    """Decodes a picture to the size of the input.

    A JPEG is decoded at the smallest of its own scales that covers the input. Grey of 16 or 32 bits is stretched from
    its dark to its bright percentile, as in previews; what is transparent becomes grey.

    Raises:
        Refused: the bytes are no picture, or a broken one, or larger than is taken.
    """
    info = inspect_image(data, declared_format=None, role=None, limits=_LIMITS)
    if info.role == "pointcloud":
        raise Refused("bad_payload", f"{info.format} is a point cloud: the model looks at pictures")
    try:
        return _shrink(data, info, spec)
    except (Refused, MemoryError):
        raise
    except Exception as exc:  # decoders raise OSError, ValueError, SyntaxError, struct.error and more
        raise Refused("bad_payload", f"the {info.format} cannot be decoded: {exc}"[:300]) from exc


def fill_tensor(pictures: Sequence[Pixels], spec: FrameInput, rows: int) -> Array:
    """The input tensor: shape (rows, channels, height, width), in the dtype of `spec`.

    A byte v of channel c becomes (v * scale - mean[c]) / std[c]; bytes stay what they are where the input is uint8.

    Args:
        pictures: at most `rows`, each (height, width, channels); rows beyond them are zeros.
        spec: what the input takes.
        rows: how many the call has.
    """
    shape = (rows, spec.channels, spec.height, spec.width)
    planes = np.zeros(shape, np.uint8)
    for row, pixels in enumerate(pictures):
        planes[row] = pixels.transpose(2, 0, 1)
    if spec.dtype == "uint8":
        return planes
    mean, std = _per_channel(spec.mean, spec.channels), _per_channel(spec.std, spec.channels)
    tensor: Array = np.multiply(planes, np.float32(spec.scale) / std, dtype=np.float32)
    if mean.any():
        tensor -= mean / std
    tensor[len(pictures) :] = 0
    return tensor.astype(np.float16) if spec.dtype == "float16" else tensor


def _shrink(data: bytes, info: ImageInfo, spec: FrameInput) -> Small:
    image = Image.open(io.BytesIO(data), formats=[info.format.upper()])
    if image.size != (info.width, info.height):
        detail = (
            f"the picture is {image.width} x {image.height} and not {info.width} x {info.height} as its header says"
        )
        raise Refused("bad_payload", detail)
    stored = image.size
    if info.format != "jpeg":
        image.load()  # first: asking a PNG for its EXIF decodes it too, and hides that this failed
    turn = orientation_of(image)
    sideways = is_sideways(turn)
    fitted = place(_turned(stored, sideways), (spec.width, spec.height), spec.fit)
    left, top, width, height = fitted.area
    (left, top), (width, height) = _turned((left, top), sideways), _turned((width, height), sideways)
    size = _turned(fitted.size, sideways)
    if info.format == "jpeg":
        # So much of the whole picture that what is seen of it has the pixels that it needs.
        least = round(size[0] * stored[0] / width), round(size[1] * stored[1] / height)
        image.draft("L" if spec.channels == 1 else "RGB", least)
    image.load()
    # A draft has ceil(side / n) pixels: its last one is a picture's only in part, which `box` says exactly.
    shrunk = _drafted_by(stored, image.size)
    box = (left / shrunk, top / shrunk, (left + width) / shrunk, (top + height) / shrunk)
    small = _channels(_plain(image), spec.channels).resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    return Small(_lay_out(np.asarray(upright(small, turn)), fitted.at, spec), fitted.placement)


def _turned(pair: tuple[T, T], is_sideways: bool) -> tuple[T, T]:
    return pair[::-1] if is_sideways else pair


def _drafted_by(stored: tuple[int, int], decoded: tuple[int, int]) -> int:
    """By how much libjpeg shrank the picture: 1, 2, 4 or 8."""
    return next(n for n in (1, 2, 4, 8) if (-(-stored[0] // n), -(-stored[1] // n)) == decoded)


def _plain(image: Image.Image) -> Image.Image:
    """The picture as L or RGB, with 8 bits a channel."""
    if image.mode.startswith(("I", "F")):
        return stretched(np.asarray(image))
    if image.mode in ("RGBA", "LA", "La", "PA", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        ground = Image.new("RGBA", over.size, (FILL, FILL, FILL, 255))
        return Image.alpha_composite(ground, over).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def _channels(image: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _lay_out(pixels: Pixels, at: tuple[int, int], spec: FrameInput) -> Pixels:
    """The fitted picture in its place, and grey where it does not reach."""
    pixels = pixels.reshape(*pixels.shape[:2], spec.channels)
    if pixels.shape[:2] == (spec.height, spec.width):
        return pixels
    laid = np.full((spec.height, spec.width, spec.channels), FILL, np.uint8)
    laid[at[1] : at[1] + pixels.shape[0], at[0] : at[0] + pixels.shape[1]] = pixels
    return laid


def _per_channel(values: Sequence[float], channels: int) -> npt.NDArray[np.float32]:
    """Shape (channels, 1, 1); one value is for all."""
    given = np.asarray(values, np.float32)
    return np.broadcast_to(given, (channels,)).reshape(channels, 1, 1)
