"""Saying what a frame is, from its bytes."""

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageInfo, ImageLimits, Role
from datamanager.kinds.images.table import recognise

__all__ = ["inspect_image", "is_costly"]

_SPELLINGS = {"jpg": "jpeg", "jpe": "jpeg", "tif": "tiff", "drc": "draco"}
# Modes with one channel that is no plain 8-bit grey: what depth cameras send.
_DEPTH_MODES = frozenset({"I;16", "I", "F"})
_COSTLY_BYTES = 1 << 20


def inspect_image(data: bytes, *, declared_format: str | None, role: str | None, limits: ImageLimits) -> ImageInfo:
    """Checks a frame's bytes by their structure and says what they are.

    The content decides the format; a `declared_format` that contradicts it is kept as a note, since the bytes are good
    whatever they were called. `role` wins where it suits the content; else a picture with one channel of 16 or more
    bits is `depth`, a cloud `pointcloud`, all else `rgb`.

    Nothing is decoded but a Draco cloud of modest size (`formats/draco.py`), so that a picture takes some microseconds.

    Raises:
        Refused: `bad_payload` for what is broken, truncated or of no known format, `too_large` for more pixels or
            points than `limits` allow, `unsafe_content` for what is built to cost more than it can be worth.
    """
    if not data:
        raise Refused("bad_payload", "the frame has no bytes")
    found = recognise(data)
    if found is None:
        raise Refused("bad_payload", _unknown(data), offset=0)
    content = found.inspect(data, limits)
    return ImageInfo(
        format=found.name,
        mime_type=found.mime_type,
        extension=found.extension,
        role=_role(found, content, role),
        width=content.width,
        height=content.height,
        mode=content.mode,
        points=content.points,
        bounds=content.bounds,
        notes=(*_notes(found, declared_format, role), *content.notes),
    )


def is_costly(data: bytes) -> bool:
    """Whether `inspect_image` may take more than about a millisecond, so that it is better not run in an event loop.

    Draco is: it has no length fields and is checked by decoding it. So is any cloud of more than 1 MiB.
    """
    found = recognise(data)
    return found is not None and found.is_cloud and (found.name == "draco" or len(data) > _COSTLY_BYTES)


def _unknown(data: bytes) -> str:
    kinds = "JPEG, PNG, WebP, TIFF, AVIF, PLY, PCD or Draco"
    return f"the content starts with {data[:12].hex(' ')}: not as {kinds}"


def _role(found: ImageFormat, content: Content, role: str | None) -> Role:
    if found.is_cloud:
        return "pointcloud"
    if role == "rgb":
        return "rgb"
    if role == "depth":
        return "depth"
    return "depth" if content.mode in _DEPTH_MODES else "rgb"


def _notes(found: ImageFormat, declared_format: str | None, role: str | None) -> tuple[str, ...]:
    notes = []
    if declared_format is not None:
        spelled = declared_format.lower().removeprefix("image/").lstrip(".")
        if _SPELLINGS.get(spelled, spelled) != found.name:
            notes.append(f"declared as {declared_format[:32]!r}, is {found.name}")
    if role is not None and role not in (("pointcloud",) if found.is_cloud else ("rgb", "depth")):
        notes.append(f"role {role[:32]!r} does not suit {found.name}")
    return tuple(notes)
