"""Starts a process that cannot outlive us, whatever kills us."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Spawned", "die_with", "spawn"]

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started process and both of its outputs in one stream. Close `pipe` when done with `output`."""

    process: asyncio.subprocess.Process
    output: asyncio.StreamReader
    pipe: asyncio.ReadTransport


async def spawn(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Spawned:
    """Starts `argv`, with nothing to read.

    The child has its own process group, so that Ctrl-C in a terminal reaches only us and we stop the children in
    order. On Linux the kernel kills it when we die, `kill -9` included; elsewhere it ends when we stop it.

    Raises:
        OSError: the program is not there or not executable.
    """
    parent = os.getpid()
    read_end, write_end = os.pipe()
    # A pipe of our own: on one of asyncio's, `wait()` would also wait for whatever the child leaves behind.
    with contextlib.ExitStack() as undo:
        reading = undo.enter_context(os.fdopen(read_end, "rb", buffering=0))
        with os.fdopen(write_end, "wb", buffering=0) as writing:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(env),
                cwd=cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                process_group=0,
                preexec_fn=lambda: die_with(parent),  # two system calls, no lock taken
            )
        output = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(output), reading)
        undo.pop_all()  # the pipe closes it
    return Spawned(process, output, pipe)


def die_with(parent: int) -> None:
    """Called in a new child, before it becomes another program: ties its life to that of the process `parent`."""
    if _LIBC is None:
        return
    # The kernel ties this to the thread that forked, which is the event loop's and lives as long as we do.
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
        os._exit(127)  # the parent died before the kernel was told to watch it
