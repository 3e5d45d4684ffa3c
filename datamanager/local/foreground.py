"""Runs until a signal comes, then lets everything be stopped in order."""

import asyncio
import signal
from collections.abc import Coroutine

__all__ = ["run_until_signal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_signal(work: Coroutine[object, object, None]) -> int:
    """Runs `work` in an event loop of its own. A first signal cancels it, once more for each further one.

    Returns:
        The exit status: 0, also when a signal ended it.
    """
    return asyncio.run(_run(work))


async def _run(work: Coroutine[object, object, None]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return 0
