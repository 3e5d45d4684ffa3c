"""Waiting for an event, but not for ever."""

import asyncio

__all__ = ["wait_for"]


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Waits for the event, `timeout_s` at most."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return
