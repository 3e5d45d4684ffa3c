"""Sessions are rolled up by workers, and overviews are right before, during and after."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from support.waiting import eventually

from datamanager.client import AsyncRobot
from datamanager.config import Config
from datamanager.storage.mongo import Mongo, open_mongo

T0 = 1_700_000_000 * 10**9
ROBOT = "rolled"


@pytest.fixture
async def mongo(server_config: Config, server: str, worker: None) -> AsyncIterator[Mongo]:  # noqa: ARG001  # both run
    async with open_mongo(server_config.mongo) as found:
        yield found


async def send(server: str, session: str, seconds: range, *, bye: bool = True) -> AsyncRobot:
    """A sample each 10 ms of some seconds."""
    robot = AsyncRobot(server, ROBOT, session)
    await robot.start()
    for second in seconds:
        t_ns = T0 + second * 10**9 + np.arange(100) * 10_000_000
        assert robot.stream("x").log_batch(t_ns, {"v": np.full(100, float(second))})
        await robot.wait_for_room(20)
    await robot.flush(60)
    if bye:
        await robot.close(bye=True)
    return robot


async def overview(server: str, session: str, **params: int) -> tuple[int, float]:
    """How many samples 20 buckets hold, and the largest value."""
    query = {"stream": "x", "max_points": 20} | params
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.get(f"{server}/api/v1/sessions/{ROBOT}/{session}/range", params=query)
    found = answer.json()
    return sum(found["count"]), max(found["channels"]["max(v)"])


async def rolled_up_to(mongo: Mongo, session: str) -> int:
    stream = await mongo.durable("streams").find_one({"_id": f"{ROBOT}/{session}/x"})
    assert stream is not None
    return int(stream.get("lod", {}).get("last_ns", 0))


async def test_a_session_that_ends_is_rolled_up_and_one_that_goes_on_is_right_at_once(
    server: str, mongo: Mongo
) -> None:
    await send(server, "s", range(400))
    assert await overview(server, "s") == (40_000, 399.0)
    last_ns = T0 + 399 * 10**9 + 990_000_000

    async def is_rolled_up() -> bool:
        return await rolled_up_to(mongo, "s") == last_ns

    await eventually(is_rolled_up, timeout_s=40)
    assert await overview(server, "s") == (40_000, 399.0)
    assert await mongo.durable("lod").count_documents({"robot_id": ROBOT, "session_id": "s"}) > 4

    robot = await send(server, "s", range(400, 500), bye=False)
    assert await overview(server, "s") == (50_000, 499.0)
    # Late ones, among what is rolled up.
    assert robot.stream("x").log_batch(T0 + np.arange(10) * 10**9 + 1, {"v": np.full(10, 1e6)})
    await robot.flush(20)
    assert await overview(server, "s") == (50_010, 1e6)
    assert await overview(server, "s", start=T0 + 2 * 10**9, end=T0 + 300 * 10**9) == (29_808, 1e6)
    await robot.close(bye=True)
    last_ns = T0 + 499 * 10**9 + 990_000_000
    while not await is_rolled_up():
        assert await overview(server, "s") == (50_010, 1e6)
        await asyncio.sleep(0.1)
    assert await overview(server, "s") == (50_010, 1e6)
    assert await mongo.durable("floors").count_documents({"robot_id": ROBOT, "session_id": "s"}) == 0
