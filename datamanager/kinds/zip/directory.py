"""The central directory of a zip: found from the end, read whole, checked before anything of it is believed.

Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.12 to 4.3.16; where archives of common tools differ from it, they are taken.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.archives.member import Member, MemberType
from datamanager.kinds.archives.names import NameBook, decode_name
from datamanager.kinds.archives.unpacking import FLOOR_BYTES
from datamanager.kinds.file import sniff_mime_type
from datamanager.kinds.kind import KindLimits
from datamanager.kinds.source import Source

__all__ = ["Directory", "read_directory"]

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL_BYTES = 30
_MOST_COMMENT = 65535
_MOST_ENTRY_BYTES = 46 + 4096  # a name of 1,024 characters of 4 bytes each is as long as any that is taken, nearly
_NO16, _NO32 = 0xFFFF, 0xFFFFFFFF
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_ENCRYPTED, _STRONG, _UTF8, _MASKED = 1, 1 << 6, 1 << 11, 1 << 13
_UNIXES = (3, 19)  # the latter is macOS
_DEVICES = (0o020000, 0o060000)  # a pipe is no harm: Info-ZIP calls so what came to it through one


@dataclass(frozen=True, slots=True)
class Directory:
    """What the directory says.

    Attributes:
        members: in the directory's order; their offsets are of the file.
        start: where the directory begins: all members end before it.
        prefix_bytes: what stands before the archive: the program of one that unpacks itself.
        trailing_bytes: what stands after it.
        comment: of the archive, bytes of it.
    """

    members: tuple[Member, ...]
    start: int
    prefix_bytes: int
    trailing_bytes: int
    comment_bytes: int


@dataclass(frozen=True, slots=True)
class _End:
    at: int  # where the end record, or the 64-bit one before it, stands
    count: int
    size: int
    offset: int
    trailing_bytes: int
    comment_bytes: int


def read_directory(source: Source, limits: KindLimits) -> Directory:
    """Reads and checks the directory; of the members nothing is read.

    Raises:
        Refused: `kind_mismatch`, `bad_payload`, `too_large`; `unsafe_content` for bombs, encryption and hostile names.
    """
    _check_head(source)
    end = _find_end(source)
    if end.count > limits.max_members:
        raise Refused("too_large", f"{end.count} members, {limits.max_members} are allowed", offset=end.at)
    start = end.at - end.size
    prefix = start - end.offset
    if start < 0 or prefix < 0 or end.size < end.count * _ENTRY.size:
        raise Refused("bad_payload", "the central directory lies outside of the file", offset=end.at)
    if end.size > max(1 << 20, end.count * _MOST_ENTRY_BYTES) or end.size > limits.max_members * 512 + (1 << 20):
        raise Refused("too_large", f"a central directory of {end.size} bytes", offset=start)
    members = tuple(_entries(source.read(start, end.size), start, prefix, end.count))
    if prefix and source.read(0, 4) == b"PK\x03\x04" and all(member.offset for member in members):
        raise Refused("bad_payload", "another archive, or what is left of one, stands before this one", offset=0)
    _check_bounds(members, start, limits)
    return Directory(members, start, prefix, end.trailing_bytes, end.comment_bytes)


def _check_head(source: Source) -> None:
    """Content that is plainly something else is said to be that."""
    head = source.read(0, 4096)
    if head[:2] == b"PK":
        return
    mime_type = sniff_mime_type(head)
    if mime_type.startswith(("image/", "audio/", "video/")) or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        raise Refused("kind_mismatch", f"the content is {mime_type}, not zip", offset=0)


def _find_end(source: Source) -> _End:
    tail_at = max(0, source.size - _END.size - _MOST_COMMENT - _END64.size - _LOCATOR.size)
    tail = source.read(tail_at, source.size - tail_at)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        head = source.read(0, 4096)
        mime_type = sniff_mime_type(head)
        if not b"PK".startswith(head[:2]) and mime_type != "application/octet-stream":
            raise Refused("kind_mismatch", f"the content is {mime_type}, not zip", offset=0)
        raise Refused("bad_payload", "no end of a central directory is there: it is cut off", offset=source.size)
    _, disk, start_disk, here, count, size, offset, comment = _END.unpack_from(tail, at)
    trailing = len(tail) - at - _END.size - comment
    if trailing < 0:
        raise Refused("bad_payload", f"the comment is {-trailing} bytes too short", offset=tail_at + at)
    end = _End(tail_at + at, count, size, offset, trailing, comment)
    wide = _find_end64(source, tail, tail_at, at, end)
    if wide is None and (disk or start_disk or here != count):
        raise Refused("bad_payload", "it is one part of an archive of several", offset=end.at)
    return wide or end


def _find_end64(source: Source, tail: bytes, tail_at: int, at: int, end: _End) -> _End | None:
    """The 64-bit record, where there is one; what stands in both has to be the same."""
    if at < _LOCATOR.size or tail[at - _LOCATOR.size :][:4] != b"PK\x06\x07":
        return None
    _, disk, offset, disks = _LOCATOR.unpack_from(tail, at - _LOCATOR.size)
    # Straight before its locator, unless it is longer than any tool makes it; by the offset it says when nothing is before it.
    for place in (tail_at + at - _LOCATOR.size - _END64.size, offset):
        record = source.read(place, _END64.size) if 0 <= place <= end.at else b""
        if len(record) == _END64.size and record[:4] == b"PK\x06\x06":
            break
    else:
        raise Refused("bad_payload", "the zip64 end of the central directory is not there", offset=end.at)
    _, _, _, _, disk_a, disk_b, here, count, size, start = _END64.unpack(record)
    if disk or disk_a or disk_b or disks > 1 or here != count:
        raise Refused("bad_payload", "it is one part of an archive of several", offset=place)
    pairs = ((end.count, count, _NO16), (end.size, size, _NO32), (end.offset, start, _NO32))
    if any(narrow not in (none, wide) for narrow, wide, none in pairs):
        raise Refused("bad_payload", "the two ends of the central directory contradict each other", offset=place)
    return _End(place, count, size, start, end.trailing_bytes, end.comment_bytes)


def _entries(data: bytes, start: int, prefix: int, count: int) -> Iterator[Member]:
    book = NameBook(windows=True)
    at = 0
    for _ in range(count):
        if len(data) - at < _ENTRY.size or data[at : at + 4] != b"PK\x01\x02":
            raise Refused("bad_payload", "an entry of the central directory is none", offset=start + at)
        entry = _ENTRY.unpack_from(data, at)
        following = at + _ENTRY.size + entry[12] + entry[13] + entry[14]
        if following > len(data):
            raise Refused("bad_payload", "an entry reaches out of the central directory", offset=start + at)
        yield _member(entry, data[at + _ENTRY.size : following], start + at, prefix, book)
        at = following
    if at != len(data) and data[at : at + 4] != b"PK\x05\x05":  # what may stand there is a signature
        raise Refused(
            "bad_payload", f"{len(data) - at} bytes follow the central directory's entries", offset=start + at
        )


def _member(entry: tuple[int, ...], rest: bytes, at: int, prefix: int, book: NameBook) -> Member:
    _, _, system, _, _, flags, method, time, date, crc, packed, size, name_bytes, extra_bytes, *_ = entry
    disk, outside, offset = entry[15], entry[17], entry[18]
    if flags & (_ENCRYPTED | _STRONG | _MASKED):
        raise Refused("unsafe_content", "it is encrypted, so that nobody can tell what is in it", offset=at)
    raw = rest[:name_bytes]
    fields = _extra_fields(rest[name_bytes : name_bytes + extra_bytes]) if extra_bytes else {}
    name = _name(raw, flags, fields, at)
    if _NO32 in (packed, size, offset) or disk == _NO16:
        size, packed, offset, disk = _wide(fields.get(_ZIP64, b""), size, packed, offset, disk, at)
    if disk:
        raise Refused("bad_payload", "it is one part of an archive of several", offset=at)
    kind = _type(name, outside >> 16 if system in _UNIXES else 0, at)
    book.add(name, at, is_directory=kind == "directory", is_link=kind == "link")
    if kind == "directory" and size:
        raise Refused("bad_payload", f"the folder {name[:200]!r} has content", offset=at)
    if method == 0 and size != packed:
        raise Refused("bad_payload", f"the member {name[:200]!r} is stored, and of two sizes", offset=at)
    return Member(
        name=name,
        size=size,
        type=kind,
        modified=date << 16 | time,
        offset=offset + prefix,
        packed=packed,
        method=method,
        flags=flags,
        crc=crc,
    )


def _type(name: str, mode: int, at: int) -> MemberType:
    mode &= 0o170000
    if mode in _DEVICES:
        raise Refused("unsafe_content", f"the member {name[:200]!r} is a device", offset=at)
    if mode == 0o120000:
        return "link"
    return "directory" if name.endswith("/") else "file"


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    """The extra fields by their number; what does not fit at the end is left alone, as all tools do."""
    fields: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        number, size = struct.unpack_from("<2H", extra, at)
        fields.setdefault(number, extra[at + 4 : at + 4 + size])
        at += 4 + size
    return fields


def _name(raw: bytes, flags: int, fields: dict[int, bytes], at: int) -> str:
    unicode_path = fields.get(_UNICODE_PATH, b"")
    if flags & _UTF8:
        try:
            return raw.decode()
        except UnicodeDecodeError as exc:
            raise Refused("bad_payload", "a member's name is to be UTF-8 and is not", offset=at) from exc
    if len(unicode_path) > 5 and unicode_path[1:5] == struct.pack("<L", zlib.crc32(raw)):
        return decode_name(unicode_path[5:], "cp437")
    return decode_name(raw, "cp437")  # macOS writes UTF-8 and does not say so


def _wide(field: bytes, size: int, packed: int, offset: int, disk: int, at: int) -> tuple[int, int, int, int]:
    """The 64-bit values, of those that the entry has no room for, in the order of APPNOTE 4.5.3."""
    taken = 0
    found = []
    for value, none, width in ((size, _NO32, 8), (packed, _NO32, 8), (offset, _NO32, 8), (disk, _NO16, 4)):
        if value == none and len(field) >= taken + width:
            found.append(int.from_bytes(field[taken : taken + width], "little"))
            taken += width
        elif value == none and none == _NO16:
            raise Refused("bad_payload", "it is one part of an archive of several", offset=at)
        elif value == none and field:
            raise Refused("bad_payload", "the zip64 field of an entry is too short", offset=at)
        else:
            found.append(value)
    return found[0], found[1], found[2], found[3]


def _check_bounds(members: Sequence[Member], start: int, limits: KindLimits) -> None:
    """That the members lie apart, before the directory, and do not unpack to more than may be."""
    at, before = 0, None
    for member in sorted(members, key=lambda member: member.offset):
        if member.offset < at:
            what = f"the members {before!r} and {member.name[:100]!r} overlap"
            raise Refused("unsafe_content", what, offset=member.offset)
        at, before = member.offset + _LOCAL_BYTES + member.packed, member.name[:100]
        if at > start:
            raise Refused("bad_payload", f"the member {before!r} reaches into the directory", offset=member.offset)
        if member.size > FLOOR_BYTES:
            _check_ratio(f"the member {before!r}", member.size, member.packed, limits, member.offset)
    unpacked, packed = sum(member.size for member in members), sum(member.packed for member in members)
    _check_ratio("all of it", unpacked, packed, limits, start)
    if unpacked > limits.max_unpacked_bytes:
        raise Refused("too_large", f"{unpacked} bytes unpacked, {limits.max_unpacked_bytes} are allowed", offset=start)


def _check_ratio(what: str, unpacked: int, packed: int, limits: KindLimits, at: int) -> None:
    if unpacked > FLOOR_BYTES and unpacked > packed * limits.max_ratio:
        detail = f"{what} is to unpack from {packed} bytes to {unpacked}: more than {limits.max_ratio} times as many"
        raise Refused("unsafe_content", detail, offset=at)
