"""Which kind a file is: by its first bytes, then, for text, by whether it can be read, and by the end of its name.

A guess, for whoever sends: the server looks for itself. No parser that is heavy is loaded.
"""

import json
import re

__all__ = ["HEAD_BYTES", "recognise_kind"]

HEAD_BYTES = 64 * 1024
"""How much of a file's beginning is looked at."""

_STARTS = (
    (b"\xff\xd8\xff", "images"),
    (b"\x89PNG\r\n\x1a\n", "images"),
    (b"II*\x00", "images"),
    (b"MM\x00*", "images"),
    (b"II+\x00", "images"),
    (b"MM\x00+", "images"),
    (b"ply\n", "images"),
    (b"ply\r", "images"),
    (b"# .PCD", "images"),
    (b"VERSION .7\n", "images"),
    (b"VERSION 0.7\n", "images"),
    (b"DRACO", "images"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"ID3", "audio"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
_EBML = b"\x1aE\xdf\xa3"
_RIFF = {b"WEBP": "images", b"WAVE": "audio", b"AVI ": "video"}
_BRANDS = {b"avif": "images", b"avis": "images", b"M4A ": "audio", b"M4B ": "audio", b"heic": "file", b"heix": "file"}
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_PACKED_TARS = re.compile(r"\.(tgz|tbz2?|txz|tzst|tar\.(gz|bz2|xz|zst))\Z")
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_TEXT_ENDINGS = {
    "json": "json",
    "geojson": "json",
    "yaml": "yaml",
    "yml": "yaml",
    "toml": "toml",
    "md": "markdown",
    "markdown": "markdown",
    "csv": "csv",
    "tsv": "csv",
    "log": "log",
}
_PACK_ENDINGS = frozenset({"msgpack", "mpk", "vuer"})
_MOST_HEADER = 100_000_000  # bytes of a safetensors header
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def recognise_kind(head: bytes, size_bytes: int, name: str | None = None) -> str:
    """The kind that suits a file; `file` where none else does.

    Args:
        head: its first bytes, `HEAD_BYTES` of them, or all.
        size_bytes: how many it has in all.
        name: its name.
    """
    name = (name or "").lower()
    return _by_magic(head, name) or _by_structure(head, size_bytes, name) or _as_text(head, size_bytes, name) or "file"


def _by_magic(head: bytes, name: str) -> str | None:
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == _TAR_MAGIC:
        return "tar"
    if head.startswith(_PACKED):
        return "tar" if _PACKED_TARS.search(name) else "file"
    return _by_container(head, name)


def _by_container(head: bytes, name: str) -> str | None:
    """Matroska, and ISO base media (MP4 and its kin) by its first box."""
    if head.startswith(_EBML):
        return "audio" if name.endswith((".weba", ".mka")) else "video"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video")
    return "video" if head[4:8] in (b"styp", b"moof") else None


def _by_structure(head: bytes, size_bytes: int, name: str) -> str | None:
    """Formats without a magic number of their own."""
    ending = name.rpartition(".")[2]
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= header <= min(_MOST_HEADER, size_bytes - 8):
        return "safetensors"
    if ending == "mp3" and len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio"
    if ending in ("h264", "264") and head.startswith((b"\0\0\1", b"\0\0\0\1")):
        return "video"
    if ending in _PACK_ENDINGS:
        return "vuer_msg" if ending == "vuer" or b"$dtype" in head or b"\xa5ztype" in head else "msgpack"
    return None


def _as_text(head: bytes, size_bytes: int, name: str) -> str | None:
    kind = _TEXT_ENDINGS.get(name.rpartition(".")[2]) if "." in name else None
    if kind == "csv" and size_bytes:  # in any encoding
        return kind
    text = _decoded(head, whole=len(head) == size_bytes)
    if not text or text.isspace():
        return None
    if kind == "json" or (kind is None and text.lstrip()[:1] in "{["):
        return "json" if _reads_as_json(text, whole=len(head) == size_bytes, named=kind == "json") else None
    return kind


def _decoded(head: bytes, *, whole: bool) -> str | None:
    """The text; None where it is none. A character that our own slice cut in two is left out."""
    if len(head.translate(None, _CONTROLS)) != len(head):
        return None
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        return head[: exc.start].decode("utf-8-sig") if not whole and exc.start >= len(head) - 3 else None


def _reads_as_json(text: str, *, whole: bool, named: bool) -> bool:
    if not whole:
        return named
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
