"""Kind `images`: pictures and point clouds, understood from their bytes without decoding them."""

from datamanager.errors import Refused
from datamanager.kinds.images.info import Bounds, FormatName, ImageInfo, ImageLimits, Role
from datamanager.kinds.images.inspect import inspect_image, is_costly
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["Bounds", "FormatName", "ImageInfo", "ImageLimits", "Role", "examine", "inspect_image", "is_costly"]

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a frame; `frame_number`, `camera_id`, `format` and `role` are taken from the payload.

    Raises:
        Refused: see `inspect_image`; `wrong_type` or `bad_payload` for a frame number that is no int64.
    """
    number = hints.payload.get("frame_number")
    if number is not None and type(number) is not int:
        raise Refused("wrong_type", f"frame_number must be an integer, not {type(number).__name__}")
    if number is not None and not _INT64_MIN <= number <= _INT64_MAX:
        raise Refused("bad_payload", "frame_number is beyond int64")
    info = inspect_image(
        source.read(0, source.size),
        declared_format=hints.text("format"),
        role=hints.text("role"),
        limits=ImageLimits(limits.max_pixels, limits.max_points),
    )
    fields = {
        "frame_number": number,
        "camera_id": hints.text("camera_id"),
        "role": info.role,
        "format": info.format,
        "width": info.width,
        "height": info.height,
        "mode": info.mode,
        "points": info.points,
        "bounds": None if info.bounds is None else [list(corner) for corner in info.bounds],
        "notes": list(info.notes),
    }
    return Found(info.mime_type, f"{info.role}.{info.extension.lstrip('.')}", fields=fields, wants=("tiers",))
