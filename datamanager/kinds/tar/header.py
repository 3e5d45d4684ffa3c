"""The blocks of a tar: a header's fields, and the records of a pax header.

Formats: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar's manual, "Basic Tar Format".
"""

import struct
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.archives.names import decode_name

__all__ = ["BLOCK", "RawHeader", "parse_header", "parse_number", "parse_pax"]

BLOCK = 512
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12s")
_MAX_RECORDS = 100_000


@dataclass(frozen=True, slots=True)
class RawHeader:
    """The fields of one header block.

    Attributes:
        type: its type flag.
        block: the block itself, for the fields that only some formats have.
    """

    name: str
    size: int
    modified: int
    type: str
    link: str
    is_gnu: bool
    block: bytes


def parse_header(block: bytes, at: int) -> RawHeader | None:
    """A header block; None where its checksum says that it is none.

    Args:
        block: 512 bytes.
        at: where they stand.

    Raises:
        Refused: `bad_payload`: a number in it is none.
    """
    name, _, _, _, size, modified, said, kind, link, magic, _, _, _, _, _, prefix, _ = _FIELDS.unpack(block)
    try:
        checksum = parse_number(said, at)
    except Refused:
        return None
    total = sum(block) - sum(said) + 8 * 0x20
    if checksum != total and checksum != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        return None  # the second sum is that of old tools, which took bytes as signed
    is_gnu = magic == b"ustar "
    path = _text(name)
    if magic == b"ustar\0" and prefix[0]:
        is_star = block[508:] == b"tar\0"  # it keeps times in the rest of the prefix
        path = f"{_text(prefix[:131] if is_star else prefix)}/{path}"
    return RawHeader(
        name=path,
        size=parse_number(size, at),
        modified=parse_number(modified, at, may_be_negative=True),
        type=kind.decode("latin-1"),
        link=_text(link),
        is_gnu=is_gnu,
        block=block,
    )


def parse_number(field: bytes, at: int, *, may_be_negative: bool = False) -> int:
    """A number: octal, or binary with its first bit set, as GNU has it.

    Raises:
        Refused: `bad_payload`: it is none.
    """
    if field[0] in (0x80, 0xFF):
        value = int.from_bytes(field, "big", signed=field[0] == 0xFF)
        if field[0] == 0x80:
            value -= 0x80 << 8 * (len(field) - 1)
        if value >= 0 or may_be_negative:
            return value
        raise Refused("bad_payload", f"a header says a negative size, {value}", offset=at)
    text = field.split(b"\0", 1)[0].strip() or field.strip(b" \0")
    try:
        value = int(text, 8) if text else 0
    except ValueError as exc:
        raise Refused("bad_payload", f"a header has {bytes(text)!r} where a number should be", offset=at) from exc
    if value < 0 and not may_be_negative:
        raise Refused("bad_payload", f"a header says a negative size, {value}", offset=at)
    return value


def parse_pax(data: bytes, at: int) -> list[tuple[str, str]]:
    """The records of a pax header, in order; keys of sparse maps stand there more than once.

    Raises:
        Refused: `bad_payload` or `too_large`.
    """
    records: list[tuple[str, str]] = []
    begin = 0
    while begin < len(data) and data[begin] != 0:
        space = data.find(b" ", begin, begin + 12)
        digits = data[begin:space] if space > 0 else b""
        end = begin + int(digits) if digits.isdigit() else 0
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise Refused("bad_payload", "a record of a pax header has a length that is none", offset=at + begin)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise Refused("bad_payload", "a record of a pax header has no key or no value", offset=at + begin)
        records.append((decode_name(key, "latin-1"), decode_name(value, "latin-1")))
        if len(records) > _MAX_RECORDS:
            raise Refused("too_large", f"a pax header has more than {_MAX_RECORDS} records", offset=at + begin)
        begin = end
    return records


def _text(field: bytes) -> str:
    return decode_name(field.split(b"\0", 1)[0], "latin-1")
