"""Ends a task for certain."""

import asyncio
from typing import Any

__all__ = ["stop"]

_AGAIN_S = 0.1


async def stop(task: "asyncio.Task[Any]") -> None:
    """Cancels a task until it has ended.

    Once is not enough: a cancel that meets redis-py while it tries a pooled connection with a time limit of 0 is taken
    for that limit, and the task goes on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
