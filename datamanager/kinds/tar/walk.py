"""Goes through a tar from member to member."""

import re
from collections.abc import Iterator, Sequence

from datamanager.errors import Refused
from datamanager.kinds.archives.member import Member, MemberType
from datamanager.kinds.archives.names import decode_name
from datamanager.kinds.tar.header import BLOCK, RawHeader, parse_header, parse_pax
from datamanager.kinds.tar.sparse import SparseMap, check_map, map_of_data, map_of_header, map_of_records
from datamanager.kinds.tar.tape import Tape

__all__ = ["Walk"]

_MAX_EXTRA_BYTES = 1024 * 1024  # of a pax header or a long name
_MAX_EXTRAS = 16  # headers of headers before one member
_MAX_SIZE = 2**63 - 1
_TYPES: dict[str, MemberType] = {"1": "hardlink", "2": "link", "5": "directory", "D": "directory"}
_SPECIAL = {"3": "a character device", "4": "a block device", "6": "a pipe"}
_WITHOUT_DATA = "125"
_SKIPPED = "VNAI"  # a volume's label, old long names, access lists, inode data
_INTEGER = re.compile(r"-?\d{1,64}", re.ASCII)
_NUL = "\0"


class Walk:
    """The members of a tar, in order, each given before its data are passed over.

    Args:
        tape: what is read.

    Attributes:
        resume: where a walk can begin anew: the header after the last member whose data were passed over.
        has_end: whether the two blocks of zeros stand at its end.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._shared: dict[str, str] = {}  # what a global pax header says of all that follows
        self.resume = tape.at
        self.has_end = False

    def __iter__(self) -> Iterator[Member]:
        """The members.

        Raises:
            Refused: what stands there is no tar, or is cut off.
            OutOfTime: there is no time to go on.
        """
        while (found := self._next()) is not None:
            member, size = found
            if member is not None:
                yield member
            missing = size - self._tape.skip(_padded(size))
            if missing > 0:
                raise Refused("bad_payload", f"it is cut off: {missing} bytes are missing", offset=self._tape.at)
            self.resume = self._tape.at

    def _next(self) -> tuple[Member | None, int] | None:
        """The next member, and how many bytes of it follow; None at the end."""
        records: list[tuple[str, str]] = []
        long_name = long_link = None
        for _ in range(_MAX_EXTRAS):
            header = self._header()
            if header is None:
                if records or long_name is not None or long_link is not None:
                    raise Refused("bad_payload", "a header stands before nothing", offset=self._tape.at)
                return None
            if header.type in "xXg":
                found = parse_pax(self._extra(header), self._tape.at)
                if header.type == "g":
                    self._shared |= dict(found)
                else:
                    records = found
            elif header.type == "L":
                long_name = self._long(header)
            elif header.type == "K":
                long_link = self._long(header)
            else:
                return self._member(header, records, long_name, long_link)
        raise Refused("bad_payload", f"more than {_MAX_EXTRAS} headers stand before a member", offset=self._tape.at)

    def _header(self) -> RawHeader | None:
        at = self._tape.at
        block = self._tape.read(BLOCK)
        if not block:
            return None
        if len(block) < BLOCK:
            if not block.strip(b"\0"):
                return None
            raise Refused("bad_payload", f"it is cut off: {len(block)} bytes are no block", offset=at)
        if not block.strip(b"\0"):
            following = self._tape.read(BLOCK)
            self.has_end = not following.strip(b"\0")
            if not self.has_end and parse_header(following.ljust(BLOCK, b"\0"), at + BLOCK) is None:
                raise Refused("bad_payload", "something else follows a block of zeros", offset=at + BLOCK)
            return None
        header = parse_header(block, at)
        if header is None:
            raise Refused("bad_payload", "a header's checksum is wrong", offset=at)
        return header

    def _extra(self, header: RawHeader) -> bytes:
        if header.size > _MAX_EXTRA_BYTES:
            what = f"a header of a header has {header.size} bytes, {_MAX_EXTRA_BYTES} are allowed"
            raise Refused("too_large", what, offset=self._tape.at - BLOCK)
        data = self._tape.read(_padded(header.size))
        if len(data) < header.size:
            raise Refused("bad_payload", "it is cut off within a header", offset=self._tape.at)
        return data[: header.size]

    def _long(self, header: RawHeader) -> str:
        return decode_name(self._extra(header).split(b"\0", 1)[0], "latin-1")

    def _member(
        self, header: RawHeader, records: Sequence[tuple[str, str]], long_name: str | None, long_link: str | None
    ) -> tuple[Member | None, int]:
        at = self._tape.at - BLOCK
        pax = {**self._shared, **dict(records)}
        name = pax.get("GNU.sparse.name") or pax.get("path") or long_name or header.name
        link = pax.get("linkpath") or long_link or header.link
        if _NUL in name or _NUL in link:
            raise Refused("unsafe_content", f"the member {name[:200]!r} has a NUL in its name", offset=at)
        if header.type in _SPECIAL:
            raise Refused("unsafe_content", f"the member {name[:200]!r} is {_SPECIAL[header.type]}", offset=at)
        if header.type == "M":
            raise Refused("bad_payload", "it is one part of an archive of several", offset=at)
        size = self._integer(pax, "size", header.size, at)
        kind = _TYPES.get(header.type, "file")
        if header.type in "\x000" and name.endswith("/"):  # as the first tars told folders
            kind = "directory"
        if header.type in _WITHOUT_DATA:
            size = 0
        if size > _MAX_SIZE:
            raise Refused("bad_payload", f"the member {name[:200]!r} is to have {size} bytes", offset=at)
        if header.type in _SKIPPED:
            return None, size
        packed, real, runs = self._sparse(header, [*self._shared.items(), *records], pax, size, at)
        member = Member(
            name=name,
            size=real,
            type=kind,
            target=link if kind in ("link", "hardlink") else None,
            modified=_modified(pax, header),
            offset=self._tape.at,
            packed=packed,
            holes=runs,
        )
        return member, packed

    def _sparse(
        self, header: RawHeader, records: Sequence[tuple[str, str]], pax: dict[str, str], size: int, at: int
    ) -> tuple[int, int, SparseMap | None]:
        """The bytes in the archive, the bytes of the file, and where these are in it; None where it is not sparse."""
        if header.type == "S":
            runs, real = map_of_header(header.block, self._tape)
        elif pax.get("GNU.sparse.major") == "1" and pax.get("GNU.sparse.minor") == "0":
            runs, taken = map_of_data(self._tape, size)
            size, real = size - taken, self._integer(pax, "GNU.sparse.realsize", size, at)
        else:
            found = map_of_records(records, at)
            if found is None:
                return size, size, None
            runs, real = found, self._integer(pax, "GNU.sparse.size", size, at)
        check_map(runs, size, real, at)
        return size, real, runs

    def _integer(self, pax: dict[str, str], key: str, other: int, at: int) -> int:
        text = pax.get(key)
        if not text:
            return other
        if _INTEGER.fullmatch(text) is None or int(text) < 0:
            raise Refused("bad_payload", f"the pax record {key} says {text[:40]!r}", offset=at)
        return int(text)


def _modified(pax: dict[str, str], header: RawHeader) -> int | None:
    whole = pax.get("mtime", "").partition(".")[0]
    value = int(whole) if _INTEGER.fullmatch(whole) else header.modified
    return value if abs(value) <= _MAX_SIZE else None


def _padded(size: int) -> int:
    return size + -size % BLOCK
