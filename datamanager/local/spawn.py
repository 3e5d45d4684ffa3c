"""Starts a process that cannot outlive us, whatever kills us."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["die_with", "spawn"]

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


async def spawn(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> asyncio.subprocess.Process:
    """Starts `argv`, both of its outputs in one pipe (`stdout`), nothing to read.

    The child has its own process group, so that Ctrl-C in a terminal reaches only us and we stop the children in
    order. On Linux the kernel kills it when we die, `kill -9` included; elsewhere it ends when we stop it.

    Raises:
        OSError: the program is not there or not executable.
    """
    parent = os.getpid()
    return await asyncio.create_subprocess_exec(
        *argv,
        env=dict(env),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
        preexec_fn=lambda: die_with(parent),  # two system calls, no lock taken
    )


def die_with(parent: int) -> None:
    """Called in a new child, before it becomes another program: ties its life to that of the process `parent`."""
    if _LIBC is None:
        return
    # The kernel ties this to the thread that forked, which is the event loop's and lives as long as we do.
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
        os._exit(127)  # the parent died before the kernel was told to watch it
