"""Time, handed in: so that pacing, retention and retry are tested without sleeping."""

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What a part that depends on time is given."""

    def now_ns(self) -> int:
        """The wall clock: Unix nanoseconds."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back, for measuring durations."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits. Cancelling the caller ends the wait at once."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ns(self) -> int:
        """The wall clock: Unix nanoseconds."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits `seconds`."""
        await asyncio.sleep(seconds)
