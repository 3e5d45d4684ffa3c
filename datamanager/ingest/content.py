"""What a message of a kind with bytes holds: its exact bytes, and what is known of them."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any, Literal

from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.metadata import check_map
from datamanager.kinds.examiner import Examiner, sha256_of
from datamanager.kinds.kind import Found, Hints, Kind
from datamanager.kinds.source import BytesSource
from datamanager.kinds.table import KIND_TABLE, encode_value
from datamanager.storage.records import RecordCollection

__all__ = ["Content", "content_of", "read_content"]


@dataclass(frozen=True, slots=True)
class Content:
    """One record's content.

    Attributes:
        data: its bytes; None where S3 has them already, under `key`.
        checksum: SHA-256, in hex.
        ending: the end of its S3 key.
        fields: what the kind adds to the record's document.
        wants: what workers are to derive from it.
    """

    data: bytes | None
    size_bytes: int
    checksum: str
    mime_type: str
    ending: str
    folder: Literal["frames", "files"]
    collection: RecordCollection
    fields: dict[str, Any] = field(default_factory=dict)
    wants: tuple[str, ...] = ()
    key: str | None = None


async def read_content(kind: str, payload: object, config: IngestConfig, examiner: Examiner) -> Content:
    """Checks a payload and takes its bytes out.

    Raises:
        Refused: the payload or its content is bad.
    """
    if not isinstance(payload, dict):
        raise Refused("wrong_type", f"the payload of {kind} must be a map, not {type(payload).__name__}")
    row = KIND_TABLE[kind]
    is_value = row.value and payload.get("data") is None
    if is_value:
        data = encode_value(kind, payload, examiner.limits)
    else:
        data = _bytes(payload, text_is_base64=row.text_is_base64)
    rest = {name: value for name, value in payload.items() if name not in _OF_ALL}
    hints = Hints(payload=payload)
    hints = Hints(hints.text("name"), hints.text("mime_type"), rest, is_value=is_value)
    found = await examiner.examine(kind, BytesSource(data), hints)
    checksum = await sha256_of(data)
    declared = payload.get("checksum")
    if declared is not None and str(declared).removeprefix("sha256:").lower() != checksum:
        raise Refused("bad_payload", f"the checksum says {str(declared)[:80]}, the bytes have sha256 {checksum}")
    return content_of(row, found, data, len(data), checksum, hints.name, _metadata(payload, config))


def content_of(
    row: Kind,
    found: Found,
    data: bytes | None,
    size_bytes: int,
    checksum: str,
    name: str | None,
    metadata: dict[str, Any],
) -> Content:
    """The content of what was examined: what the kind found goes beside what the sender says of it."""
    fields = {**found.fields, "metadata": {**metadata, **found.metadata}}
    if row.kept == "frames_metadata":
        return Content(
            data, size_bytes, checksum, found.mime_type, found.ending, "frames", "frames_metadata", fields, found.wants
        )
    fields["name"] = name
    return Content(data, size_bytes, checksum, found.mime_type, found.ending, "files", "records", fields, found.wants)


_OF_ALL = frozenset({"data", "encoding", "name", "mime_type", "checksum", "metadata"})


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


def _metadata(payload: dict[str, Any], config: IngestConfig) -> dict[str, Any]:
    value: dict[str, Any] | None = payload.get("metadata")
    if value is None:
        return {}
    check_map(value, "metadata", max_bytes=config.max_metadata_bytes, max_depth=config.max_depth)
    return value
