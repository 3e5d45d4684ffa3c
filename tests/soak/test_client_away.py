"""The server away for a minute under load, and a client killed twenty times: nothing lost, nothing doubled."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.restartable import Restartable, restartable
from support.robots import Load, kill_robot_again_and_again

from datamanager.client import AsyncRobot, ClientSettings
from datamanager.config import Config

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]
AWAY_S = 60


@pytest.fixture
def own_server(new_config: Callable[[], Config], tmp_path: Path) -> Iterator[Restartable]:
    with restartable(new_config, tmp_path / "serve.log") as server:
        yield server


@pytest.mark.parametrize("spooled", [False, True])
async def test_a_server_away_for_a_minute_under_load_gets_everything_once_it_is_back(
    own_server: Restartable, tmp_path: Path, spooled: bool
) -> None:
    spool = tmp_path / "spool" if spooled else None
    settings = ClientSettings(memory_bytes=1_000_000) if spooled else ClientSettings()
    async with AsyncRobot(own_server.url, "robot", "away", settings=settings, spool_dir=spool) as robot:
        load = Load(robot)
        await asyncio.sleep(3)
        own_server.kill()
        await asyncio.sleep(AWAY_S)
        assert robot.stats.spooled > 0 if spooled else robot.stats.pending_bytes > 1_000_000
        await asyncio.to_thread(own_server.start)
        await asyncio.sleep(3)
        await load.stop()
        await robot.flush(120)
        assert (robot.stats.rejected, robot.stats.dropped, robot.stats.pending) == (0, 0, 0)
    await load.check(own_server.url, "away")


def test_a_client_killed_many_times_with_its_server_loses_and_doubles_nothing(
    own_server: Restartable, tmp_path: Path
) -> None:
    kill_robot_again_and_again(own_server, "killed", tmp_path / "spool", 20, server_too=True)
