"""One child process, kept alive: started, watched, started again when it dies, stopped when asked."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datamanager.errors import LocalServerError
from datamanager.local.lines import LineFilter, no_lines
from datamanager.local.output import BoundedLog, ChildOutput, Report
from datamanager.local.policy import RestartPolicy
from datamanager.local.spawn import spawn

__all__ = ["Child", "ChildSpec"]

_PROBE_INTERVAL_S = 0.05
_DEATHS_AT_START = 5  # with the pauses of the policy, about 2 s for an earlier owner of the folder to be gone


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run, and how to tell that it works.

    Attributes:
        name: as the console and the log file show it.
        argv: program and arguments.
        env: its whole environment.
        cwd: its working directory.
        answers: whether it does its work now; asked again and again after a start until it says yes.
        lines: which of its output the console shows.
        start_s: how long the very first start may take.
        stop_s: how long it may take to end after SIGTERM; then it is killed.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    answers: Callable[[], Awaitable[bool]]
    lines: LineFilter = field(default=no_lines)
    start_s: float = 90.0
    stop_s: float = 6.0


class Child:
    """Runs one `ChildSpec` from `start` to `stop`, over as many lives as it takes."""

    def __init__(self, spec: ChildSpec, *, logs: Path, report: Report) -> None:
        self.spec = spec
        self._report = report
        self._log = BoundedLog(logs / f"{spec.name}.log")
        self._output = ChildOutput(spec.name, self._log, spec.lines, report)
        self._policy = RestartPolicy()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._ready_once: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Starts it and returns when it answers for the first time. Cancelling leaves it running: `stop` it.

        Raises:
            LocalServerError: it does not come up; the detail names its log and quotes its last words.
        """
        self._task = asyncio.create_task(self._live(), name=f"child {self.spec.name}")
        done, _ = await asyncio.wait(
            {self._ready_once, self._task}, timeout=self.spec.start_s, return_when=asyncio.FIRST_COMPLETED
        )
        if self._task in done:
            self._task.result()  # it ends by itself only through an error
        elif not done:
            raise self._failure(f"does not answer after {self.spec.start_s:g} s")

    async def stop(self) -> None:
        """Ends it: SIGTERM, then SIGKILL after `stop_s`. Cancelling kills it at once."""
        self._stopping.set()
        if self._task is None:
            self._log.close()
            return
        try:
            self._signal(signal.SIGTERM)
            _, alive = await asyncio.wait({self._task}, timeout=self.spec.stop_s)
            if alive:
                self._report(self.spec.name, f"does not end within {self.spec.stop_s:g} s: killed")
                self._signal(signal.SIGKILL)
                await asyncio.wait({self._task})
        finally:
            self._signal(signal.SIGKILL)
            self._log.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _live(self) -> None:
        """One life after another until `stop`."""
        loop = asyncio.get_running_loop()
        deaths_at_start = 0
        while not self._stopping.is_set():
            started_s = loop.time()
            how = await self._one_life()
            if self._stopping.is_set():
                return
            pause_s = self._policy.after(loop.time() - started_s)
            if not self._ready_once.done():
                deaths_at_start += 1
                if deaths_at_start >= _DEATHS_AT_START:
                    raise self._failure(how)
            else:
                self._report(self.spec.name, f"{how}; starting it again" + (f" in {pause_s:g} s" if pause_s else ""))
                self._quote(how)
            await self._pause(pause_s)

    async def _one_life(self) -> str:
        """Starts the process and waits for its end.

        Returns:
            How it ended, in words.
        """
        try:
            spawned = await spawn(self.spec.argv, env=self.spec.env, cwd=self.spec.cwd)
        except OSError as exc:
            return f"cannot be started: {exc}"
        process = self._process = spawned.process
        if self._stopping.is_set():
            process.kill()
        reading = asyncio.create_task(self._output.pump(spawned.output))
        watching = asyncio.create_task(self._watch_start())
        try:
            status = await process.wait()
            _end_group(process.pid)
            await asyncio.wait({reading}, timeout=1.0)  # the last words; the pipe closes with the group
        finally:
            watching.cancel()
            reading.cancel()
            spawned.pipe.close()
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    async def _watch_start(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while not await self.spec.answers():  # noqa: ASYNC110  # another process: there is no event to wait for
            await asyncio.sleep(_PROBE_INTERVAL_S)
        if self._ready_once.done():
            self._report(self.spec.name, f"works again after {loop.time() - started_s:.1f} s")
        else:
            self._ready_once.set_result(None)

    async def _pause(self, seconds: float) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({stopping}, timeout=seconds)
        stopping.cancel()

    def _quote(self, how: str) -> None:
        """Shows the last words of one that ended by itself and whose lines the console does not show."""
        if how.startswith("ended") and self.spec.lines is no_lines:
            for line in self._output.last_lines[-3:]:
                self._report(self.spec.name, f"  {line}")

    def _failure(self, how: str) -> LocalServerError:
        last = "".join(f"\n    {line}" for line in self._output.last_lines)
        said = f"; its last words:{last}" if last else ""
        return LocalServerError(f"{self.spec.name} {how}; its log is {self._log.path}{said}")


def _end_group(group: int) -> None:
    """Kills what a dead child left behind: its own children, which are in its process group."""
    with contextlib.suppress(ProcessLookupError):  # it left nothing
        os.killpg(group, signal.SIGKILL)
