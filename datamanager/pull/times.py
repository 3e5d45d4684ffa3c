"""When a picture was taken, as Unix nanoseconds: of a live source by its arrival and its own clock, of a file by its own alone.

A live source's clock (PTS) runs evenly but counts from anywhere; arrival is of our clock but jitters, and jitter only ever delays. So
a picture's time is its PTS plus an offset, which is the least that any arrival was behind its PTS: the time at which it
would have come over a network without delays. It is never later than its arrival, and never runs backwards. Where the
offset grows for good (a route got longer, a clock runs slowly), it follows by 0.5 % at most, so that nothing jumps.
"""

from abc import ABC, abstractmethod

__all__ = ["FileTimes", "LiveTimes", "SegmentTimes", "Times"]

_S = 10**9
_JUMP_NS = 10 * _S
_BREAK_NS = 60 * _S
_WINDOW_NS = 5 * _S
_NEVER = 2**63
_SLEW = 200  # the part of the time that passed by which the offset may follow
_STEP_NS = 1000  # between two pictures that would have the same time


class Times(ABC):
    """Times of the pictures of one source; those of `ascending` never run backwards, nor stand.

    Attributes:
        late_ns: by how much the last picture came later than its time.
    """

    def __init__(self) -> None:
        self.late_ns = 0
        self._last_ns = -1

    @abstractmethod
    def of(self, pts_ns: int | None, arrived_ns: int) -> int:
        """The time of a picture, which may lie before that of another that came earlier (B-frames).

        Args:
            pts_ns: by the source's clock, in nanoseconds from anywhere; None where it says none.
            arrived_ns: when it came, Unix nanoseconds.
        """

    def ascending(self, t_ns: int) -> int:
        """A time, or the next one that is free: for pictures in the order in which they are shown."""
        self._last_ns = max(t_ns, self._last_ns + _STEP_NS)
        return self._last_ns

    def reconnected(self) -> None:  # noqa: B027  # for most sources nothing changes
        """Another connection begins."""


class LiveTimes(Times):
    """Times of a source that sends as it sees: see above."""

    def __init__(self) -> None:
        super().__init__()
        self._offset_ns: int | None = None
        self._window_ns = self._passed_at_ns = self._grows_ns = 0
        self._least_ns = _NEVER

    def reconnected(self) -> None:
        """Another connection counts from elsewhere."""
        self._offset_ns = None

    def anchor(self, offset_ns: int) -> None:
        """PTS and time are known to be so far apart."""
        self._offset_ns = offset_ns
        self._reset_window(offset_ns)

    def of(self, pts_ns: int | None, arrived_ns: int) -> int:
        """See `Times.of`; what has no PTS has the time at which it came."""
        if pts_ns is None:
            self.late_ns = 0
            return arrived_ns
        behind_ns = arrived_ns - pts_ns
        if self._offset_ns is None or abs(behind_ns - self._offset_ns) > _JUMP_NS:
            self._offset_ns = behind_ns
            self._reset_window(arrived_ns)
        else:
            self._offset_ns = min(behind_ns, self._offset_ns + self._follow(self._offset_ns, behind_ns, arrived_ns))
        self.late_ns = behind_ns - self._offset_ns
        return pts_ns + self._offset_ns

    def _follow(self, offset_ns: int, behind_ns: int, arrived_ns: int) -> int:
        """By how much the offset grows now."""
        self._least_ns = min(self._least_ns, behind_ns)
        passed_ns, self._passed_at_ns = arrived_ns - self._passed_at_ns, arrived_ns
        if arrived_ns - self._window_ns >= _WINDOW_NS:
            self._grows_ns = max(0, self._least_ns - offset_ns)
            self._window_ns, self._least_ns = arrived_ns, behind_ns
        step_ns = min(self._grows_ns, max(0, passed_ns) // _SLEW)
        self._grows_ns -= step_ns
        return step_ns

    def _reset_window(self, now_ns: int) -> None:
        self._window_ns = self._passed_at_ns = now_ns
        self._least_ns = _NEVER
        self._grows_ns = 0


class SegmentTimes(Times):
    """Times of a live source that comes in segments (HLS): the first picture's arrival, and from there on by PTS.

    Over a new connection the clock goes on, where its PTS do: what was missed comes in segments that are still there, and has
    the times at which it was taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self._offset_ns: int | None = None
        self._last_pts_ns = 0

    def of(self, pts_ns: int | None, arrived_ns: int) -> int:
        """See `Times.of`."""
        if pts_ns is None:
            return arrived_ns
        jumps = abs(pts_ns - self._last_pts_ns) > _BREAK_NS or pts_ns + (self._offset_ns or 0) - arrived_ns > _BREAK_NS
        if self._offset_ns is None or jumps:
            self._offset_ns = arrived_ns - pts_ns
        self._last_pts_ns = pts_ns
        return pts_ns + self._offset_ns


class FileTimes(Times):
    """Times of a file: when it begins, plus PTS; each round of a file that is looped follows the one before.

    Args:
        base_ns: when its first picture was taken.
    """

    def __init__(self, base_ns: int) -> None:
        super().__init__()
        self._base_ns = base_ns
        self._first_ns: int | None = None
        self._end_ns: int | None = None
        self._gap_ns = _S // 25

    def of(self, pts_ns: int | None, arrived_ns: int) -> int:  # noqa: ARG002  # one form for all sources
        """See `Times.of`; what has no PTS follows the one before."""
        if pts_ns is None:
            t_ns = self._next_ns()
        else:
            if self._first_ns is None:
                self._first_ns = pts_ns
            t_ns = max(0, self._base_ns + pts_ns - self._first_ns)
        if self._end_ns is not None and 0 < t_ns - self._end_ns < _S:
            self._gap_ns = t_ns - self._end_ns
        self._end_ns = t_ns if self._end_ns is None else max(self._end_ns, t_ns)
        return t_ns

    def begin_again(self) -> None:
        """The next round: its first picture follows the last one of this."""
        self._base_ns = self._next_ns()
        self._first_ns = None

    def _next_ns(self) -> int:
        return self._base_ns if self._end_ns is None else self._end_ns + self._gap_ns
