"""A model's newer version takes over between two batches, and a fallback while a model fails: no frame is lost on the way."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from support.enriching import Enriching, enriching
from support.frames import jpeg
from support.raw_robot import RawRobot

from benchmarks.bad_models import bad_model
from datamanager.config import Config

T0 = 1_700_000_000_000_000_000


@pytest.fixture
async def stores(server_config: Config, server: str, worker: None) -> AsyncIterator[Enriching]:  # noqa: ARG001  # they have to run
    async with enriching(server_config) as found:
        yield found


async def send(robot: RawRobot, n: int) -> None:
    payload = {"format": "jpeg", "data": jpeg(320, 240, seed=n % 8)}
    await robot.put({"data_type": "images", "stream": "cam", "seq": n, "t_ns": T0 + n * 33_000_000, "payload": payload})


async def test_a_newer_version_takes_over_without_a_lost_frame(server: str, stores: Enriching) -> None:
    await stores.add_zoo("quality", name="swapped", version="1")
    await stores.rule("swapped", "swapped", session_id="swapped", must=True)
    sent = 0
    async with RawRobot(server, "swapped") as robot:
        await robot.hello()
        for version in ("2", "3"):
            swapping = asyncio.create_task(swap(stores, version))
            while not swapping.done():
                await send(robot, sent)
                sent += 1
                await asyncio.sleep(0.05)
            await swapping
        await send(robot, sent)
        found = await stores.results(sent + 1, enrichment="swapped")
    assert [result["t_ns"] for result in found] == [T0 + n * 33_000_000 for n in range(sent + 1)]
    assert {result["status"] for result in found} == {"ok"}
    assert {result["version"] for result in found} == {"1", "2", "3"}


async def swap(stores: Enriching, version: str) -> None:
    await stores.add_zoo("quality", name="swapped", version=version)
    await stores.ready("swapped", version)


async def test_a_fallback_looks_at_frames_while_a_model_fails(server: str, stores: Enriching) -> None:
    manifest, data = bad_model("failing")
    await stores.add_zoo("quality", name="smaller")
    larger = msgspec.structs.replace(manifest, name="larger", task="quality", options={"values": ["x"]})
    await stores.add_model(msgspec.structs.replace(larger, output="likes", fallback="smaller"), data)
    await stores.rule("larger", "larger", session_id="fallback", must=True)
    await stores.ready("smaller")
    async with RawRobot(server, "fallback") as robot:
        await robot.hello()
        for n in range(5):
            await send(robot, n)
        found = await stores.results(5, enrichment="larger")
    assert {(result["status"], result["model"]) for result in found} == {("ok", "smaller")}
    assert all(result["output"] == "cam/likes" for result in found), "its rule's stream, whoever looked"
