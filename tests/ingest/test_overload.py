"""Whatever is sent, and however slow the database: memory stays bounded, the sender waits, and nothing is lost."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import websockets
from support.processes import http_status, served
from support.raw_robot import T0, RawRobot, read_range

from datamanager.config import Config

MB = 1024 * 1024


def listener(url: str) -> psutil.Process:
    """The process that listens on a URL's port."""
    port = urlsplit(url).port
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(c.status == "LISTEN" and c.laddr.port == port for c in process.net_connections("tcp4")):
                return process
    raise LookupError(url)


class Memory:
    """How far a process grew."""

    def __init__(self, url: str) -> None:
        self._process = listener(url)
        self._before = self._process.memory_info().rss
        self.most = 0

    async def watch(self) -> None:
        """Looks at it again and again."""
        while True:
            self.most = max(self.most, self._process.memory_info().rss - self._before)
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def alone(new_config: Callable[[], Config], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose memory no other test has touched, with a small budget."""
    small = {"MAX_PENDING_BYTES": str(16 * MB), "WINDOW_BYTES": str(4 * MB), "MONGO_TIMEOUT_S": "2"}
    variables = {f"DATAMANAGER_{name}": value for name, value in small.items()}
    with served(new_config(), log=tmp_path_factory.mktemp("alone") / "serve.log", **variables) as url:
        yield url


@contextlib.asynccontextmanager
async def watched(url: str):  # type: ignore[no-untyped-def]  # noqa: ANN201  # a generator of Memory
    memory = Memory(url)
    watching = asyncio.create_task(memory.watch())
    yield memory
    watching.cancel()
    await asyncio.wait({watching})


async def test_a_message_of_a_gigabyte_is_refused_while_it_comes(alone: str) -> None:
    async def fragments(sent: list[int]):  # type: ignore[no-untyped-def]  # noqa: ANN202  # pieces of bytes
        for _ in range(1024):
            yield bytes(MB)
            sent[0] += MB

    async with watched(alone) as memory:
        sent = [0]
        address = f"ws{alone[4:]}/api/v1/ingest"
        async with websockets.connect(address, compression=None, proxy=None) as ws:
            with pytest.raises(websockets.ConnectionClosed):
                await ws.send(fragments(sent))
            assert ws.close_code == 1009
        assert sent[0] < 512 * MB
    assert memory.most < 250 * MB
    assert http_status(f"{alone}/health") == 200


async def test_a_database_that_stands_still_slows_the_sender_and_loses_nothing(
    alone: str, local_servers: Config
) -> None:
    mongod = listener(local_servers.mongo.url)
    rows = 20_000
    batch = {"t_ns": (T0 + np.arange(rows)).tobytes(), "channels": {"id": np.zeros(rows).tobytes()}}
    async with watched(alone) as memory, RawRobot(alone, "still") as robot:
        await robot.hello()
        await robot.send(0)
        await robot.until(lambda: robot.acked.get("x") == 0)
        sent = 0

        async def push() -> None:
            nonlocal sent
            for seq in range(1, 151):  # 48 MB
                await robot.send(seq, batch | {"t_ns": (T0 + seq * rows + np.arange(rows)).tobytes()})
                sent = seq

        async def spoil() -> None:
            async with RawRobot(alone, "spoilt") as other:  # what is refused waits for the database too
                for seq in range(2000):
                    await other.send(seq, b"x" * 50_000, robot_id="raw", session_id="spoilt")

        os.kill(mongod.pid, signal.SIGSTOP)
        try:
            pushing, spoiling = asyncio.create_task(push()), asyncio.create_task(spoil())
            await asyncio.sleep(4)
            assert sent < 100  # it is held back
            held = sent
            await asyncio.sleep(1)
            assert sent == held
            assert http_status(f"{alone}/health") == 200
        finally:
            os.kill(mongod.pid, signal.SIGCONT)
        async with asyncio.timeout(60):
            await pushing
            await robot.until(lambda: robot.acked.get("x") == 150, 60)
        spoiling.cancel()
        await asyncio.wait({spoiling})
    assert memory.most < 300 * MB
    assert not robot.rejects
    buckets = await read_range(alone, "still", max_points=1)
    assert [row["count"] for row in buckets] == [1 + 150 * rows]
