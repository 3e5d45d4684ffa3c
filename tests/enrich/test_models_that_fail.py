"""A model that fails, hangs or wants too much memory: its frames say so, acks and other models do not notice."""

import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from support.enriching import Enriching, enriching
from support.frames import jpeg
from support.raw_robot import RawRobot
from support.waiting import eventually

from benchmarks.bad_models import bad_model
from datamanager.config import Config

T0 = 1_700_000_000_000_000_000
FRAMES = 8
TROUBLES = {"failing": "other: ", "hanging": "timeout: ", "out_of_memory": "memory: "}


@pytest.fixture
async def stores(server_config: Config, server: str, worker: None) -> AsyncIterator[Enriching]:  # noqa: ARG001  # they have to run
    async with enriching(server_config) as found:
        yield found


def frame(stream: str, n: int) -> dict[str, object]:
    payload = {"format": "jpeg", "data": jpeg(320, 240, seed=n)}
    return {"data_type": "images", "stream": stream, "seq": n, "t_ns": T0 + n * 33_000_000, "payload": payload}


@pytest.mark.parametrize("name", TROUBLES)
async def test_a_model_that_goes_wrong_is_told_of_and_hurts_no_other(server: str, stores: Enriching, name: str) -> None:
    session = f"bad-{name}"
    await stores.add_model(*bad_model(name))
    await stores.add_zoo("quality")
    await stores.rule(f"{name}-rule", name, stream="cam", session_id=session)
    await stores.rule(f"{name}-beside", "quality", stream="cam", session_id=session, must=True)
    async with RawRobot(server, session) as robot:
        await robot.hello()
        for n in range(FRAMES):
            began_s = time.monotonic()
            await robot.put(frame("cam", n))
            await robot.until(lambda n=n: robot.acked.get("cam") == n)  # type: ignore[misc]
            assert time.monotonic() - began_s < 2
        good = await stores.results(FRAMES, enrichment=f"{name}-beside")
        assert {r["status"] for r in good} == {"ok"}
        bad = await stores.results(1, enrichment=f"{name}-rule")
        assert {r["status"] for r in bad} <= {"failed", "skipped"}
        assert any(r["reason"].startswith(TROUBLES[name]) for r in bad), bad


async def test_a_frame_that_must_be_looked_at_gets_one_result_also_when_its_model_never_works(
    server: str, stores: Enriching
) -> None:
    manifest, data = bad_model("failing")
    await stores.add_model(msgspec.structs.replace(manifest, name="never"), data)
    await stores.rule("must-fail", "never", stream="cam", session_id="must-fail", must=True)
    async with RawRobot(server, "must-fail") as robot:
        await robot.hello()
        await robot.put(frame("cam", 0))
        found = await stores.results(1, within_s=40, enrichment="must-fail")
    assert [r["status"] for r in found] == ["failed"]
    assert found[0]["reason"].startswith("other: ")
    due = {"session_id": "must-fail", "enrich": {"$exists": True}}

    async def is_settled() -> bool:
        return await stores.mongo.durable("frames_metadata").find_one(due) is None

    await eventually(is_settled)  # the result is there first, then nothing is due any more


async def test_results_of_a_model_that_is_left_alone_are_written_together(server: str, stores: Enriching) -> None:
    manifest, data = bad_model("failing")
    await stores.add_model(msgspec.structs.replace(manifest, name="alone"), data)
    await stores.rule("left-alone", "alone", stream="cam", session_id="left-alone")
    async with RawRobot(server, "left-alone") as robot:
        await robot.hello()
        for n in range(3 * FRAMES):
            await robot.put(frame("cam", n))
            await robot.until(lambda n=n: robot.acked.get("cam") == n)  # type: ignore[misc]
        found = await stores.results(3 * FRAMES, enrichment="left-alone")
    skipped = [r for r in found if r["status"] == "skipped"]
    assert len(skipped) >= FRAMES
    assert len({r["at_ns"] for r in skipped}) <= len(skipped) // 3
