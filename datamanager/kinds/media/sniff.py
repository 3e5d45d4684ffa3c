"""What content is by its first bytes, in words, so that a refusal can name it."""

from typing import Literal

from datamanager.kinds.images.table import recognise

__all__ = ["Sniffed", "name_other", "sniff_media"]

Sniffed = Literal["wav", "avi", "mp4", "ebml", "ogg", "flac", "mp3", "h264"]
_STARTS: tuple[tuple[tuple[bytes, ...], Sniffed], ...] = (
    ((b"\x1a\x45\xdf\xa3",), "ebml"),
    ((b"OggS",), "ogg"),
    ((b"fLaC",), "flac"),
    ((b"\0\0\1", b"\0\0\0\1"), "h264"),
    ((b"ID3",), "mp3"),
)
_OTHERS = (
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip"),
    (b"\x1f\x8b", "a gzip"),
    (b"\x89MCAP0", "an MCAP recording"),
    (b"#ROSBAG", "a ROS bag"),
    (b"PAR1", "a Parquet file"),
    (b"{", "a text"),
    (b"<", "a text"),
)
_PICTURE_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})
_FIRST_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"pnot"})


def sniff_media(head: bytes) -> Sniffed | None:
    """The container that content starts as; None for none that is known."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64"):
        return {b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])  # type: ignore[return-value]  # values are of the type
    if head[4:8] in _FIRST_BOXES and head[8:12] not in _PICTURE_BRANDS:
        return "mp4"
    return next((name for starts, name in _STARTS if head.startswith(starts)), "mp3" if _is_mp3(head) else None)


def _is_mp3(head: bytes) -> bool:
    if head.startswith(b"\xff\xfe"):  # a text of UTF-16, much rather than layer I
        return False
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and bool(head[1] & 6)


def name_other(head: bytes) -> str | None:
    """What content is that is neither sound nor moving pictures, in words; None where that is not clear."""
    image = recognise(head)
    if image is not None:
        return f"a {image.name.upper()} (kind images)"
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return "a HEIF or AVIF picture (kind images)"
    return next((name for start, name in _OTHERS if head.startswith(start)), None)
