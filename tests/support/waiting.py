"""Waiting, in an event loop, for something that other processes do."""

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["eventually"]


async def eventually(condition: Callable[[], Awaitable[object]], *, timeout_s: float = 20) -> None:
    """Waits until `await condition()` is true; raises `TimeoutError` when it does not become so."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110  # what it waits for happens elsewhere: there is no event
            await asyncio.sleep(0.02)
