"""Tells a document that is broken from content that is no document at all."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from datamanager.errors import Refused
from datamanager.kinds.images.table import recognise

__all__ = ["naming_others", "other_content"]

_HEAD_BYTES = 64 * 1024
_LEAST_TEXT = 8
# What no broken document begins with but by intent: four bytes at the least, where a format has as many.
_MARKS = (
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "a zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (4, b"ftyp", "MP4, or another ISO media file"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (0, b"RIFF", "a RIFF file: WAV, AVI"),
    (0, b"OggS", "OGG"),
    (0, b"fLaC", "FLAC"),
    (0, b"ID3", "MP3"),
    (0, b"\x89MCAP0\r\n", "MCAP"),
    (0, b"#ROSBAG V", "a ROS bag"),
    (0, b"PAR1", "Parquet"),
    (0, b"ARROW1\0\0", "Arrow"),
    (0, b"GIF8", "a GIF"),
    (0, b"\x7fELF", "a program"),
    (0, b"%PDF-", "a PDF"),
    (0, b"SQLite format 3\0", "an SQLite database"),
)
_MARKUP = (("<?xml", "an XML document"), ("<!doctype html", "an HTML page"), ("<html", "an HTML page"))
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


@contextmanager
def naming_others(data: bytes, *, text_is_other: bool = False) -> Iterator[None]:
    """Within, a document that turns out to be broken while its bytes are clearly something else is a `kind_mismatch`.

    Args:
        data: the bytes.
        text_is_other: whether text is something else, as it is to binary formats.
    """
    try:
        yield
    except Refused as refused:
        other = (
            other_content(data, text_is_other=text_is_other) if refused.code in ("bad_payload", "too_deep") else None
        )
        if other is None:
            raise
        raise Refused("kind_mismatch", f"the content is {other}", offset=0) from refused


def other_content(data: bytes, *, text_is_other: bool = False) -> str | None:
    """What the bytes clearly are, when that is no text and no document; None when it may be a broken one."""
    image = recognise(data)
    if image is not None:
        return f"{'a point cloud' if image.is_cloud else 'a picture'} ({image.name})"
    head = data[:_HEAD_BYTES]
    if len(head.translate(None, _CONTROLS)) == len(head):
        return _of_text(head, is_other=text_is_other)
    known = next((what for at, mark, what in _MARKS if head.startswith(mark, at)), None)
    if known is None and not text_is_other and _is_msgpack(data):
        return "MessagePack"
    return known


def _is_msgpack(data: bytes) -> bool:
    """Whether the bytes are one map or array of MessagePack."""
    if not 0x80 <= data[0] < 0xA0 and not 0xDC <= data[0] < 0xE0:
        return False
    try:
        msgspec.msgpack.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _of_text(head: bytes, *, is_other: bool) -> str | None:
    if head.startswith(b"%PDF-"):
        return "a PDF"
    start = head[:512].decode("latin-1").lstrip("\xef\xbb\xbf \t\r\n").lower()
    found = next((what for mark, what in _MARKUP if start.startswith(mark)), None)
    return found or ("text" if is_other and len(head) >= _LEAST_TEXT and _is_utf8(head) else None)


def _is_utf8(head: bytes) -> bool:
    try:
        head[:-3].decode()  # the last character may be cut
    except UnicodeDecodeError as exc:
        return exc.start >= len(head) - 6
    return True
