"""Which encoding a table is written in: by its mark, by what its bytes can be, by what the sender says, else by likelihood."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.source import Source

__all__ = ["Encoding", "find_encoding", "width_of"]

_PIECE_BYTES = 1 << 20
_SAMPLE_BYTES = 16 * 1024  # more tells an encoding no better, and takes longer
_FEW = 6
_MOST_ACCENTS = 0.3
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_WIDE = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
# Only encodings in which any line can be read by itself: reading begins in the middle. The likelier ones first.
_LIKELY = (
    "cp1252 iso8859_15 latin_1 cp1250 iso8859_2 cp1251 koi8_r cp1253 iso8859_7 cp1254 cp1255 cp1256 cp1257 "
    "cp932 euc_jp gb18030 big5 cp949 euc_kr mac_roman cp437 cp850 cp866 cp874"
).split()
_WESTERN = ("cp1252", "cp1250", "cp1254", "cp1257")
_NOT_ASCII = re.compile(rb"[\x80-\xff]+")
_KNOWN = frozenset(
    codecs.lookup(name).name for name in (*_LIKELY, "ascii", "utf-8", "utf-16-le", "utf-16-be", "shift_jis", "gbk")
)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, and the byte that text begins at."""

    name: str
    start: int = 0

    @property
    def errors(self) -> str:
        """How bytes that are no character are read, so that as many bytes stand for them again."""
        return "replace" if self.name in _WIDE else "surrogateescape"

    @property
    def unit(self) -> int:
        """Bytes of an ASCII character."""
        return _WIDE.get(self.name, 1)


def width_of(text: str, encoding: Encoding) -> int:
    """How many bytes text was read from."""
    if text.isascii():
        return len(text) * encoding.unit
    return len(text.encode(encoding.name, encoding.errors))


def find_encoding(source: Source, mime_type: str | None, most_bytes: int) -> Encoding:
    """The encoding of the first `most_bytes`; of what comes after them nothing is known.

    Args:
        source: the content.
        mime_type: may name a `charset`.
        most_bytes: how far to look.

    Raises:
        Refused: `bad_payload`, with the offset: the bytes are in no encoding, or in more than one; `kind_mismatch` when they
            are no text at all.
    """
    head = source.read(0, _SAMPLE_BYTES)
    marked = next((Encoding(name, len(mark)) for mark, name in _MARKS if head.startswith(mark)), None)
    found = marked or _wide(head) or _named(mime_type)
    if found is not None:
        bad_at = _first_bad(source, found, most_bytes)
        if bad_at is not None:
            raise Refused("bad_payload", f"the content is not {found.name}, which it is said to be", offset=bad_at)
        return found
    utf_8 = Encoding("utf-8")
    bad_at = _first_bad(source, utf_8, most_bytes)
    if bad_at is None:
        return utf_8
    _check_unmixed(
        head if bad_at < len(head) else source.read(max(0, bad_at - _SAMPLE_BYTES), 2 * _SAMPLE_BYTES), bad_at
    )
    likely = _likeliest(source, head, bad_at)
    if _first_bad(source, likely, most_bytes) is None:
        return likely
    # Any bytes are characters of this one. Text of the languages that it is for is ASCII for the greater part.
    if sum(byte > 0x7F for byte in head) > _MOST_ACCENTS * len(head):
        raise Refused("kind_mismatch", "the content is binary data (kind file), no text (kind csv)", offset=bad_at)
    return Encoding("latin-1")


def _wide(head: bytes) -> Encoding | None:
    """UTF-16 without a mark: text in it has a NUL in every other byte."""
    pairs = len(head) // 2
    if pairs < 2:
        return None
    low, high = head[1 : 2 * pairs : 2].count(0), head[: 2 * pairs : 2].count(0)
    if low > 0.4 * pairs and high < 0.1 * pairs:
        return Encoding("utf-16-le")
    if high > 0.4 * pairs and low < 0.1 * pairs:
        return Encoding("utf-16-be")
    return None


def _named(mime_type: str | None) -> Encoding | None:
    match = _CHARSET.search(mime_type or "")
    if match is None:
        return None
    try:
        name = codecs.lookup(match[1]).name
    except LookupError as exc:
        raise Refused("bad_payload", f"charset {match[1]!r} is not known") from exc
    if name not in _KNOWN:
        raise Refused("bad_payload", f"charset {match[1]!r} is none that a csv can be in")
    return Encoding("utf-8" if name == "ascii" else name)


def _first_bad(source: Source, encoding: Encoding, most_bytes: int) -> int | None:
    """Where the first byte is that is no character of the encoding."""
    decoder = codecs.getincrementaldecoder(encoding.name)()
    end = min(source.size, most_bytes)
    at = encoding.start
    for piece in _pieces(source, at, end):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(piece, final=at + len(piece) >= source.size)
        except UnicodeDecodeError as exc:
            return at - pending + exc.start
        at += len(piece)
    return None


def _pieces(source: Source, start: int, end: int) -> Iterator[bytes]:
    for offset in range(start, end, _PIECE_BYTES):
        yield source.read(offset, min(_PIECE_BYTES, end - offset))


def _check_unmixed(sample: bytes, bad_at: int) -> None:
    """Refuses what is UTF-8 for the greater part: no other encoding makes characters of it by chance."""
    text = sample.decode("utf-8", "surrogateescape")
    others = sum(1 for c in text if c > "\x7f")
    bad = sum(1 for c in text if "\udc80" <= c <= "\udcff")
    if others - bad >= bad:
        raise Refused(
            "bad_payload", "the content is UTF-8 but for some bytes that are no character of it", offset=bad_at
        )


def _likeliest(source: Source, head: bytes, bad_at: int) -> Encoding:
    import charset_normalizer  # noqa: PLC0415  # most tables are UTF-8, and it takes 50 ms to load

    sample = head
    if bad_at >= len(head) - 4:
        start = max(0, bad_at - _SAMPLE_BYTES // 2)
        sample = source.read(start, _SAMPLE_BYTES).partition(b"\n")[2] or source.read(start, _SAMPLE_BYTES)
    if sum(byte > 0x7F for byte in sample) < _FEW:
        return Encoding("cp1252")  # a word or two: what they are most of the time
    among = _WESTERN if _stand_alone(sample) else _LIKELY
    best = charset_normalizer.from_bytes(sample, cp_isolation=list(among), steps=5, chunk_size=512).best()
    return Encoding("cp1252" if best is None else codecs.lookup(best.encoding).name)


def _stand_alone(sample: bytes) -> bool:
    """Whether what is not ASCII stands among ASCII letters, as accents do, and not with its like, as other scripts do."""
    runs = [len(run) for run in _NOT_ASCII.findall(sample)]
    return sum(1 for run in runs if run == 1) > 0.7 * sum(runs)
