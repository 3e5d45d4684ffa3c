"""Runs until a signal comes, then lets everything be stopped in order."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Coroutine

__all__ = ["run_until_signal"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_signal(work: Coroutine[object, object, None], *, until_stdin_ends: bool = False) -> int:
    """Runs `work` in an event loop of its own. A first signal cancels it, once more for each further one.

    Args:
        work: what to run.
        until_stdin_ends: the end of standard input cancels it too. A program that starts this one with a pipe there ends
            it with itself, however it dies: the kernel closes the pipe.

    Returns:
        The exit status: 0, also when a signal ended it.
    """
    return asyncio.run(_run(work, until_stdin_ends))


async def _run(work: Coroutine[object, object, None], until_stdin_ends: bool) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    for number in _SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    if until_stdin_ends:
        _when_stdin_ends(lambda: loop.call_soon_threadsafe(task.cancel))
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return 0


def _when_stdin_ends(call: Callable[[], object]) -> None:
    def read() -> None:
        # Not through sys.stdin: the interpreter cannot end while a thread holds its lock.
        while os.read(0, 65536):
            continue
        with contextlib.suppress(RuntimeError):  # the event loop has ended already
            call()

    # A thread, because standard input may be anything, and not all of it can be waited for by an event loop.
    threading.Thread(target=read, name="stdin", daemon=True).start()
