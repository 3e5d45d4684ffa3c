"""The structure of JSON text, found without reading its values: brackets and commas outside of strings.

Fast (32 MB in about 0.3 s) and small whatever the text holds, so that it can be asked of text that is not yet known to
be JSON; what it says then is of no use, but it says it.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["JsonScan", "scan_json", "top_keys"]

_CHUNK_BYTES = 1 << 20
_QUOTE, _BACKSLASH, _COMMA = ord('"'), ord("\\"), ord(",")
_STEPS = np.zeros(256, np.int8)
_STEPS[[ord("["), ord("{")]] = 1
_STEPS[[ord("]"), ord("}")]] = -1
_KEY = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*")', re.DOTALL)
_FIRST = re.compile(rb"[ \t\r\n]*(.?)[ \t\r\n]*(.?)", re.DOTALL)

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


@dataclass(slots=True)
class JsonScan:
    """What was found.

    Attributes:
        first: the first character that is no space.
        depth: how deep brackets nest.
        deep_at: where they first nest deeper than was asked; None where they do not.
        top_commas: commas right within the outermost brackets.
        commas_at: where the first of these are.
        is_empty: whether the outermost brackets hold nothing.
    """

    first: bytes
    is_empty: bool
    depth: int = 0
    deep_at: int | None = None
    top_commas: int = 0
    commas_at: list[int] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """Of the outermost object or array."""
        return 0 if self.is_empty else self.top_commas + 1


@dataclass(slots=True)
class _State:
    in_string: int = 0
    is_escaped: bool = False
    depth: int = 0


def scan_json(data: bytes, max_depth: int, most_commas: int) -> JsonScan:
    """Scans JSON text.

    Args:
        data: in UTF-8, without a byte order mark.
        max_depth: `deep_at` says where it is passed.
        most_commas: how many places of top-level commas to keep.
    """
    match = _FIRST.match(data)
    first, second = match.groups() if match else (b"", b"")
    scan = JsonScan(first, second in (b"]", b"}"))
    state = _State()
    for begin in range(0, len(data), _CHUNK_BYTES):
        chunk = np.frombuffer(data, np.uint8, min(_CHUNK_BYTES, len(data) - begin), begin)
        _scan_chunk(chunk, begin, state, scan, max_depth, most_commas)
    return scan


def top_keys(data: bytes, scan: JsonScan) -> list[bytes]:
    """The first keys of an object, as the JSON strings that stand there; of text that is known to be JSON."""
    if scan.first != b"{" or scan.is_empty:
        return []
    found = []
    for at in [data.index(b"{"), *scan.commas_at]:
        match = _KEY.match(data, at + 1)
        if match is None:
            break
        found.append(match[1])
    return found


def _scan_chunk(chunk: Bytes, begin: int, state: _State, scan: JsonScan, max_depth: int, most_commas: int) -> None:
    quotes = chunk == _QUOTE
    quotes &= ~_escaped(chunk, state)
    inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)) ^ state.in_string
    state.in_string = int(inside[-1])
    outside = inside == 0
    depths = np.cumsum(_STEPS[chunk] * outside, dtype=np.int64) + state.depth
    state.depth = int(depths[-1])
    deepest = int(depths.max())
    scan.depth = max(scan.depth, deepest)
    if deepest > max_depth and scan.deep_at is None:
        scan.deep_at = begin + int(np.argmax(depths > max_depth))
    commas = np.flatnonzero((chunk == _COMMA) & outside & (depths == 1))
    scan.top_commas += len(commas)
    room = most_commas - len(scan.commas_at)
    if room > 0:
        scan.commas_at += (commas[:room] + begin).tolist()


def _escaped(chunk: Bytes, state: _State) -> Flags:
    """Which bytes follow an odd run of backslashes."""
    escaped: Flags = np.zeros(len(chunk), np.bool_)
    slashes: npt.NDArray[Any] = np.flatnonzero(chunk == _BACKSLASH)
    if state.is_escaped:
        escaped[0] = True
        slashes = slashes[slashes > 0]  # one that is escaped itself begins no run
    state.is_escaped = False
    if not len(slashes):
        return escaped
    is_start = np.append(True, np.diff(slashes) > 1)
    starts = slashes[is_start]
    ends = slashes[np.append(is_start[1:], True)] + 1
    odd = ends[(ends - starts) % 2 == 1]
    state.is_escaped = bool(len(odd)) and int(odd[-1]) == len(chunk)
    escaped[odd[odd < len(chunk)]] = True
    return escaped
