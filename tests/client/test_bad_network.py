"""Connections that break while the server lives on: what it has un-acked is recognised when it comes again."""

import asyncio
import itertools
import time
from pathlib import Path

import pytest
from support.bad_network import bad_network
from support.robots import Load

from datamanager.client import AsyncRobot, ClientSettings

SETTINGS = ClientSettings(
    linger_s=0.01, backoff_min_s=0.02, backoff_max_s=0.1, ack_timeout_s=1.5, connect_timeout_s=1.0
)
_numbers = itertools.count()


@pytest.fixture
def session() -> str:
    return f"network-{time.time_ns()}-{next(_numbers)}"


@pytest.mark.parametrize("spooled", [pytest.param(False, marks=pytest.mark.soak), True])
async def test_connections_cut_again_and_again_lose_and_double_nothing(
    server: str, session: str, tmp_path: Path, spooled: bool
) -> None:
    async with bad_network(server) as network:
        spool = tmp_path if spooled else None
        async with AsyncRobot(network.url, "robot", session, settings=SETTINGS, spool_dir=spool) as robot:
            load = Load(robot)
            for swallows_before in [True, False] * 4:
                await asyncio.sleep(0.25)
                network.swallows = swallows_before
                await asyncio.sleep(0.1)
                network.cut()
                network.swallows = False
            await load.stop()
            await robot.flush(60)
            assert (robot.rejects, robot.stats.dropped, robot.stats.pending) == ([], 0, 0)
            assert robot.stats.reconnects >= 6
            assert robot.stats.resent > 10
    await load.check(server, session)


async def test_a_connection_on_which_nothing_comes_back_is_given_up(server: str, session: str) -> None:
    async with (
        bad_network(server) as network,
        AsyncRobot(network.url, "robot", session, settings=SETTINGS) as robot,
    ):
        load = Load(robot)
        await asyncio.sleep(0.5)
        network.swallows = True
        await asyncio.sleep(3)
        assert "nothing was acked" in str(robot.stats.last_error) or network.connections > 1
        network.swallows = False
        await asyncio.sleep(0.5)
        await load.stop()
        await robot.flush(60)
        assert (robot.rejects, robot.stats.pending) == ([], 0)
        assert robot.stats.reconnects >= 1
    await load.check(server, session)


async def test_a_quiet_robot_keeps_its_connection(server: str, session: str) -> None:
    async with (
        bad_network(server) as network,
        AsyncRobot(network.url, "robot", session, settings=SETTINGS) as robot,
    ):
        robot.stream("x").log(1, {"x": 1})
        await robot.flush(20)
        await asyncio.sleep(2)
        robot.stream("x").log(2, {"x": 2})
        await robot.flush(20)
        assert network.connections == 1
