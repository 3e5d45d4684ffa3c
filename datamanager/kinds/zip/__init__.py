"""Kind `zip`: members by the central directory, each held to its local header, and as many as time allows to their CRC."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datamanager.kinds.archives.member import Member, listed
from datamanager.kinds.archives.names import leads_out
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import BytesSource, Source
from datamanager.kinds.zip.content import LOCAL_BYTES, METHODS, MemberUnpacker, local_bytes, packed_start
from datamanager.kinds.zip.directory import Directory, read_directory

__all__ = ["MIME_TYPE", "examine", "read_members"]

MIME_TYPE = "application/zip"
_CPU_S, _WALL_S = 0.6, 1.0
_READ_BYTES, _READS = 64 * 1024 * 1024, 500  # of content that is not at hand
_PIECE_BYTES = 1024 * 1024
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


def read_members(source: Source, limits: KindLimits) -> tuple[list[Member], int]:
    """The members in the directory's order, and where the directory begins: for reading them.

    Raises:
        Refused: as `examine`.
    """
    directory = read_directory(source, limits)
    return list(directory.members), directory.start


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
    budget = _Budget(source, cpu)
    members = sorted(directory.members, key=lambda member: member.offset)
    offsets = [*(member.offset for member in members), directory.start]
    check = _Check()
    for member, end in zip(members, offsets[1:], strict=True):
        if not budget.has_time():
            break
        start = packed_start(member, budget.header(member.offset, end), end)
        check.checked += 1
        if member.method in METHODS and budget.has_room(member):
            target = _unpack(member, budget.pieces(start, member.packed))
            check.links_outside += target is not None and leads_out(member.name, target)
            check.unpacked += 1
    return check


def _unpack(member: Member, pieces: Iterator[bytes]) -> str | None:
    """Unpacks a member, for its size and CRC; of a link, returns where it leads."""
    unpacker = MemberUnpacker(member)
    target = b""
    for piece in pieces:
        for unpacked in unpacker.feed(piece):
            if member.type == "link" and len(target) <= _MAX_TARGET_BYTES:
                target += unpacked
    unpacker.finish()
    return target.decode("utf-8", "replace") if member.type == "link" else None


class _Budget:
    """How much of the members is looked at: all of a small archive, the beginning of a large one.

    What is left out is checked when it is read.
    """

    def __init__(self, source: Source, cpu: float) -> None:
        self._source = source
        self._is_here = isinstance(source, BytesSource)
        self._began = time.monotonic()
        self._cpu = cpu
        self._reads = self._read = 0

    def has_time(self) -> bool:
        return (
            time.process_time() - self._cpu < _CPU_S
            and time.monotonic() - self._began < _WALL_S
            and (self._is_here or (self._reads < _READS and self._read < _READ_BYTES))
        )

    def has_room(self, member: Member) -> bool:
        """Whether a member can be unpacked in the time that is left, at the least 25 MB a second."""
        left_s = _CPU_S - (time.process_time() - self._cpu)
        if not self._is_here and self._read + member.packed > _READ_BYTES:
            return False
        return member.size < left_s * 25_000_000

    def header(self, offset: int, end: int) -> bytes:
        """A local header, whole."""
        head = self._get(offset, min(_GUESS_BYTES, max(LOCAL_BYTES, end - offset)))
        size = local_bytes(head)
        if size > len(head):
            head += self._get(offset + len(head), size - len(head))
        return head[:size]

    def pieces(self, offset: int, size: int) -> Iterator[bytes]:
        """A run of bytes, in pieces."""
        for at in range(offset, offset + size, _PIECE_BYTES):
            yield self._get(at, min(_PIECE_BYTES, offset + size - at))

    def _get(self, offset: int, size: int) -> bytes:
        self._reads += 1
        self._read += size
        return self._source.read(offset, size)
