"""Sparse members: where in a file there is data; all else is zeros, and takes no room in the archive.

Formats: GNU tar's manual, "Storing Sparse Files": the old GNU format, and the pax formats 0.0, 0.1 and 1.0.
"""

from collections.abc import Iterable, Sequence

from datamanager.errors import Refused
from datamanager.kinds.tar.header import BLOCK, parse_number
from datamanager.kinds.tar.tape import Tape

__all__ = ["SparseMap", "check_map", "map_of_data", "map_of_header", "map_of_records"]

SparseMap = tuple[tuple[int, int], ...]

_MAX_RUNS = 65_536
_MAX_SIZE = 2**63 - 1


def map_of_header(block: bytes, tape: Tape) -> tuple[SparseMap, int]:
    """The map in an old GNU header and the blocks that go on after it; and the size of the file.

    Raises:
        Refused: `bad_payload` or `too_large`.
    """
    at = tape.at - BLOCK
    size = parse_number(block[483:495], at)
    runs = _runs(block[386:482], at)
    more = block[482]
    while more:
        block = tape.read(BLOCK)
        if len(block) < BLOCK:
            raise Refused("bad_payload", "a sparse member's header is cut off", offset=tape.at)
        runs += _runs(block[:504], tape.at - BLOCK)
        _check_count(runs, tape.at)
        more = block[504]
    return tuple(runs), size


def _runs(field: bytes, at: int) -> list[tuple[int, int]]:
    runs = []
    for begin in range(0, len(field) - 23, 24):
        entry = field[begin : begin + 24]
        if not entry[12]:  # a length that is not there
            break
        runs.append((parse_number(entry[:12], at), parse_number(entry[12:], at)))
    return runs


def map_of_records(records: Iterable[tuple[str, str]], at: int) -> SparseMap | None:
    """The map that stands in pax records (0.0 and 0.1); None where there is none.

    Raises:
        Refused: `bad_payload`.
    """
    numbers: list[str] = []
    is_there = False
    for key, value in records:
        if key == "GNU.sparse.map":
            numbers, is_there = value.split(",") if value else [], True
        elif key in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            if ("offset" in key) == (len(numbers) % 2 == 0):
                numbers.append(value)
                is_there = True
            else:
                raise Refused("bad_payload", "a sparse map has no pairs", offset=at)
        elif key == "GNU.sparse.numblocks":
            is_there = True
    return _paired(numbers, at) if is_there else None


def map_of_data(tape: Tape, size: int) -> tuple[SparseMap, int]:
    """The map that stands before a member's data (1.0); and how many bytes it takes.

    Raises:
        Refused: `bad_payload` or `too_large`.
    """
    at = tape.at
    text = b""
    while True:
        lines = text.split(b"\n")
        count = int(lines[0]) if len(lines) > 1 and lines[0].isdigit() and len(lines[0]) < 10 else None
        if len(lines) > 1 and (count is None or count > _MAX_RUNS):
            raise Refused("bad_payload", "a sparse map has a count that is none, or too large", offset=at)
        if count is not None and len(lines) > 2 * count + 1:
            return _paired([line.decode("latin-1") for line in lines[1 : 2 * count + 1]], at), tape.at - at
        block = tape.read(BLOCK)
        text += block
        if len(block) < BLOCK or tape.at - at > size:
            raise Refused("bad_payload", "a sparse map is cut off", offset=tape.at)


def check_map(runs: SparseMap, packed: int, size: int, at: int) -> None:
    """That the runs are in order, lie within the file, and are what the archive holds.

    Raises:
        Refused: `bad_payload`.
    """
    end = 0
    for offset, length in runs:
        if offset < end or offset + length > size:
            raise Refused("bad_payload", "a sparse map overlaps itself or leads out of its file", offset=at)
        end = offset + length
    if sum(length for _, length in runs) != packed or size > _MAX_SIZE:
        raise Refused("bad_payload", "a sparse map does not fit the data", offset=at)


def _paired(numbers: Sequence[str], at: int) -> SparseMap:
    if len(numbers) % 2 or not all(number.isascii() and number.isdigit() and len(number) < 20 for number in numbers):
        raise Refused("bad_payload", "a sparse map holds what is no number, or no pairs", offset=at)
    _check_count(numbers[::2], at)
    return tuple((int(a), int(b)) for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def _check_count(runs: Sequence[object], at: int) -> None:
    if len(runs) > _MAX_RUNS:
        raise Refused("too_large", f"a sparse map of more than {_MAX_RUNS} runs", offset=at)
