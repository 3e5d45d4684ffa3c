"""Kind `tar`, plain or packed by gzip, bzip2, xz or Zstandard: its members, as far as there is time to look."""

import math
from dataclasses import dataclass
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.archives.member import Member, listed
from datamanager.kinds.archives.names import NameBook, leads_out, plain_name
from datamanager.kinds.archives.unpacking import packing_of
from datamanager.kinds.file import sniff_mime_type
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source
from datamanager.kinds.tar.header import BLOCK, parse_header
from datamanager.kinds.tar.tape import Budget, OutOfTime, PackedTape, PlainTape
from datamanager.kinds.tar.walk import Walk

__all__ = ["PLAIN_MIME_TYPE", "Scan", "examine", "find_member", "find_packed", "read_members"]

PLAIN_MIME_TYPE = "application/x-tar"
_MIME_TYPES = {
    None: PLAIN_MIME_TYPE,
    "gz": "application/gzip",
    "bz2": "application/x-bzip2",
    "xz": "application/x-xz",
    "zst": "application/zstd",
}


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:  # noqa: ARG001  # every kind is called alike
    """Goes through the members, for as long as one look may take; a large archive is listed in part, and that is said.

    Raises:
        Refused: `kind_mismatch`, `bad_payload`, `too_large`; `unsafe_content` for bombs, hostile names and devices.
    """
    packing = packing_of(source.read(0, 16))
    tape = _tape(source, packing, limits, 0)
    _check_first(source, tape, packing)
    tape = _tape(source, packing, limits, 0)
    walk = Walk(tape)
    look = _Look(limits)
    try:
        for member in walk:
            look.take(member)
        if isinstance(tape, PackedTape):
            tape.drain()
    except OutOfTime:
        look.complete = False
    metadata: dict[str, Any] = listed(look.members, complete=look.complete)
    metadata["packing"] = packing or "none"
    if look.links_outside:
        metadata["links_outside"] = look.links_outside
    if look.complete and not walk.has_end:
        metadata["end_marker"] = False
    return Found(_MIME_TYPES[packing], f"tar.{packing}" if packing else "tar", metadata)


@dataclass(frozen=True, slots=True)
class Scan:
    """Some members of a tar.

    Attributes:
        members: in order.
        following: where the next header is, for another scan; None where there is no more.
        packing: how it is packed; None for not at all.
    """

    members: list[Member]
    following: int | None
    packing: str | None


def read_members(source: Source, limits: KindLimits, start: int, count: int) -> Scan:
    """Members from a header on. A packed tar is read from its beginning, and as far as one look goes.

    Args:
        source: the content.
        limits: how much it may hold.
        start: where the header stands.
        count: how many members at most.

    Raises:
        Refused: it is no tar that can be read.
    """
    packing = packing_of(source.read(0, 16))
    walk = Walk(_tape(source, packing, limits, start))
    members: list[Member] = []
    following = None
    try:
        for member in walk:
            if len(members) == count:
                following = walk.resume
                break
            members.append(member)
    except OutOfTime:
        following = walk.resume
    return Scan(members, following, packing)


def find_member(source: Source, limits: KindLimits, start: int, plain: str) -> tuple[Member | None, int | None]:
    """Looks for a member of a tar that is not packed, from a header on.

    Args:
        source: the content.
        limits: how much it may hold.
        start: where the header stands.
        plain: the name, as `plain_name` makes it.

    Returns:
        The member, and where to go on looking: None where there is no more.

    Raises:
        Refused: it is no tar that can be read.
    """
    walk = Walk(_tape(source, None, limits, start))
    try:
        for member in walk:
            if member.name == plain or plain_name(member.name) == plain:
                return member, None
    except OutOfTime:
        return None, walk.resume
    return None, None


def find_packed(source: Source, limits: KindLimits, plain: str, look_s: float) -> tuple[Member | None, bool]:
    """Looks for a member of a tar that is packed, from its beginning, for as long as is said.

    Returns:
        The member, None where it was not found; and whether all were looked at that come before it.

    Raises:
        Refused: it is no tar that can be read.
    """
    budget = Budget(cpu_s=math.inf, wall_s=look_s)
    walk = Walk(PackedTape(source, packing_of(source.read(0, 16)) or "", limits.max_ratio, budget))
    try:
        return next((member for member in walk if plain_name(member.name) == plain), None), True
    except OutOfTime:
        return None, False


def _tape(source: Source, packing: str | None, limits: KindLimits, start: int) -> PackedTape | PlainTape:
    if packing is None:
        return PlainTape(source, start, Budget())
    return PackedTape(source, packing, limits.max_ratio, Budget())


def _check_first(source: Source, tape: PackedTape | PlainTape, packing: str | None) -> None:
    """Content that is no tar is said to be what it is."""
    try:
        block = tape.read(BLOCK)
        is_tar = len(block) == BLOCK and (not block.strip(b"\0") or parse_header(block, 0) is not None)
    except OutOfTime:
        is_tar = True
    if is_tar:
        return
    if packing is not None:
        raise Refused("kind_mismatch", f"what is packed as {packing} is {sniff_mime_type(block)}, not tar", offset=0)
    mime_type = sniff_mime_type(source.read(0, 4096))
    if mime_type != "application/octet-stream":
        raise Refused("kind_mismatch", f"the content is {mime_type}, not tar", offset=0)
    raise Refused("bad_payload", "no header of a tar stands at the beginning", offset=0)


class _Look:
    """What is seen of the members, and held against the limits."""

    def __init__(self, limits: KindLimits) -> None:
        self._limits = limits
        self._book = NameBook(windows=False)
        self._unpacked = 0
        self.members: list[Member] = []
        self.links_outside = 0
        self.complete = True

    def take(self, member: Member) -> None:
        """Takes the next member in.

        Raises:
            Refused: its name or its size is none that is taken.
            OutOfTime: there are more members than are looked at.
        """
        if len(self.members) >= self._limits.max_members:
            raise OutOfTime
        at = max(0, member.offset - BLOCK)
        self._book.add(member.name, at, is_directory=member.type == "directory", is_link=member.type == "link")
        if member.type == "hardlink" and leads_out(member.name, member.target or "", is_hard=True):
            what = f"the hard link {member.name[:200]!r} leads out, to {(member.target or '')[:200]!r}"
            raise Refused("unsafe_content", what, offset=at)
        self.links_outside += member.type == "link" and leads_out(member.name, member.target or "")
        self._unpacked += member.size
        if self._unpacked > self._limits.max_unpacked_bytes:
            what = f"{self._unpacked} bytes unpacked, {self._limits.max_unpacked_bytes} are allowed"
            raise Refused("too_large", what, offset=at)
        self.members.append(member)
