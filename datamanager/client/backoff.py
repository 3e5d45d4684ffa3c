"""How long to wait before trying again: exponential, with full jitter, so that a fleet does not come back as one."""

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Waits drawn evenly from 0 to a bound that doubles with each failure.

    Args:
        min_s: the bound of the first wait.
        max_s: the bound that is never passed.
        uniform: draws a number between two; handed in so that tests know what comes.
    """

    def __init__(self, min_s: float, max_s: float, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._uniform = uniform
        self._bound_s = min_s

    def next_s(self) -> float:
        """The wait after one more failure."""
        wait_s = self._uniform(0.0, self._bound_s)
        self._bound_s = min(self._max_s, self._bound_s * 2)
        return wait_s

    def reset(self) -> None:
        """After a success the next wait is short again."""
        self._bound_s = self._min_s
