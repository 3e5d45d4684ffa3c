"""Walks a MessagePack value from end to end without building it: its structure, and what stands out in it.

A run of numbers of one size in an array, as robots send them, is taken in one step.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from datamanager.errors import Refused
from datamanager.kinds.documents.pack_format import Family, Head, read_head

__all__ = ["Member", "PackWalk", "TaggedMap", "walk_pack"]

_MARKS = {b"$dtype", b"ztype"}
_MEMBERS = _MARKS | {b"b", b"dtype", b"shape", b"length"}
_MAX_TAGGED = 10_000
# Lead bytes of nil, booleans and numbers, by how many bytes the whole value takes.
_RUNS = {
    1: re.compile(rb"[\x00-\x7f\xc0\xc2\xc3\xe0-\xff]*"),
    2: re.compile(rb"(?:[\xcc\xd0].)*", re.DOTALL),
    3: re.compile(rb"(?:[\xcd\xd1]..)*", re.DOTALL),
    5: re.compile(rb"(?:[\xca\xce\xd2].{4})*", re.DOTALL),
    9: re.compile(rb"(?:[\xcb\xcf\xd3].{8})*", re.DOTALL),
}


class Member(NamedTuple):
    """A member of a tagged map: the head of its value, and where that begins."""

    at: int
    head: Head


@dataclass(frozen=True, slots=True)
class TaggedMap:
    """A map with one of the keys `$dtype` and `ztype`.

    Attributes:
        steps: the way to it from the top: of an array the index, of a map where the key stands and that it is one.
        at: where it begins.
        members: those of its members that a tensor has, by key.
    """

    steps: tuple[tuple[int, bool], ...]
    at: int
    members: dict[bytes, Member]


@dataclass(slots=True)
class PackWalk:
    """What a walk found.

    Attributes:
        end: where the value ends.
        values: how many values there are, keys included.
        depth: how deep arrays and maps nest.
        ext_codes: extension types met, and how often each.
        bad_texts: how many `str` are no UTF-8.
        tagged: maps that are tagged, when these were asked for.
        is_whole: whether the walk came to the end; what stands above then counts to where it stopped.
    """

    end: int = 0
    values: int = 0
    depth: int = 0
    ext_codes: dict[int, int] = field(default_factory=dict)
    bad_texts: int = 0
    tagged: list[TaggedMap] = field(default_factory=list)
    is_whole: bool = True


@dataclass(slots=True)
class _Frame:
    """An array or map that is being walked."""

    at: int
    is_map: bool
    left: int  # values to come, keys included
    index: int = 0
    key: bytes | None = None
    key_at: int = 0
    members: dict[bytes, Member] | None = None


def walk_pack(data: bytes, max_depth: int, max_steps: int, *, tagged: bool = False, begin: int = 0) -> PackWalk:
    """Walks the value that begins at `begin`.

    Args:
        data: the bytes; what follows the value is not looked at.
        max_depth: how deep it may nest.
        max_steps: after so many the walk stops, with `is_whole` False.
        tagged: whether to collect maps that are tagged.
        begin: where it begins.

    Raises:
        Refused: `bad_payload`, `too_deep`, with the offset; `too_large` for more than 10,000 tagged maps.
    """
    walk = PackWalk()
    frames: list[_Frame] = []
    at = begin
    for _ in range(max_steps):
        head = read_head(data, at)
        walk.values += 1
        if frames:
            _enter(frames[-1], data, at, head)
        if head.family >= Family.ARRAY:
            is_map = head.family is Family.MAP
            frames.append(_Frame(at, is_map, 2 * head.size if is_map else head.size))
            walk.depth = max(walk.depth, len(frames))
            if len(frames) > max_depth:
                raise Refused("too_deep", f"it nests deeper than {max_depth} levels", offset=at)
            at = head.body
        else:
            _note(walk, data, head)
            at = _past(walk, frames, data, at, head)
        while frames and not frames[-1].left:
            _leave(walk, frames, tagged=tagged)
        if not frames:
            walk.end = at
            return walk
    walk.is_whole = False
    return walk


def _enter(frame: _Frame, data: bytes, at: int, head: Head) -> None:
    """The next value of a frame begins."""
    frame.left -= 1
    if not frame.is_map:
        frame.index += 1
        return
    if frame.left % 2:  # a key: its value is to come
        frame.key_at = at
        is_mark = head.family is Family.STR and head.size <= 6
        frame.key = data[head.body : head.end] if is_mark else None
    elif frame.key in _MEMBERS:
        frame.members = frame.members or {}
        frame.members[frame.key] = Member(at, head)


def _note(walk: PackWalk, data: bytes, head: Head) -> None:
    if head.family is Family.EXT:
        walk.ext_codes[head.code] = walk.ext_codes.get(head.code, 0) + 1
    elif head.family is Family.STR:
        try:
            data[head.body : head.end].decode("utf-8")
        except UnicodeDecodeError:
            walk.bad_texts += 1


def _past(walk: PackWalk, frames: list[_Frame], data: bytes, at: int, head: Head) -> int:
    """Where the next value begins, behind as many as one step can take."""
    width = head.end - at
    run = _RUNS.get(width) if head.family <= Family.FLOAT else None
    if run is None or not frames or frames[-1].is_map or not frames[-1].left:
        return head.end
    frame = frames[-1]
    match = run.match(data, head.end, head.end + frame.left * width)
    if match is None:
        return head.end
    count = (match.end() - head.end) // width
    frame.left -= count
    frame.index += count
    walk.values += count
    return match.end()


def _leave(walk: PackWalk, frames: list[_Frame], *, tagged: bool) -> None:
    frame = frames.pop()
    if not tagged or frame.members is None or _MARKS.isdisjoint(frame.members):
        return
    if len(walk.tagged) >= _MAX_TAGGED:
        raise Refused("too_large", f"it holds more than {_MAX_TAGGED} tagged maps", offset=frame.at)
    steps = tuple((outer.key_at, True) if outer.is_map else (outer.index - 1, False) for outer in frames)
    walk.tagged.append(TaggedMap(steps, frame.at, frame.members))
