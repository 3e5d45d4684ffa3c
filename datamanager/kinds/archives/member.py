"""A member of an archive, and how members are told in a record's metadata."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Member", "MemberType", "listed"]

MemberType = Literal["file", "directory", "link", "hardlink"]

_LISTED, _LISTED_BYTES = 256, 48 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One member.

    Attributes:
        name: as the archive has it.
        size: bytes that it unpacks to.
        type: a `link` is symbolic; a `hardlink` is another name of an earlier member.
        target: what a link leads to.
        modified: of a tar, Unix seconds; of a zip, MS-DOS' date and time, which know no zone. None where it is not said.
        offset: of a zip, where its local header is; of a tar, where its data begin, once unpacked.
        packed: bytes that it takes in the archive.
        method: of a zip, how it is packed.
        flags: of a zip, its general purpose bits.
        crc: of a zip, the CRC-32 of what it unpacks to.
        holes: of a sparse member of a tar: (where, how many) bytes there are, one after the other; the rest is zeros.
    """

    name: str
    size: int
    type: MemberType
    target: str | None = None
    modified: int | None = None
    offset: int = 0
    packed: int = 0
    method: int = 0
    flags: int = 0
    crc: int = 0
    holes: tuple[tuple[int, int], ...] | None = None


def listed(members: Sequence[Member], *, complete: bool) -> dict[str, Any]:
    """What goes into a record's metadata: the first members, and how many there are in all.

    Args:
        members: those that were seen.
        complete: whether these are all.
    """
    return {
        "members": _first(members),
        "member_count": len(members),
        "members_complete": complete,
        "files": sum(member.type == "file" for member in members),
        "unpacked_bytes": sum(member.size for member in members),
    }


def _first(members: Iterable[Member]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    room = _LISTED_BYTES
    for member in members:
        room -= 64 + 4 * len(member.name) + 4 * len(member.target or "")
        if room < 0 or len(found) == _LISTED:
            break
        entry: dict[str, Any] = {"name": member.name, "size": member.size, "type": member.type}
        found.append(entry | ({"target": member.target} if member.target is not None else {}))
    return found
