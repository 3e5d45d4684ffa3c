"""How a loop behaves while a server is away: it waits longer each time, says so once, and leaves when it is to stop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from datamanager.clock import Clock
from datamanager.errors import Unavailable
from datamanager.observability import get_logger

__all__ = ["Outage", "outlast", "repeat", "repeat_both", "wait_unless"]

_FIRST_S = 0.25
_MOST_S = 10.0

_log = get_logger(__name__)

T = TypeVar("T")


class Outage:
    """The waits of one loop: 0.25, 0.5, ... 10 s; `over` begins anew."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._count = 0

    @property
    def delay_s(self) -> float:
        """How long the next wait is."""
        return float(min(_FIRST_S * 2 ** min(self._count, 10), _MOST_S))

    async def wait(self, cause: Unavailable) -> None:
        """Waits before the next try, or until it is time to stop."""
        if self._count == 0:
            _log.warning("waiting for a server", error=cause.detail)
        delay_s = self.delay_s
        self._count += 1
        await wait_unless(self._stop, delay_s)

    def over(self) -> None:
        """Says that all servers answered."""
        if self._count:
            _log.info("all servers answer again", waits=self._count)
        self._count = 0


async def wait_unless(stop: asyncio.Event, seconds: float) -> bool:
    """Waits, and returns whether `stop` was set meanwhile."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def outlast(stop: asyncio.Event, attempt: Callable[[], Awaitable[T]]) -> T | None:
    """Tries until it succeeds, however long a server is away. None when it was time to stop before that."""
    outage = Outage(stop)
    while not stop.is_set():
        try:
            result = await attempt()
        except Unavailable as exc:
            await outage.wait(exc)
        else:
            outage.over()
            return result
    return None


async def repeat(stop: asyncio.Event, attempt: Callable[[], Awaitable[object]], every_s: float) -> None:
    """Calls until `stop` is set, with `every_s` between two calls, and longer while a server is away."""
    outage = Outage(stop)
    while not stop.is_set():
        try:
            await attempt()
        except Unavailable as exc:
            await outage.wait(exc)
        else:
            outage.over()
            await wait_unless(stop, every_s)


async def repeat_both(
    stop: asyncio.Event,
    clock: Clock,
    often: Callable[[], Awaitable[object]],
    seldom: Callable[[], Awaitable[float]],
    every_s: float,
) -> None:
    """Calls `often` as `repeat` does, and behind it, at first at once, `seldom` whenever that is due.

    Args:
        stop: ends it.
        clock: tells what is due.
        often: called again and again.
        seldom: returns in how many seconds it is due again; while it cannot, for want of a server, it stays due.
        every_s: seconds between two calls of `often`.
    """
    due_s = clock.monotonic_s()

    async def attempt() -> None:
        nonlocal due_s
        await often()
        if clock.monotonic_s() >= due_s:
            wait_s = await seldom()
            due_s = clock.monotonic_s() + wait_s

    await repeat(stop, attempt, every_s)
