"""Workers killed in the midst of batches: every frame that must be looked at has one result, and its stream one sample."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from support.enriching import Enriching, enriching
from support.frames import jpeg
from support.killing import Up, running_up

from datamanager.client import AsyncRobot
from datamanager.config import load_config
from datamanager.local.state import read_state

T0 = 1_700_000_000_000_000_000
KILLS = 50
FPS = 20
STEP_NS = 50_000_000


async def kill_workers(up: Up, stores: Enriching, victims: tuple[str, ...]) -> Counter[str]:
    """Kills processes, each when results have come since the last one, at a random moment after."""
    rng, killed = random.Random(7), Counter[str]()  # noqa: S311  # the same kills for the same seed
    results = stores.mongo.durable("results")
    while sum(killed.values()) < KILLS:
        before = await results.count_documents({})
        until_s = time.monotonic() + 60
        while await results.count_documents({}) == before:
            assert time.monotonic() < until_s, "no result for 60 s"
            await asyncio.sleep(0.02)
        await asyncio.sleep(rng.uniform(0, 0.3))
        victim = rng.choice(victims)
        for pid in up.pids(victim)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed[victim] += 1
    return killed


@pytest.mark.soak
@pytest.mark.parametrize(
    "victims", [("worker",), ("worker", "worker", "serve", "redis-server", "mongod")], ids=["worker", "all"]
)
async def test_every_frame_that_must_be_looked_at_has_exactly_one_result(
    tmp_path: Path, victims: tuple[str, ...]
) -> None:
    with running_up(tmp_path, DATAMANAGER_JOB_TIMEOUT_S="3", DATAMANAGER_SWEEP_INTERVAL_S="2") as up:
        state = read_state(tmp_path / "data")
        assert state is not None
        async with enriching(load_config(state.environ())) as stores:
            await stores.add_zoo("quality")
            await stores.rule("quality", "quality", stream="cam", must=True)
            sent, killed = await send_under_kills(up, stores, victims)
            # What was lost on its way again and again is queued again once a minute each time.
            found = await stores.results(sent, within_s=300, session_id="kills")
            assert Counter(result["t_ns"] for result in found) == Counter(T0 + n * STEP_NS for n in range(sent))
            assert {result["status"] for result in found} == {"ok"}
            await one_sample_each(up.url, sent)
        print(f"{sent} frames, {dict(killed)} killed")  # noqa: T201  # for those who run it


async def send_under_kills(up: Up, stores: Enriching, victims: tuple[str, ...]) -> tuple[int, Counter[str]]:
    """Sends frames by our own client, which sends again what was not acked, until all are killed."""
    pictures = [jpeg(640, 480, seed=n) for n in range(8)]
    sent = 0
    async with AsyncRobot(up.url, "raw", "kills") as robot:
        stream = robot.stream("cam")
        killing = asyncio.create_task(kill_workers(up, stores, victims))
        while not killing.done():
            assert stream.log_image(T0 + sent * STEP_NS, pictures[sent % len(pictures)])
            sent += 1
            await asyncio.sleep(1 / FPS)
        killed = await killing
        await robot.flush()
    return sent, killed


async def one_sample_each(url: str, sent: int) -> None:
    """Holds the result stream against what was sent."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        until_s = time.monotonic() + 60
        while True:
            answer = await http.get(f"{url}/api/v1/sessions/raw/kills/range", params={"stream": "cam/quality"})
            found = answer.json()["offset_ns"] if answer.status_code == 200 else []
            if len(found) >= sent:
                break
            assert time.monotonic() < until_s, f"{len(found)} samples of {sent} frames"
            await asyncio.sleep(0.5)
    assert found == [n * STEP_NS for n in range(sent)]
