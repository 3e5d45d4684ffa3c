"""Pictures of H.264 gathered to chunks of about a second, each of which can be played from its first keyframe on. No I/O.

A chunk ends where a keyframe begins the next, else after a second and a quarter. In front of a keyframe stand the parameter sets,
also where the source sent them once and for all. Where pictures come in another order than they are shown in (B-frames), a
chunk is whole groups of pictures: the server makes its preview by decoding it, which needs all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.pull.avc import AvcForm, joined, look_at

__all__ = ["Chunk", "Chunker", "Unit"]

_S = 10**9
_LEAST_NS, _MOST_NS = _S // 2, _S * 5 // 4
_MOST_GROUP_NS = 10 * _S
_MOST_BYTES = 8 * 1024 * 1024
_MOST_FPS = 1000.0
_DEFAULT_FPS = 25.0
_KEPT_SETS = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """One picture as it came.

    Attributes:
        data: its units, with start codes.
        t_ns: its time.
        arrived_s: when it came, by a clock that never runs backwards.
        is_key: whether the container says that it can be decoded by itself.
    """

    data: bytes
    t_ns: int
    arrived_s: float
    is_key: bool


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some pictures.

    Attributes:
        number: +1 for each chunk that was made.
        t_ns: of the earliest picture in it.
        frames: how many pictures there are.
        first_frame: how many came before, since the start.
        fps: pictures a second, by their times.
        is_key: whether it begins with a keyframe.
        arrived_s: when the last of them came.
    """

    number: int
    data: bytes
    t_ns: int
    frames: int
    first_frame: int
    fps: float
    is_key: bool
    arrived_s: float

    @property
    def nbytes(self) -> int:
        """How large it is."""
        return len(self.data)


class Chunker:
    """Gathers pictures.

    Attributes:
        waiting: pictures that were left out, as they could not be decoded without one that is missing.
        has_b: whether pictures come in another order than they are shown in.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.has_b = False
        self._sets: dict[tuple[int, bytes], bytes] = {}
        self._parts: list[Unit] = []
        self._nbytes = 0
        self._began_with_key = False
        self._needs_key = True
        self._number = 0
        self._frames = 0
        self._fps = _DEFAULT_FPS

    def begin(self, form: AvcForm) -> Iterator[Chunk]:
        """Another connection, of this form: what it sends before its first keyframe cannot be decoded."""
        yield from self.finish()
        self._needs_key = True
        self._sets.clear()
        self._keep(form.parameters)

    def add(self, unit: Unit) -> Iterator[Chunk]:
        """Takes a picture; gives the chunk that ends before it.

        Raises:
            Refused: `too_large`: it has more units than any picture may have.
        """
        look = look_at(unit.data)
        is_key = look.has_idr or (unit.is_key and look.has_slices)
        changed = self._keep(look.parameters)
        if not look.has_slices and not self._parts:
            return
        if self._needs_key and not is_key:
            self.waiting += 1
            return
        self.has_b = self.has_b or look.has_b
        if self._parts and self._ends(unit, is_key=is_key, changed=changed):
            yield self._cut(unit.t_ns)
        if is_key and not look.parameters:
            unit = Unit(joined(self._sets.values()) + unit.data, unit.t_ns, unit.arrived_s, unit.is_key)
        self._needs_key = False
        if not self._parts:
            self._began_with_key = is_key
        self._parts.append(unit)
        self._nbytes += len(unit.data)

    def lost(self) -> Iterator[Chunk]:
        """A picture is missing: those that follow cannot be decoded up to the next keyframe."""
        yield from self.finish()
        self._needs_key = True

    def resume(self) -> None:
        """The next picture follows the last one that was taken, over a new connection."""
        self._needs_key = False

    def finish(self) -> Iterator[Chunk]:
        """What is gathered."""
        if self._parts:
            yield self._cut(None)

    def _ends(self, unit: Unit, *, is_key: bool, changed: bool) -> bool:
        first = self._parts[0]
        so_far_ns = unit.t_ns - first.t_ns
        if is_key and (changed or not self._began_with_key or so_far_ns >= _LEAST_NS):
            return True
        most_ns = _MOST_GROUP_NS if self.has_b else _MOST_NS
        return so_far_ns >= most_ns or self._nbytes + len(unit.data) > _MOST_BYTES

    def _cut(self, next_ns: int | None) -> Chunk:
        parts, self._parts, self._nbytes = self._parts, [], 0
        t_ns = min(part.t_ns for part in parts)
        last_ns = max(part.t_ns for part in parts)
        if next_ns is not None and next_ns > last_ns:
            self._fps = min(_MOST_FPS, len(parts) * _S / (next_ns - t_ns))
        elif len(parts) > 1 and last_ns > t_ns:
            self._fps = min(_MOST_FPS, (len(parts) - 1) * _S / (last_ns - t_ns))
        data = b"".join(part.data for part in parts)
        chunk = Chunk(
            self._number,
            data,
            t_ns,
            len(parts),
            self._frames,
            self._fps,
            self._began_with_key,
            parts[-1].arrived_s,
        )
        self._number += 1
        self._frames += len(parts)
        return chunk

    def _keep(self, sets: tuple[bytes, ...]) -> bool:
        """Notes parameter sets, of which each replaces the one of its number; whether any is new."""
        changed = False
        for data in sets:
            # The number follows behind profile and level in an SPS (offset 4), first in a PPS (offset 1).
            name = (data[0] & 31, data[4:5] if data[0] & 31 == 7 else data[1:2])
            if self._sets.get(name) != data:
                changed = True
                self._sets[name] = data
        while len(self._sets) > _KEPT_SETS:
            self._sets.pop(next(iter(self._sets)))
        return changed
