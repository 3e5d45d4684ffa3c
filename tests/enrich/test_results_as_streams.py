"""What a model says of frames is a stream of their session: one result a frame, live, in ranges, aligned to its frames."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import websockets
from support.enriching import Enriching, enriching
from support.frames import jpeg
from support.raw_robot import RawRobot
from support.waiting import eventually

from datamanager.config import Config

T0 = 1_700_000_000_000_000_000
FRAMES = 12
STEP_NS = 33_000_000


@pytest.fixture
async def stores(server_config: Config, server: str, worker: None) -> AsyncIterator[Enriching]:  # noqa: ARG001  # they have to run
    async with enriching(server_config) as found:
        yield found


def frame(stream: str, n: int) -> dict[str, object]:
    data = jpeg(320, 240, seed=n)
    payload = {"format": "jpeg", "data": data}
    return {"data_type": "images", "stream": stream, "seq": n, "t_ns": T0 + n * STEP_NS, "payload": payload}


async def test_every_frame_gets_one_sample_of_quality(server: str, stores: Enriching) -> None:
    await stores.add_zoo("quality")
    await stores.rule("quality", "quality", session_id="q1", stream="cam", must=True)
    async with RawRobot(server, "q1") as robot, httpx.AsyncClient(trust_env=False) as http:
        await robot.hello()
        live_url = server.replace("http", "ws") + "/api/v1/live?robot_id=raw&session_id=q1"
        async with websockets.connect(live_url, proxy=None) as live:
            await asyncio.sleep(0.3)
            for n in range(FRAMES):
                await robot.put(frame("cam", n))
            results = await stores.results(FRAMES, session_id="q1")
            assert [r["t_ns"] for r in results] == [T0 + n * STEP_NS for n in range(FRAMES)]
            assert {(r["status"], r["model"], r["output"]) for r in results} == {("ok", "quality", "cam/quality")}
            seen = set()
            while len(seen) < FRAMES:
                message = json.loads(await asyncio.wait_for(live.recv(), 10))
                if message.get("stream") == "cam/quality":
                    seen.add(message["t_ns"])
        found = await until_range(http, f"{server}/api/v1/sessions/raw/q1/range?stream=cam/quality", FRAMES)
        assert found["offset_ns"] == [n * STEP_NS for n in range(FRAMES)]
        channels = found["channels"]
        for n, result in enumerate(results):
            assert channels["sharpness"][n] == pytest.approx(result["values"]["sharpness"])
            assert channels["frame_id"][n] == result["frame_id"]
        assert set(channels["model"]) == {"quality"}
    pending = await stores.mongo.durable("frames_metadata").count_documents({"enrich": {"$exists": True}})
    assert pending == 0


async def test_a_session_that_ended_before_its_results_came_stays_ended(server: str, stores: Enriching) -> None:
    await stores.add_zoo("quality")
    await stores.rule("late", "quality", session_id="late", stream="cam", must=True)
    async with RawRobot(server, "late") as robot, httpx.AsyncClient(trust_env=False) as http:
        await robot.hello()
        for n in range(5):
            await robot.put(frame("cam", n))
        await robot.put({"type": "bye"})
        assert await robot.closed() == 1000
        seen: set[str] = set()

        async def is_fed() -> bool:
            seen.add((await http.get(f"{server}/api/v1/sessions/raw/late")).json()["status"])
            return (
                await stores.mongo.durable("results").count_documents({"session_id": "late", "feed.state": "fed"}) == 5
            )

        await eventually(is_fed)
        assert seen == {"ended"}  # and was nothing else for a moment
        found = await until_range(http, f"{server}/api/v1/sessions/raw/late/range?stream=cam/quality", 5)
    assert found["offset_ns"] == [n * STEP_NS for n in range(5)]


async def until_range(http: httpx.AsyncClient, address: str, count: int) -> dict[str, Any]:
    """The range, once it has so many samples."""
    for _ in range(100):
        answer = await http.get(address)
        if answer.status_code == 200 and len(answer.json()["offset_ns"]) >= count:
            break
        await asyncio.sleep(0.1)
    found: dict[str, Any] = answer.json()
    return found
