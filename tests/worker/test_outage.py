"""Loops that go on whatever is away."""

import asyncio

from support.manual_clock import ManualClock

from datamanager.errors import Unavailable
from datamanager.worker.outage import repeat_both


async def test_what_is_seldom_due_is_called_at_once_and_then_when_it_said() -> None:
    stop, clock, called = asyncio.Event(), ManualClock(), list[str]()

    async def often() -> None:
        called.append("often")
        clock.advance(1)
        if called.count("often") == 5:
            stop.set()

    async def seldom() -> float:
        called.append("seldom")
        return 3.0 if called.count("seldom") == 1 else 1.0

    async with asyncio.timeout(10):
        await repeat_both(stop, clock, often, seldom, 0.001)
    assert called == ["often", "seldom", "often", "often", "often", "seldom", "often", "seldom"]


async def test_what_a_server_kept_from_being_done_stays_due() -> None:
    stop, called = asyncio.Event(), list[str]()

    async def often() -> None:
        called.append("often")

    async def seldom() -> float:
        called.append("seldom")
        if called.count("seldom") == 1:
            raise Unavailable("nobody answers")
        stop.set()
        return 60.0

    async with asyncio.timeout(10):
        await repeat_both(stop, ManualClock(), often, seldom, 0.001)
    assert called == ["often", "seldom", "often", "seldom"]


async def test_nothing_is_called_once_it_is_to_stop() -> None:
    stop = asyncio.Event()
    stop.set()

    async def never() -> float:
        raise AssertionError

    await repeat_both(stop, ManualClock(), never, never, 0.001)
