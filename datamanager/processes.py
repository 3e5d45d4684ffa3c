"""Child processes for work that is heavy on the CPU, and that reads bytes nobody has vouched for.

A decoder that crashes on such bytes, or the kernel that ends it for its memory, takes one child along and not the
worker or the server; and it is known which call it was.
"""

import asyncio
import multiprocessing
import os
import pickle
import resource
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from datamanager.errors import DatamanagerError, ProcessDied

__all__ = ["ProcessPool"]

_CONTEXT = multiprocessing.get_context("spawn")  # a fork would inherit our sockets and locks
_BEHIND = 10  # how nice a child is whose work comes after what a robot waits for

P = ParamSpec("P")
T = TypeVar("T")


class ProcessPool:
    """Runs functions in `size` child processes, one call at a time in each. A child that dies is replaced.

    Args:
        size: how many processes.
        timeout_s: a call that takes longer is ended, with its process.
        cpu_s: a call that computes for longer is ended, with its process: what a machine that is busy with other things
            does not run into. None: no limit.
        memory_bytes: how large a child's data may grow (RLIMIT_DATA): beyond it `MemoryError` is raised. None: no limit.
        behind: whether other processes go before the children.
        eager: whether the children are started with the pool, or each with its first call.
        preload: modules that each child imports before its first call.
    """

    def __init__(
        self,
        size: int,
        *,
        timeout_s: float,
        cpu_s: float | None = None,
        memory_bytes: int | None = None,
        behind: bool = True,
        eager: bool = True,
        preload: Sequence[str] = (),
    ) -> None:
        life = _Life(tuple(preload), cpu_s, memory_bytes, behind)
        self._timeout_s = timeout_s
        self._children = [_Child(life) for _ in range(size)]
        self._eager = eager
        self._free: asyncio.Queue[_Child] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="pool")
        self.size = size

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._eager:
            await asyncio.gather(*(loop.run_in_executor(self._threads, child.start) for child in self._children))
        for child in self._children:
            self._free.put_nowait(child)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.kill()
        await asyncio.to_thread(self._threads.shutdown)

    async def renew(self) -> None:
        """Ends every child once its call is over; the next call of each has a new process."""
        loop = asyncio.get_running_loop()
        held: list[_Child] = []
        try:
            while len(held) < self.size:
                held.append(await self._free.get())
            await asyncio.gather(*(loop.run_in_executor(self._threads, child.end) for child in held))
        finally:
            for child in held:
                self._free.put_nowait(child)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls an importable function in a child.

        Cancelling stops the waiting; the child finishes the call before it takes another.

        Raises:
            ProcessDied: the child died of it, or took too long and was ended.
            Exception: what the function raised; a `DatamanagerError` with its text where that cannot be pickled.
        """
        return await self._run(self._timeout_s, function, args, kwargs)

    async def run_for(self, timeout_s: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for a call that takes longer or less long than others may."""
        return await self._run(timeout_s, function, args, kwargs)

    async def _run(
        self, timeout_s: float, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> T:
        child = await self._free.get()
        call = asyncio.get_running_loop().run_in_executor(self._threads, child.call, timeout_s, function, args, kwargs)
        call.add_done_callback(lambda _: self._free.put_nowait(child))
        answer: T = await asyncio.shield(call)
        return answer


@dataclass(frozen=True, slots=True)
class _Life:
    """How a child lives."""

    preload: tuple[str, ...]
    cpu_s: float | None
    memory_bytes: int | None
    behind: bool


class _Child:
    """One process and the pipe to it. The process ends when the pipe does, however we die."""

    def __init__(self, life: _Life) -> None:
        self._life = life
        self._process: Any = None
        self._pipe: Connection[Any, Any] | None = None
        self._is_closed = False

    def start(self) -> "Connection[Any, Any]":
        """Starts the process when it does not run, and returns the pipe to it."""
        if self._pipe is not None and self._process.is_alive():
            return self._pipe
        if self._is_closed:
            raise ProcessDied("the pool is closed")
        self._reap()
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, self._life), daemon=True)
        self._process.start()
        theirs.close()
        return self._pipe

    def call(self, timeout_s: float, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        """One call; blocks until it has its answer."""
        try:
            pipe = self._send((function, args, kwargs))
            if not pipe.poll(timeout_s):
                self._reap()
                detail = f"{function.__name__} took longer than {timeout_s} s and was ended"
                raise ProcessDied(detail, by_limit=True)
            is_good, answer = pipe.recv()
        except (EOFError, OSError) as exc:
            status = self._reap()
            if status == -signal.SIGPROF:
                detail = f"{function.__name__} computed for longer than {self._life.cpu_s} s and was ended"
                raise ProcessDied(detail, by_limit=True) from exc
            raise ProcessDied(f"the process died in {function.__name__}, exit status {status}") from exc
        if not is_good:
            raise answer
        result: T = answer
        return result

    def _send(self, message: object) -> "Connection[Any, Any]":
        try:
            pipe = self.start()
            pipe.send(message)
        except BrokenPipeError:  # it died between two calls: this one has not begun
            self._reap()
            pipe = self.start()
            pipe.send(message)
        return pipe

    def end(self) -> None:
        """Ends the process; a call starts another one."""
        self._reap()

    def kill(self) -> None:
        """Ends the process for good; a call that waits for it fails."""
        self._is_closed = True
        if self._process is not None:
            self._process.kill()

    def _reap(self) -> int | None:
        if self._process is None:
            return None
        self._process.kill()
        self._process.join()
        status: int | None = self._process.exitcode
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        return status


def _serve(pipe: "Connection[Any, Any]", life: _Life) -> None:
    """The life of a child."""
    # Ctrl-C reaches the whole group; when to leave, the parent says by closing the pipe.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if life.behind:
        os.nice(_BEHIND)
    for module in life.preload:
        import_module(module)
    if life.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (life.memory_bytes, life.memory_bytes))
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except EOFError:
            return
        # SIGPROF ends the process, also in the midst of a library that never comes back to Python.
        signal.setitimer(signal.ITIMER_PROF, life.cpu_s or 0)
        try:
            answer = (True, function(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001  # whatever it is, it is the caller's
            answer = (False, _portable(exc))
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send(answer)


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # what we just made
    except Exception:  # noqa: BLE001  # an exception's own pickling may raise anything
        return DatamanagerError(f"{type(error).__name__}: {error}")
    return error
