"""Holds events to their times against a clock that only goes forward: each time is counted from the start, so nothing drifts."""

from collections.abc import Callable

__all__ = ["Pacer"]


class Pacer:
    """Says when an offset is due.

    Args:
        now_s: a monotonic clock, in seconds.
        wait: waits so many seconds; True when everything shall end instead.
    """

    def __init__(self, now_s: Callable[[], float], wait: Callable[[float], bool]) -> None:
        self._now_s = now_s
        self._wait = wait
        self._start_s = now_s()
        self._late_s = 0.0

    def elapsed_s(self) -> float:
        """How long it has run."""
        return self._now_s() - self._start_s

    def until(self, offset_ns: int) -> bool:
        """Waits until `offset_ns` after the start; does not wait for what is late already.

        Returns:
            False when everything shall end instead.
        """
        wait_s = offset_ns / 1e9 - self.elapsed_s()
        self._late_s = max(self._late_s, -wait_s)
        return not self._wait(max(0.0, wait_s))

    def worst_late_s(self) -> float:
        """By how much the latest event came too late since this was last asked."""
        late_s, self._late_s = self._late_s, 0.0
        return late_s
