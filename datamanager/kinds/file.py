"""Kind `file`: what any bytes are, by their content."""

import mimetypes
import re

import puremagic

from datamanager.errors import Refused
from datamanager.kinds.images.table import recognise
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["examine", "sniff_mime_type"]

# RFC 9110, 8.3.1, without quoted strings: what goes into a header must be able to stand there.
_MIME = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}(;\s?[\w!#$&^.+-]+=[\w!#$&^.+-]+){0,8}", re.ASCII)
_LOOKED_AT_BYTES = 64 * 1024

_UNKNOWN = "application/octet-stream"
# What robots send and the general tables do not know, or take for something made of it (a .docx is a zip as well).
_STARTS = (
    (b"\x89MCAP0\r\n", "application/x-mcap"),
    (b"#ROSBAG V", "application/x-rosbag"),
    (b"ULog\x01\x12\x35", "application/x-ulog"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"ARROW1\0\0", "application/vnd.apache.arrow.file"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
)
_HEAD_BYTES = 4096
_LEAST_BINARY, _LEAST_TEXT = 0.3, 0.5  # puremagic's confidence is a tenth for each byte that matches
_TEXT_TYPES = {
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".md": "text/markdown",
}
_TEXTUAL = frozenset({"application/json", "application/xml", "application/yaml", "application/toml", "image/svg+xml"})
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:  # noqa: ARG001  # every kind is called alike
    """The type of any bytes, of which a beginning and an end are looked at. Every run of bytes is a file.

    Raises:
        Refused: `bad_payload` when the declared media type is none.
    """
    head = source.read(0, _LOOKED_AT_BYTES)
    rest = source.size - len(head)
    tail = source.read(source.size - min(rest, _LOOKED_AT_BYTES), _LOOKED_AT_BYTES) if rest else b""
    sniffed = sniff_mime_type(head + tail, hints.name)
    mime_type = hints.mime_type or sniffed
    if _MIME.fullmatch(mime_type) is None:
        raise Refused("bad_payload", f"mime_type {mime_type[:80]!r} is no media type")
    return Found(mime_type, "bin", {"sniffed_mime_type": sniffed})


def sniff_mime_type(data: bytes, name: str | None = None) -> str:
    """The MIME type, by content; the name decides only between types that the content allows equally.

    Text has no mark that tells CSV from YAML, and a .docx starts as any zip does: there the name's ending is believed.
    """
    image = recognise(data)
    if image is not None:
        return image.mime_type
    known = next((mime for start, mime in _STARTS if data.startswith(start)), None)
    candidates = _candidates(data)
    named = _by_name(name)
    if known is not None:
        return named if known == "application/zip" and named in candidates else known
    is_text = _is_text(data)
    least = _LEAST_TEXT if is_text else _LEAST_BINARY
    likely = [mime for mime, confidence in candidates.items() if confidence >= least]
    if named in likely:
        return named
    if likely:
        return likely[0]
    if not is_text:
        return _UNKNOWN
    return named if named.startswith("text/") or named in _TEXTUAL else "text/plain"


def _candidates(data: bytes) -> dict[str, float]:
    """The types that the first and last bytes allow, best first, with the confidence in each."""
    if not data:
        return {}
    try:
        found = puremagic.magic_string(data)
    except puremagic.PureError:  # it raises when it knows nothing
        return {}
    candidates: dict[str, float] = {}
    for match in found:
        if match.mime_type:
            candidates.setdefault(match.mime_type, float(match.confidence))
    return candidates


def _by_name(name: str | None) -> str:
    """The type that the name's ending stands for; empty when there is none."""
    if not name:
        return ""
    ending = "." + name.rpartition(".")[2].lower()
    return _TEXT_TYPES.get(ending) or mimetypes.guess_type(name.replace("\0", ""), strict=False)[0] or ""


def _is_text(data: bytes) -> bool:
    """Whether the beginning is UTF-8 without control characters."""
    head = data[:_HEAD_BYTES]
    if not head or len(head.translate(None, _CONTROLS)) != len(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        return len(data) > len(head) and exc.start >= len(head) - 3  # a character cut in two by our own slice
    return True
