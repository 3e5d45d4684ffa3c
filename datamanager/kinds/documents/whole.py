"""Reads documents whole, after a look at how large they are; text as UTF-8, with the place where it is none."""

from datamanager.errors import Refused
from datamanager.kinds.kind import Hints
from datamanager.kinds.source import Source

__all__ = ["BOM", "check_utf8", "offset_of_line", "read_document"]

BOM = b"\xef\xbb\xbf"


def read_document(source: Source, hints: Hints, max_bytes: int, *, may_be_empty: bool = False) -> bytes:
    """The bytes of a document.

    Args:
        source: where they are.
        hints: what came beside them.
        max_bytes: how many there may be.
        may_be_empty: whether no bytes are a document, as they are by YAML's and TOML's grammars.

    Raises:
        Refused: `too_large` for more than `max_bytes`; `bad_payload` for none where that is no document, or when the payload holds a value beside
            the bytes, since the two might differ.
    """
    if not hints.is_value and "value" in hints.payload:
        raise Refused("bad_payload", "the payload holds both data and value")
    if source.size > max_bytes:
        raise Refused("too_large", f"{source.size} bytes; at most {max_bytes} are taken", offset=max_bytes)
    data = source.read(0, source.size)
    if not data and not may_be_empty:
        raise Refused("bad_payload", "it is empty", offset=0)
    return data


def check_utf8(data: bytes) -> str:
    """The text.

    Raises:
        Refused: `bad_payload` where it is no UTF-8.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (len(data) > 1 and 0 in data[:2]):
        raise Refused("bad_payload", "it is UTF-16 or UTF-32; only UTF-8 is taken", offset=0)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Refused("bad_payload", f"it is not UTF-8: {exc.reason}", offset=exc.start) from exc


def offset_of_line(text: str, line: int, column: int) -> int:
    """The byte at which a line's column stands; both count from 0, columns in characters, lines end with a newline."""
    start = 0
    for _ in range(line):
        end = text.find("\n", start)
        if end < 0:
            break
        start = end + 1
    return len(text[: start + column].encode("utf-8", "surrogatepass"))
