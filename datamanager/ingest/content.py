"""What a message of a kind with bytes holds: its exact bytes, and what is known of them."""

import asyncio
import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.metadata import check_map
from datamanager.kinds.files import inspect_file
from datamanager.kinds.images.info import ImageInfo, ImageLimits
from datamanager.kinds.images.inspect import inspect_image, is_costly
from datamanager.kinds.logs import encode_log, inspect_log
from datamanager.storage.records import RecordCollection

__all__ = ["Content", "read_content"]

# RFC 9110, 8.3.1, without quoted strings: what goes into a header must be able to stand there.
_MIME = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(;\s?[\w!#$&^.+-]+=[\w!#$&^.+-]+){0,8}", re.ASCII)
_MAX_TEXT = 4096
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_LARGE = 1_000_000  # from here on hashing is worth a thread


@dataclass(frozen=True, slots=True)
class Content:
    """One record's content.

    Attributes:
        ending: the end of its S3 key.
        fields: what the kind adds to the record's document.
    """

    data: bytes
    checksum: str
    mime_type: str
    ending: str
    folder: Literal["frames", "files"]
    collection: RecordCollection
    fields: dict[str, Any] = field(default_factory=dict)


async def read_content(kind: str, payload: object, config: IngestConfig) -> Content:
    """Checks a payload and takes its bytes out.

    Raises:
        Refused: the payload or its content is bad, or the kind is not taken.
    """
    if not isinstance(payload, dict):
        raise Refused("wrong_type", f"the payload of {kind} must be a map, not {type(payload).__name__}")
    if kind == "images":
        return await _image(payload, config)
    if kind == "log":
        return _log_lines(payload, config)
    if kind == "file":
        return await _file(payload, config)
    raise Refused("unknown_kind", f"kind {kind} is not taken by this version")


async def _image(payload: dict[str, Any], config: IngestConfig) -> Content:
    data = _bytes(payload, text_is_base64=True)
    limits = ImageLimits(config.image_max_pixels, config.cloud_max_points)
    declared, role = _text(payload, "format"), _text(payload, "role")
    number = payload.get("frame_number")
    if number is not None and type(number) is not int:
        raise Refused("wrong_type", f"frame_number must be an integer, not {type(number).__name__}")
    if number is not None and not _INT64_MIN <= number <= _INT64_MAX:
        raise Refused("bad_payload", "frame_number is beyond int64")
    if is_costly(data):
        info = await asyncio.to_thread(inspect_image, data, declared_format=declared, role=role, limits=limits)
    else:
        info = inspect_image(data, declared_format=declared, role=role, limits=limits)
    fields = {
        "frame_number": number,
        "camera_id": _text(payload, "camera_id"),
        "metadata": _metadata(payload, config),
        **_image_fields(info),
    }
    ending = f"{info.role}.{info.extension.lstrip('.')}"
    return Content(data, await _sha256(data), info.mime_type, ending, "frames", "frames_metadata", fields)


def _image_fields(info: ImageInfo) -> dict[str, Any]:
    return {
        "role": info.role,
        "format": info.format,
        "width": info.width,
        "height": info.height,
        "mode": info.mode,
        "points": info.points,
        "bounds": None if info.bounds is None else [list(corner) for corner in info.bounds],
        "notes": list(info.notes),
    }


def _log_lines(payload: dict[str, Any], config: IngestConfig) -> Content:
    info = inspect_log(payload)
    data = encode_log(payload)
    fields = {
        "metadata": {**_metadata(payload, config), "level": info.level, "logger": info.logger, "lines": info.lines}
    }
    return Content(data, hashlib.sha256(data).hexdigest(), "application/json", "log.json", "files", "records", fields)


async def _file(payload: dict[str, Any], config: IngestConfig) -> Content:
    data = _bytes(payload, text_is_base64=False)
    name = _text(payload, "name")
    info = inspect_file(data, name)
    declared = payload.get("checksum")
    if declared is not None and str(declared).removeprefix("sha256:").lower() != info.checksum:
        raise Refused("bad_payload", f"the checksum says {str(declared)[:80]}, the bytes have sha256 {info.checksum}")
    mime_type = _text(payload, "mime_type") or info.mime_type
    if _MIME.fullmatch(mime_type) is None:
        raise Refused("bad_payload", f"mime_type {mime_type[:80]!r} is no media type")
    fields = {"name": name, "metadata": {**_metadata(payload, config), "sniffed_mime_type": info.mime_type}}
    return Content(data, info.checksum, mime_type, "bin", "files", "records", fields)


def _bytes(payload: dict[str, Any], *, text_is_base64: bool) -> bytes:
    data = payload.get("data")
    if data is None:
        raise Refused("missing_field", "the payload has no data")
    encoding = payload.get("encoding")
    if encoding not in (None, "base64"):
        raise Refused("bad_payload", f"encoding {str(encoding)[:40]!r} is not base64")
    if isinstance(data, str) and (encoding == "base64" or text_is_base64):
        try:
            data = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise Refused("bad_payload", f"data is not base64: {exc}") from exc
    if isinstance(data, str):
        return data.encode()
    if not isinstance(data, bytes):
        raise Refused("wrong_type", f"data must be bytes, or text, not {type(data).__name__}")
    return data


def _text(payload: dict[str, Any], name: str) -> str | None:
    value = payload.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused("wrong_type", f"{name} must be a string, not {type(value).__name__}")
    if value is not None and len(value) > _MAX_TEXT:
        raise Refused("too_large", f"{name} has {len(value)} characters, {_MAX_TEXT} are allowed")
    return value


def _metadata(payload: dict[str, Any], config: IngestConfig) -> dict[str, Any]:
    value: dict[str, Any] | None = payload.get("metadata")
    if value is None:
        return {}
    check_map(value, "metadata", max_bytes=config.max_metadata_bytes, max_depth=config.max_depth)
    return value


async def _sha256(data: bytes) -> str:
    if len(data) < _LARGE:
        return hashlib.sha256(data).hexdigest()
    return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
