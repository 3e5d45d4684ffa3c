"""How many frames are made: those that are due by their own times, and fewer while something is behind. No I/O."""

__all__ = ["AdaptiveRate", "FrameGate"]

_S = 10**9
_EARLY = 0.25  # of an interval: by so much a frame may come before it is due
_DOWN, _UP = 0.7, 1.3
_CALM_S = 2.0
_DOWN_EVERY_S = 1.0


class FrameGate:
    """Lets frames pass so that so many a second remain, by their times alone: none of a source that is slower is lost.

    Args:
        fps: how many a second.
    """

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._due_ns: int | None = None

    def passes(self, t_ns: int) -> bool:
        """Whether the frame of this time is made."""
        interval_ns = round(_S / self.fps)
        if self._due_ns is not None and 0 <= self._due_ns - t_ns <= 10 * interval_ns:
            if t_ns < self._due_ns - int(interval_ns * _EARLY):
                return False
            self._due_ns += interval_ns
            return True
        # The first, one behind a gap, or one whose clock was set back: the rhythm begins anew, but for a small delay.
        is_on = self._due_ns is not None and 0 < t_ns - self._due_ns < interval_ns
        self._due_ns = (self._due_ns or 0) + interval_ns if is_on else t_ns + interval_ns
        return True


class AdaptiveRate:
    """The rate that can be kept up: down by 30 % a second while something is behind, up by 30 % after every two calm seconds.

    Args:
        wanted: frames a second, at most.
        least: frames a second, at least.
    """

    def __init__(self, wanted: float, least: float) -> None:
        self._wanted = wanted
        self._least = min(least, wanted)
        self._changed_s = float("-inf")
        self._behind_s = float("-inf")
        self.fps = wanted

    def look(self, now_s: float, *, behind: bool) -> float:
        """The rate from now on.

        Args:
            now_s: seconds of a clock that never runs backwards.
            behind: whether anything is, at this moment.
        """
        if behind:
            self._behind_s = now_s
            if now_s - self._changed_s >= _DOWN_EVERY_S:
                self.fps, self._changed_s = max(self._least, self.fps * _DOWN), now_s
        elif self.fps < self._wanted and now_s - max(self._behind_s, self._changed_s) >= _CALM_S:
            self.fps, self._changed_s = min(self._wanted, self.fps * _UP), now_s
        return self.fps
