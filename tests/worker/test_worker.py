"""The worker as a process, on real servers that it outlives."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen

import psutil
import pytest
from PIL import Image
from support.forwarder import forwarded
from support.frames import jpeg, png, store_frames
from support.processes import datamanager_worker
from support.waiting import eventually

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.local.ports import HeldPorts
from datamanager.storage.jobs import JobQueue
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import open_redis
from datamanager.storage.s3 import open_s3
from datamanager.storage.thumbnails import Thumbnails
from datamanager.storage.tier_requests import TierRequests
from datamanager.storage.tiers import Frame, FrameTiers, tiers_job

_QUICK = {"DATAMANAGER_SWEEP_INTERVAL_S": "0.3", "DATAMANAGER_JOB_TIMEOUT_S": "5", "DATAMANAGER_JOB_RETRIES": "2"}


@dataclass
class Stage:
    """The servers of one test, and what a test asks of them."""

    config: Config
    mongo: Mongo
    queue: JobQueue
    frames: FrameTiers
    log: Path

    def worker(self, config: Config | None = None) -> AbstractContextManager[Popen[bytes]]:
        return datamanager_worker(config or self.config, log=self.log, **_QUICK)

    async def until(self, states: dict[str, str], timeout_s: float = 20) -> dict[str, Frame]:
        """Waits until the frames have these states."""
        end_s = time.monotonic() + timeout_s
        while True:
            frames = await self.frames.fetch(list(states))
            found = {frame_id: frames[frame_id].state for frame_id in states}
            if found == states:
                return frames
            if time.monotonic() > end_s:
                pytest.fail(f"{found} is not {states}\n{self.log.read_text()[-4000:]}")
            await asyncio.sleep(0.05)

    async def idle(self) -> bool:
        """Whether nothing is queued or held."""
        return not any((await self.queue.depth()).values())


@pytest.fixture
async def stage(config: Config, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_mongo(config.mongo) as mongo, open_redis(config.redis) as redis:
        await apply_migrations(mongo)
        queue = JobQueue(redis, SystemClock(), consumer="test")
        yield Stage(config, mongo, queue, FrameTiers(mongo, SystemClock()), tmp_path / "worker.log")


def all_done(*frame_ids: str) -> dict[str, str]:
    return dict.fromkeys(frame_ids, "done")


async def test_frames_get_a_preview_in_s3_and_a_thumbnail_in_gridfs(stage: Stage, tmp_path: Path) -> None:
    picture = jpeg()
    originals = {f"f{n}": picture for n in range(40)}
    await store_frames(stage.config, originals)
    await stage.queue.enqueue([tiers_job(frame_id) for frame_id in originals])
    with stage.worker():
        frames = await stage.until(all_done(*originals))
        await eventually(stage.idle)
    async with open_s3(stage.config.s3) as s3:
        for frame in frames.values():
            (tmp_path / "preview").write_bytes(await s3.get(frame.fields["keys"]["preview"]))
            with Image.open(tmp_path / "preview") as image:
                assert image.size == (640, 360)
    for data, content_type in (await Thumbnails(stage.mongo, SystemClock()).get_many(list(originals))).values():
        (tmp_path / "thumbnail").write_bytes(data)
        with Image.open(tmp_path / "thumbnail") as image:
            assert image.size == (120, 68)
            assert image.get_format_mimetype() == content_type
    assert all(frame.fields["thumbnail"] for frame in frames.values())


async def test_a_frame_broken_inside_fails_once_and_the_rest_goes_on(stage: Stage) -> None:
    whole = jpeg()
    await store_frames(stage.config, {"good": whole, "broken": whole[:2000], "no picture": b"hello"})
    await stage.queue.enqueue([tiers_job(frame_id) for frame_id in ("broken", "no picture", "good")])
    with stage.worker():
        frames = await stage.until({"good": "done", "broken": "failed", "no picture": "failed"})
        await eventually(stage.idle)
    assert "bad_payload" in frames["broken"].fields["derived"]["error"]


async def test_a_frame_whose_original_is_gone_fails_after_its_tries(stage: Stage) -> None:
    await store_frames(stage.config, {"a": None})
    await stage.queue.enqueue([tiers_job("a")])
    with stage.worker():
        frames = await stage.until({"a": "failed"})
    assert "no object" in frames["a"].fields["derived"]["error"]
    [dead] = await stage.queue.dead()
    assert dead.job == tiers_job("a") or dead.job.key == "a"


async def test_frames_whose_jobs_redis_lost_are_found_again(stage: Stage) -> None:
    small = jpeg(160, 90)
    originals = {f"f{n}": small for n in range(560)}
    await store_frames(stage.config, originals)
    with stage.worker():
        await stage.until(all_done("f0"))
        async with open_redis(stage.config.redis) as redis:
            await redis.client.flushdb()
        await stage.until(all_done(*originals))


async def test_what_a_killed_worker_held_is_done_by_the_next(stage: Stage) -> None:
    large = png(1500, 1000)
    originals = {f"f{n}": large for n in range(12)}
    await store_frames(stage.config, originals, state="none")  # so that no sweep finds them but by their jobs
    await stage.queue.enqueue([tiers_job(frame_id) for frame_id in originals])
    with stage.worker() as first:
        await eventually(lambda: held(stage))
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        first.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert await held(stage)
    with stage.worker():
        await stage.until(all_done(*originals), timeout_s=30)


async def held(stage: Stage) -> int:
    """How many jobs of normal priority workers hold."""
    async with open_redis(stage.config.redis) as redis:
        if not await redis.client.exists("jobs:normal"):
            return 0
        return sum(group["pending"] for group in await redis.client.xinfo_groups("jobs:normal"))


async def test_sigterm_finishes_what_was_taken_and_leaves(stage: Stage) -> None:
    originals = dict.fromkeys(("a", "b", "c", "d"), png(2000, 1500))
    await store_frames(stage.config, originals)
    await stage.queue.enqueue([tiers_job(frame_id) for frame_id in originals])
    with stage.worker() as process:
        await eventually(lambda: held(stage))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    assert await held(stage) == 0
    states = {frame.state for frame in (await stage.frames.fetch(list(originals))).values()}
    assert states == {"done"}


@pytest.mark.parametrize("server", ["mongod", "weed", "redis-server"])
async def test_a_server_that_is_killed_meanwhile_costs_nothing(stage: Stage, local_folder: Path, server: str) -> None:
    picture = jpeg()
    originals = {f"f{n}": picture for n in range(150)}
    await store_frames(stage.config, originals)
    await stage.queue.enqueue([tiers_job(frame_id) for frame_id in originals])
    with stage.worker() as process:
        await stage.until(all_done("f0"))
        os.kill(pid_of(server, local_folder), signal.SIGKILL)
        await asyncio.sleep(0.5)
        await until_mongo_answers(stage.mongo)
        await stage.until(all_done(*originals), timeout_s=40)
        assert process.poll() is None
    thumbnails = await Thumbnails(stage.mongo, SystemClock()).get_many(list(originals))
    assert len(thumbnails) == 150


def pid_of(server: str, folder: Path) -> int:
    [pid] = [
        process.pid
        for process in psutil.process_iter(["name", "cmdline", "cwd"])
        if process.info["name"] == server and str(folder) in f"{process.info['cmdline']} {process.info['cwd']}"
    ]
    return pid


async def until_mongo_answers(mongo: Mongo) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                return await mongo.ping()
            except Exception:  # noqa: BLE001  # whatever a dying server gives
                await asyncio.sleep(0.1)


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Three ports that nobody listens on."""
    with HeldPorts() as held:
        yield [held.choose() for _ in range(3)]


async def test_a_worker_waits_for_servers_that_come_late(stage: Stage, ports: list[int]) -> None:
    await store_frames(stage.config, {"a": jpeg()})
    config = stage.config
    early = replace(
        config,
        mongo=replace(config.mongo, url=at(config.mongo.url, ports[0])),
        s3=replace(config.s3, endpoint=at(config.s3.endpoint, ports[1])),
        redis=replace(config.redis, url=at(config.redis.url, ports[2])),
    )
    with stage.worker(early) as process:
        await asyncio.sleep(1.5)
        async with forwarded(ports[1], port_of(config.s3.endpoint)):
            await asyncio.sleep(1)
            async with forwarded(ports[2], port_of(config.redis.url)):
                await asyncio.sleep(0.5)
                async with forwarded(ports[0], port_of(config.mongo.url)):
                    await stage.until(all_done("a"), timeout_s=30)
                    assert process.poll() is None
                    process.terminate()
                    assert await asyncio.to_thread(process.wait, 20) == 0


def port_of(url: str) -> int:
    return int(re.search(r":(\d+)", url.partition("//")[2])[1])


def at(url: str, port: int) -> str:
    return url.replace(f":{port_of(url)}", f":{port}")


@pytest.mark.alone
async def test_a_missing_tier_is_made_when_somebody_asks(stage: Stage) -> None:
    await store_frames(stage.config, {"a": jpeg(), "b": jpeg(seed=1)}, state="none")
    requests = TierRequests(stage.queue, stage.frames, SystemClock())
    with stage.worker():
        found = await requests.wait("a", ["thumbnail"], 20)
        assert found is not None
        assert found.lacks(["thumbnail", "preview"]) == ["preview"]
        began_s = time.monotonic()
        found = await requests.wait("b", ["preview", "thumbnail"], 20)
        assert time.monotonic() - began_s < 2
    assert found is not None
    assert found.lacks(["thumbnail", "preview"]) == []
