"""Kind `zip`: members by the central directory, each held to its local header, and as many as time allows to their CRC."""

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datamanager.kinds.archives.member import Member, listed
from datamanager.kinds.archives.names import leads_out, plain_name
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import BytesSource, Source
from datamanager.kinds.zip.content import LOCAL_BYTES, METHODS, MemberUnpacker, local_bytes, packed_start
from datamanager.kinds.zip.directory import Directory, read_directory

__all__ = ["MIME_TYPE", "ZipScan", "examine", "find_member", "read_members"]

MIME_TYPE = "application/zip"
_CPU_S, _WALL_S = 0.7, 1.0
_LEAST_CPU_S = 0.2  # after a directory that took long
_READ_BYTES, _READS = 64 * 1024 * 1024, 500  # of content that is not at hand
_PIECE_BYTES = 256 * 1024
_GUESS_BYTES = 512  # a local header with its name, mostly
_MAX_TARGET_BYTES = 4096


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:  # noqa: ARG001  # every kind is called alike
    """Checks the directory, and members against it.

    Raises:
        Refused: `kind_mismatch`, `bad_payload`, `too_large`; `unsafe_content` for bombs, encryption and hostile names.
    """
    cpu = time.process_time()
    directory = read_directory(source, limits)
    check = _check_members(source, directory, cpu)
    metadata: dict[str, Any] = listed(directory.members, complete=True)
    metadata |= {"members_checked": check.checked, "members_unpacked": check.unpacked}
    metadata["methods"] = _methods(directory.members)
    odd = {"links_outside": check.links_outside}
    odd |= {name: getattr(directory, name) for name in ("prefix_bytes", "trailing_bytes", "comment_bytes")}
    metadata |= {name: count for name, count in odd.items() if count}
    return Found(MIME_TYPE, "zip", metadata)


@dataclass(frozen=True, slots=True)
class ZipScan:
    """Some members of a zip.

    Attributes:
        members: those that were asked for, in the directory's order.
        ends: where each has to end at the latest: at the next one, or at the directory.
        total: how many there are in all.
    """

    members: list[Member]
    ends: list[int]
    total: int


def read_members(source: Source, limits: KindLimits, start: int, count: int, at_least: int = 0) -> ZipScan:
    """Members in the directory's order, from number `start` on.

    Args:
        source: the content.
        limits: how much it may hold.
        start: the first one's number.
        count: how many.
        at_least: of a zip of no more than so many members all are given, for keeping them.

    Raises:
        Refused: it is no zip that can be read.
    """
    directory = read_directory(source, limits)
    total = len(directory.members)
    members = directory.members if total <= at_least else directory.members[start : start + count]
    return ZipScan(list(members), _ends(members, directory), total)


def find_member(source: Source, limits: KindLimits, plain: str, at_least: int = 0) -> ZipScan:
    """The member of a name, as `plain_name` makes it; none where there is none.

    Args:
        source: the content.
        limits: how much it may hold.
        plain: the name.
        at_least: as `read_members` has it.

    Raises:
        Refused: it is no zip that can be read.
    """
    directory = read_directory(source, limits)
    if len(directory.members) <= at_least:
        return ZipScan(list(directory.members), _ends(directory.members, directory), len(directory.members))
    members = [member for member in directory.members if member.name == plain or plain_name(member.name) == plain]
    return ZipScan(members, _ends(members, directory), len(directory.members))


def _ends(members: Sequence[Member], directory: Directory) -> list[int]:
    offsets = [*sorted(member.offset for member in directory.members), directory.start]
    return [offsets[bisect_right(offsets, member.offset)] for member in members]


def _methods(members: tuple[Member, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for member in members:
        name = METHODS.get(member.method, f"method {member.method}")
        found[name] = found.get(name, 0) + 1
    return found


@dataclass(slots=True)
class _Check:
    """How many members were held to their local header, how many of these to their CRC, in the order of their bytes."""

    checked: int = 0
    unpacked: int = 0
    links_outside: int = 0


def _check_members(source: Source, directory: Directory, cpu: float) -> _Check:
    """Holds members to their local headers, and then, as long as there is time, to their CRCs."""
    budget = _Budget(source, cpu)
    members = sorted(directory.members, key=lambda member: member.offset)
    offsets = [*(member.offset for member in members), directory.start]
    check = _Check()
    starts: list[int] = []
    for member, end in zip(members, offsets[1:], strict=True):
        if not budget.has_time(share=0.6):
            break
        starts.append(packed_start(member, budget.header(member.offset, end), end))
    check.checked = len(starts)
    for member, start in zip(members, starts, strict=False):
        if member.method in METHODS and not _unpack(member, start, budget, check):
            break
    return check


def _unpack(member: Member, start: int, budget: "_Budget", check: _Check) -> bool:
    """Unpacks a member, for its size and CRC; false where there is no time to come to its end."""
    unpacker = MemberUnpacker(member)
    target = b""
    for offset in range(start, start + member.packed, _PIECE_BYTES):
        if not budget.has_room(_PIECE_BYTES):
            return False
        for unpacked in unpacker.feed(budget.get(offset, min(_PIECE_BYTES, start + member.packed - offset))):
            if not budget.has_time():
                return False
            if member.type == "link" and len(target) <= _MAX_TARGET_BYTES:
                target += unpacked
    unpacker.finish()
    check.unpacked += 1
    check.links_outside += member.type == "link" and leads_out(member.name, target.decode("utf-8", "replace"))
    return budget.has_time()


class _Budget:
    """How much of the members is looked at: all of a small archive, the beginning of a large one.

    What is left out is checked when it is read.

    Args:
        source: the content.
        cpu: the processor time at which the look began.
    """

    def __init__(self, source: Source, cpu: float) -> None:
        self._source = source
        self._is_here = isinstance(source, BytesSource)
        now = time.process_time()
        self._cpu = now, max(_LEAST_CPU_S, cpu + _CPU_S - now)
        self._wall = time.monotonic(), _WALL_S
        self._reads = self._read = 0

    def has_time(self, share: float = 1.0) -> bool:
        """Whether there is time to go on, or a share of it."""
        return (
            time.process_time() - self._cpu[0] < share * self._cpu[1]
            and time.monotonic() - self._wall[0] < share * self._wall[1]
            and (self._is_here or self._reads < share * _READS)
        )

    def has_room(self, size: int) -> bool:
        """Whether so many more bytes may be read."""
        return self._is_here or self._read + size <= _READ_BYTES

    def header(self, offset: int, end: int) -> bytes:
        """A local header, whole."""
        head = self.get(offset, min(_GUESS_BYTES, max(LOCAL_BYTES, end - offset)))
        size = local_bytes(head)
        if size > len(head):
            head += self.get(offset + len(head), size - len(head))
        return head[:size]

    def get(self, offset: int, size: int) -> bytes:
        """The bytes from an offset on."""
        self._reads += 1
        self._read += size
        return self._source.read(offset, size)
