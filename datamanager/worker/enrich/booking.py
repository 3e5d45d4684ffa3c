"""When frames may come again for which a model's lane had no room."""

from dataclasses import dataclass

from datamanager.clock import Clock

__all__ = ["Booking", "Turns"]

_SOONEST_S = 0.25
_LATEST_S = 20.0  # another worker may have begun by then
_HASTE = 2.0  # times as fast as the model is believed to be: what comes too soon is turned back once more


@dataclass(frozen=True, slots=True)
class Turns:
    """When some frames may come again: the first in `first_s` seconds, the others `apart_s` apart."""

    first_s: float
    apart_s: float


class Booking:
    """Gives frames their turns, one after the other, about as fast as the model is.

    Were they to come together, all but a few would be turned back again and again, and those that waited longest would
    have no better chance than others.

    Args:
        clock: tells how long a turn is off.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s = 0.0

    def book(self, count: int, pace_s: float) -> Turns:
        """Turns for so many frames, of which each takes the model `pace_s` seconds."""
        now_s = self._clock.monotonic_s()
        apart_s = pace_s / _HASTE
        first_s = max(self._until_s, now_s + _SOONEST_S)
        self._until_s = min(first_s + count * apart_s, now_s + _LATEST_S)
        return Turns(first_s - now_s, apart_s)
