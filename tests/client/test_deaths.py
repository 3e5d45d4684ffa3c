"""Nothing lost, nothing doubled: the server dies again and again, stays away, and the client itself dies."""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.restartable import Restartable, restartable
from support.robots import Load, kill_robot_again_and_again

from datamanager.client import AsyncRobot, ClientSettings
from datamanager.config import Config

SETTINGS = ClientSettings(
    linger_s=0.02, backoff_min_s=0.05, backoff_max_s=0.3, memory_bytes=500_000, segment_bytes=100_000
)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def own_server(new_config: Callable[[], Config], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    with restartable(new_config, tmp_path_factory.mktemp("own") / "serve.log") as server:
        yield server


@pytest.fixture
def session() -> str:
    return f"run-{next(_numbers)}"


@pytest.mark.soak
@pytest.mark.parametrize("spooled", [False, True])
async def test_a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(
    own_server: Restartable, session: str, tmp_path: Path, spooled: bool
) -> None:
    dice = random.Random(5)  # noqa: S311 - moments to kill at
    spool = tmp_path if spooled else None
    settings = SETTINGS if spooled else ClientSettings(linger_s=0.02, backoff_min_s=0.05, backoff_max_s=0.3)
    async with AsyncRobot(own_server.url, "robot", session, settings=settings, spool_dir=spool) as robot:
        load = Load(robot)
        for _ in range(3):
            await asyncio.sleep(dice.uniform(0.2, 1.2))
            own_server.kill()
            await asyncio.to_thread(own_server.start)
        await load.stop()
        await robot.flush(60)
        stats = robot.stats
        assert (stats.rejected, stats.dropped, stats.pending) == (0, 0, 0)
        assert stats.reconnects >= 1
        assert stats.resent > 0
    await load.check(own_server.url, session)


@pytest.mark.soak
async def test_a_server_that_stays_away_under_load_gets_everything_once_it_is_back(
    own_server: Restartable, session: str, tmp_path: Path
) -> None:
    async with AsyncRobot(own_server.url, "robot", session, settings=SETTINGS, spool_dir=tmp_path) as robot:
        load = Load(robot)
        await asyncio.sleep(1)
        own_server.kill()
        await asyncio.sleep(5)
        assert not robot.stats.connected
        assert robot.stats.spooled > 0
        await asyncio.to_thread(own_server.start)
        await asyncio.sleep(1)
        await load.stop()
        await robot.flush(60)
        assert (robot.stats.rejected, robot.stats.dropped, robot.stats.pending) == (0, 0, 0)
    await load.check(own_server.url, session)


def test_a_client_that_is_killed_again_and_again_loses_and_doubles_nothing_that_it_spooled(
    own_server: Restartable, session: str, tmp_path: Path
) -> None:
    kill_robot_again_and_again(own_server, session, tmp_path, 4, server_too=False)


@pytest.mark.soak
def test_client_and_server_killed_in_turn_lose_and_double_nothing(
    own_server: Restartable, session: str, tmp_path: Path
) -> None:
    kill_robot_again_and_again(own_server, session, tmp_path, 4, server_too=True)
