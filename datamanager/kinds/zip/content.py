"""One member of a zip: where its packed bytes are, and what they unpack to, by its own word and by its CRC."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from datamanager.errors import RefusalCode, Refused
from datamanager.kinds.archives.member import Member
from datamanager.kinds.archives.unpacking import Unpacker

__all__ = ["LOCAL_BYTES", "METHODS", "MemberUnpacker", "local_bytes", "packed_start"]

# APPNOTE 4.4.5; what is not here (Deflate64, implode, PPMd, ...) is listed, and cannot be read.
METHODS = {0: "stored", 8: "deflate", 12: "bz2", 14: "lzma", 93: "zst"}
_LOCAL = struct.Struct("<4s5H3L2H")
LOCAL_BYTES = _LOCAL.size
_LATER = 1 << 3  # sizes and CRC stand behind the data
_CHECKED_FLAGS = 1 | 1 << 13
_NO32 = 0xFFFFFFFF


def local_bytes(header: bytes) -> int:
    """How long a local header is, of which the first 30 bytes are given; 0 where it is none."""
    if len(header) < LOCAL_BYTES or header[:4] != b"PK\x03\x04":
        return 0
    name, extra = struct.unpack_from("<2H", header, 26)
    return LOCAL_BYTES + int(name) + int(extra)


def packed_start(member: Member, header: bytes, end: int) -> int:
    """Where a member's packed bytes begin.

    Args:
        member: as the directory has it.
        header: its local header, with name and extra fields.
        end: where they have to end: the next member, or the directory.

    Raises:
        Refused: the header says something else than the directory; `unsafe_content` where members overlap.
    """
    if len(header) < LOCAL_BYTES or header[:4] != b"PK\x03\x04" or len(header) < local_bytes(header):
        raise Refused("bad_payload", f"the member {member.name[:200]!r} has no local header", offset=member.offset)
    _, _, flags, method, _, _, crc, packed, size, name_bytes, _ = _LOCAL.unpack_from(header)
    if flags & _CHECKED_FLAGS:
        raise Refused("unsafe_content", f"the member {member.name[:200]!r} is encrypted", offset=member.offset)
    if method != member.method or not _is_name(header[LOCAL_BYTES:][:name_bytes], member):
        raise _lies(member)
    said = ((crc, member.crc), (packed, member.packed), (size, member.size))
    is_wide = _NO32 in (packed, size)
    if not flags & _LATER and not is_wide and any(here != there for here, there in said):
        raise _lies(member)
    start = member.offset + len(header)
    if start + member.packed > end:
        raise Refused("unsafe_content", f"the member {member.name[:200]!r} overlaps the next", offset=member.offset)
    return start


def _is_name(raw: bytes, member: Member) -> bool:
    for encoding in ("utf-8", "cp437"):
        try:
            if raw.decode(encoding) == member.name:
                return True
        except UnicodeDecodeError:
            continue
    # By its extra field (0x7075) a member has another name than the one that stands there for old tools.
    return not member.name.isascii()


def _lies(member: Member) -> Refused:
    detail = f"the local header of {member.name[:200]!r} says something else than the directory"
    return Refused("bad_payload", detail, offset=member.offset)


class MemberUnpacker:
    """Unpacks one member as its bytes come, and holds it to its size and CRC.

    Raises:
        Refused: `bad_payload`: it is packed by a method that is not read here.
    """

    def __init__(self, member: Member) -> None:
        packing = METHODS.get(member.method)
        if packing is None:
            what = f"the member {member.name[:200]!r} is packed by method {member.method}, which is not read here"
            raise Refused("bad_payload", what, offset=member.offset)
        self._member = member
        self._unpacker = Unpacker(packing, single=True)
        self._crc = 0
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What further bytes unpack to.

        Raises:
            Refused: they cannot be unpacked, or are more than the directory says.
        """
        with self._named():
            for piece in self._unpacker.feed(data):
                self._size += len(piece)
                if self._size > self._member.size:
                    raise Refused(
                        "bad_payload", f"it unpacks to more than the {self._member.size} bytes that it is to have"
                    )
                self._crc = zlib.crc32(piece, self._crc)
                yield piece

    def finish(self) -> None:
        """Says that all its bytes have come.

        Raises:
            Refused: they do not unpack to what the directory says.
        """
        with self._named():
            if self._member.size or self._member.packed:
                self._unpacker.finish()
            if self._size != self._member.size:
                raise Refused("bad_payload", f"it unpacks to {self._size} bytes, and is to have {self._member.size}")
            if self._crc != self._member.crc:
                raise Refused("bad_payload", f"it has the CRC {self._crc:08x}, and is to have {self._member.crc:08x}")

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except Refused as exc:
            what = f"the member {self._member.name[:200]!r} is broken: {exc.detail}"
            raise Refused(cast(RefusalCode, exc.code), what, offset=self._member.offset) from exc
