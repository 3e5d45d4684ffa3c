"""Robots under load for tests that kill: what they logged, and whether it is all there, once."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from support import robot_program
from support.restartable import Restartable

from datamanager.client import AsyncReader, AsyncRobot

__all__ = ["Load", "kill_robot_again_and_again", "stored_ids"]

SPOOLED_S = 2 * robot_program.SPOOL_SYNC_S  # what was logged so long before a kill must be there


async def stored_ids(url: str, session: str, stream: str) -> list[int]:
    """The `id` channel of a stream of `robot`, as it is read back."""
    async with AsyncReader(url) as reader:
        found = await reader.session("robot", session).range(stream)
    return [int(number) for number in found["id"]]


class Load:
    """Logs rising ids, singly and in batches, at a steady rate until stopped."""

    def __init__(self, robot: AsyncRobot) -> None:
        self.robot = robot
        self.single = 0
        self.batched = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            for _ in range(5):
                assert self.robot.stream("single").log(self.single, {"id": self.single})
                self.single += 1
            ids = np.arange(self.batched, self.batched + 50)
            assert self.robot.stream("batched").log_batch(ids, {"id": ids, "bulk": np.zeros(50)})
            self.batched += 50
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stops, and says if anything was refused."""
        self._task.cancel()
        [ended] = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended

    async def check(self, url: str, session: str) -> None:
        """Everything is there, once."""
        assert await stored_ids(url, session, "single") == list(range(self.single))
        assert await stored_ids(url, session, "batched") == list(range(self.batched))


class Killed:
    """A robot program, killed and started again."""

    def __init__(self, url: str, session: str, spool: Path) -> None:
        self._arguments = [url, session, str(spool)]
        self.printed: list[tuple[int, float]] = []
        self.must_be_there: list[int] = []

    def start(self) -> None:
        """Starts the program, ids going on behind those of before."""
        first = self.printed[-1][0] + 10 if self.printed else 0  # the last ones may have been logged and not printed
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, robot_program.__file__, *self._arguments, str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._logs = threading.Event()
        self._fresh: list[tuple[int, float]] = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        assert self._logs.wait(60), "the robot logs nothing"

    def kill(self) -> None:
        """SIGKILL."""
        before = len(self.must_be_there)
        self._process.kill()
        killed_s = time.monotonic()
        self._end()
        self.must_be_there += [n for n, at_s in self._fresh if at_s < killed_s - SPOOLED_S]
        assert len(self.must_be_there) >= before

    def close(self) -> None:
        """Lets it end in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._end()
        self.must_be_there += [n for n, _ in self._fresh]

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._fresh.append((int(line), time.monotonic()))
            self._logs.set()

    def _end(self) -> None:
        self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.printed += self._fresh


def kill_robot_again_and_again(server: Restartable, session: str, spool: Path, lives: int, *, server_too: bool) -> None:
    """A robot's lives, each ended by SIGKILL but the last; what it had to keep is stored, and nothing twice."""
    dice = random.Random(7)  # noqa: S311 - moments to kill at
    program = Killed(server.url, session, spool)
    for life in range(lives):
        program.start()
        time.sleep(dice.uniform(0.4, 1.2))
        if server_too and life % 2 == 0:
            server.kill()
        program.kill()
        if server_too and life % 2 == 1:
            server.start()
    if server_too and lives % 2 == 1:
        server.start()
    program.start()
    time.sleep(1.0)
    program.close()
    found = asyncio.run(stored_ids(server.url, session, "ids"))
    assert found == sorted(set(found))
    assert len(program.must_be_there) > 10 * lives
    assert set(program.must_be_there) <= set(found)
    assert not list(spool.glob("robot/*/*/*.tmp"))
