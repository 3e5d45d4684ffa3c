"""Text as content: what is no text is told by what it is instead, and what is no UTF-8 by where."""

from datamanager.errors import Refused
from datamanager.kinds.images.table import recognise
from datamanager.kinds.source import Source

__all__ = ["check_is_text", "check_size", "decode_utf8", "read_text"]

_HEAD_BYTES = 64 * 1024
_MOST_CONTROLS = 0.05  # of random bytes an eighth are, of text none but the odd one
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1b")) + b"\x7f"
_TAR_AT = 257
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What content starts with that is no text, the kind that it is of, and its name.
_STARTS = (
    (b"PK\x03\x04", "zip", "a zip archive"),
    (b"\x1f\x8b\x08", "file", "gzip data"),
    (b"\x28\xb5\x2f\xfd", "file", "zstd data"),
    (b"\xfd7zXZ\0", "file", "xz data"),
    (b"BZh91AY&SY", "file", "bzip2 data"),
    (b"%PDF-", "file", "a PDF"),
    (b"\x7fELF", "file", "a program"),
    (b"\x89MCAP0\r\n", "file", "an MCAP recording"),
    (b"SQLite format 3\0", "file", "a SQLite database"),
    (b"PAR1", "file", "a Parquet file"),
    (b"ARROW1\0\0", "file", "an Arrow file"),
    (b"\x93NUMPY", "file", "a NumPy array"),
    (b"ULog\x01\x12\x35", "file", "a ULog recording"),
    (b"GIF8", "file", "a GIF picture"),
    (b"OggS", "audio", "an Ogg file"),
    (b"fLaC", "audio", "a FLAC file"),
    (b"ID3", "audio", "an MP3 file"),
    (b"\x1aE\xdf\xa3", "video", "a Matroska or WebM file"),
)
_RIFF = {b"WAVE": ("audio", "a WAV file"), b"AVI ": ("video", "an AVI file")}


def read_text(source: Source, kind: str, most_bytes: int) -> str:
    """The whole content as text; a byte order mark of UTF-8 at its beginning is no part of it.

    Raises:
        Refused: `too_large` for more than `most_bytes`, `kind_mismatch` for what is no text, `bad_payload` where it is
            empty or no UTF-8.
    """
    check_size(source, kind, most_bytes)
    data = source.read(0, source.size)
    check_is_text(data, kind, characters=b"\0" if data[:2] in _UTF_16 else b"")
    return decode_utf8(data, kind)


def check_size(source: Source, kind: str, most_bytes: int) -> None:
    """Refuses content that is empty (`bad_payload`) or larger than `most_bytes` (`too_large`)."""
    if not source.size:
        raise Refused("bad_payload", f"the {kind} is empty", offset=0)
    if source.size > most_bytes:
        detail = f"a {kind} of {source.size} bytes; at most {most_bytes} are taken"
        raise Refused("too_large", detail, offset=most_bytes)


def decode_utf8(data: bytes, kind: str) -> str:
    """UTF-8 as text, without its byte order mark.

    Raises:
        Refused: `bad_payload`, with where it is none.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        raise Refused("bad_payload", f"the {kind} is not UTF-8: {exc.reason}", offset=exc.start + mark) from exc


def check_is_text(data: bytes, kind: str, *, characters: bytes = b"") -> None:
    """Refuses (`kind_mismatch`) what is no text, by its beginning.

    Args:
        data: the content, or its beginning.
        kind: what it is said to be.
        characters: control characters that mean something in it, such as NUL in UTF-16.
    """
    found = _binary(data[:_HEAD_BYTES], characters)
    if found is not None:
        is_of, name = found
        raise Refused("kind_mismatch", f"the content is {name} (kind {is_of}), no text (kind {kind})", offset=0)


def _binary(head: bytes, characters: bytes) -> tuple[str, str] | None:
    """The kind and name of what is no text; None for what may be."""
    for start, kind, name in _STARTS:
        if head.startswith(start):
            return kind, name
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp" and head[:2] == b"\0\0":
        return "video", "an MP4 file"
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "tar", "a tar archive"
    image = recognise(head)
    if image is not None:
        return "images", f"of format {image.name}"
    controls = len(head) - len(head.translate(None, _CONTROLS.translate(None, characters)))
    return ("file", "binary data") if controls > _MOST_CONTROLS * len(head) else None
