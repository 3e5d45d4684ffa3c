"""MessagePack's encoding, one value's head at a time (github.com/msgpack/msgpack, spec.md).

Nothing is allocated for what a head promises: a length that reaches beyond the end is refused where it stands.
"""

from enum import IntEnum
from struct import unpack_from
from typing import NamedTuple

from datamanager.errors import Refused

__all__ = ["Family", "Head", "read_head", "scalar_value"]


class Family(IntEnum):
    """What a value is."""

    NIL = 0
    BOOL = 1
    INT = 2
    FLOAT = 3
    STR = 4
    BIN = 5
    EXT = 6
    ARRAY = 7
    MAP = 8


class _Lead(NamedTuple):
    """What the first byte of a value says: its family, its size (of a map or array: its count), or how wide a field says that."""

    family: Family
    size: int
    width: int = 0


class Head(NamedTuple):  # one is made for each value: a tuple takes a third of the time that a dataclass does
    """A value's head.

    Attributes:
        size: bytes of its body; of an array or map, how many entries it has.
        body: where its body begins: its bytes, or its first entry.
        code: of an extension type.
    """

    family: Family
    size: int
    body: int
    code: int = 0

    @property
    def end(self) -> int:
        """Where the next value begins, after one that is no array and no map."""
        return self.body + self.size


def _leads() -> list[_Lead | None]:
    table: list[_Lead | None] = [_Lead(Family.INT, 0)] * 128
    table += [_Lead(Family.MAP, n) for n in range(16)]
    table += [_Lead(Family.ARRAY, n) for n in range(16)]
    table += [_Lead(Family.STR, n) for n in range(32)]
    table += [_Lead(Family.NIL, 0), None, _Lead(Family.BOOL, 0), _Lead(Family.BOOL, 0)]
    table += [_Lead(Family.BIN, 0, width) for width in (1, 2, 4)]
    table += [_Lead(Family.EXT, 0, width) for width in (1, 2, 4)]
    table += [_Lead(Family.FLOAT, size) for size in (4, 8)]
    table += [_Lead(Family.INT, size) for size in (1, 2, 4, 8)] * 2
    table += [_Lead(Family.EXT, size) for size in (1, 2, 4, 8, 16)]
    table += [_Lead(Family.STR, 0, width) for width in (1, 2, 4)]
    table += [_Lead(Family.ARRAY, 0, width) for width in (2, 4)]
    table += [_Lead(Family.MAP, 0, width) for width in (2, 4)]
    return table + [_Lead(Family.INT, 0)] * 32


_LEADS = _leads()


def read_head(data: bytes, at: int) -> Head:
    """The head of the value that begins at `at`, its length held against the bytes that are left.

    Raises:
        Refused: `bad_payload`, with the offset.
    """
    if at >= len(data):
        raise Refused("bad_payload", "it ends where a value should begin", offset=at)
    lead = _LEADS[data[at]]
    if lead is None:
        raise Refused("bad_payload", "0xc1 begins no value in MessagePack", offset=at)
    family, size, body = lead.family, lead.size, at + 1
    if lead.width:
        size = int.from_bytes(data[body : body + lead.width], "big")
        body += lead.width
    code = 0
    if family is Family.EXT:
        code = int.from_bytes(data[body : body + 1], "big", signed=True)
        body += 1
    left = len(data) - body
    least = 2 * size if family is Family.MAP else size  # an entry has a byte at the least
    if left < 0:
        raise Refused("bad_payload", "it ends within the length of a value", offset=at)
    if least > left:
        raise Refused("bad_payload", f"{family.name.lower()} of {size} where {left} bytes are left", offset=at)
    return Head(family, size, body, code)


def scalar_value(data: bytes, at: int, head: Head) -> bool | int | float | None:
    """The value of a nil, bool, int or float."""
    lead = data[at]
    if head.family is Family.NIL:
        return None
    if head.family is Family.BOOL:
        return lead == 0xC3
    if head.family is Family.FLOAT:
        found: float = unpack_from(">f" if head.size == 4 else ">d", data, head.body)[0]
        return found
    if not head.size:
        return lead if lead < 0x80 else lead - 0x100
    return int.from_bytes(data[head.body : head.end], "big", signed=lead >= 0xD0)
