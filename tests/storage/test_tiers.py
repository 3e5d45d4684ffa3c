import asyncio
from collections.abc import AsyncIterator

import pytest
from support.manual_clock import ManualClock

from datamanager.clock import SystemClock
from datamanager.config import Config, RedisConfig
from datamanager.storage.jobs import JobQueue
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Document, Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.tier_requests import TierRequests
from datamanager.storage.tiers import FrameTiers, MadeTier, tiers_job


@pytest.fixture
async def mongo(config: Config) -> AsyncIterator[Mongo]:
    async with open_mongo(config.mongo) as opened:
        await apply_migrations(opened)
        yield opened


@pytest.fixture
def frames(mongo: Mongo, clock: ManualClock) -> FrameTiers:
    return FrameTiers(mongo, clock)


@pytest.fixture
def queue(redis: Redis) -> JobQueue:
    return JobQueue(redis, SystemClock(), consumer="me")


def frame(frame_id: str, state: str = "pending", since_ns: int = 0) -> Document:
    return {
        "_id": frame_id,
        "keys": {"original": f"raw/{frame_id}"},
        "derived": {"state": state, "since_ns": since_ns},
        "metadata": {"large": "x" * 1000},
    }


async def insert(mongo: Mongo, *documents: Document) -> None:
    await mongo.durable("frames_metadata").insert_many(documents)


async def test_a_frame_tells_what_it_lacks(mongo: Mongo, frames: FrameTiers) -> None:
    await insert(mongo, frame("a"))
    found = (await frames.fetch(["a", "never was"]))["a"]
    assert found.original_key == "raw/a"
    assert found.state == "pending"
    assert found.lacks(["thumbnail", "preview"]) == ["preview", "thumbnail"]
    assert "metadata" not in found.fields


async def test_what_was_made_is_written_down_piece_by_piece(
    mongo: Mongo, frames: FrameTiers, clock: ManualClock
) -> None:
    await insert(mongo, frame("a"), frame("b"))
    await frames.record([MadeTier("a", preview_key="p/a"), MadeTier("b", error="broken" * 1000)])
    await frames.record([MadeTier("a", thumbnail=True), MadeTier("deleted meanwhile", thumbnail=True)])
    found = await frames.fetch(["a", "b", "deleted meanwhile"])
    assert found["a"].fields["keys"] == {"original": "raw/a", "preview": "p/a"}
    assert found["a"].lacks(["thumbnail", "preview"]) == []
    assert found["a"].fields["derived"] == {"state": "done", "since_ns": clock.now_ns()}
    assert found["b"].state == "failed"
    assert len(found["b"].fields["derived"]["error"]) == 500
    assert "deleted meanwhile" not in found


async def test_pending_frames_are_found_oldest_first_in_pages(
    mongo: Mongo, frames: FrameTiers, clock: ManualClock
) -> None:
    now_ns, second = clock.now_ns(), 1_000_000_000
    old = [frame(f"{n:02d}", since_ns=now_ns - 100 * second + n // 4) for n in range(10)]
    await insert(mongo, *reversed(old), frame("fresh", since_ns=now_ns - 29 * second), frame("done", "done", 1))
    await insert(mongo, frame("just", since_ns=now_ns - 30 * second))
    pages = [page async for page in frames.pending(30, page=4)]
    assert [len(page) for page in pages] == [4, 4, 3]
    assert set(pages[0]) == {"00", "01", "02", "03"}
    assert pages[2][-1] == "just"


async def test_pending_frames_are_found_by_the_index(mongo: Mongo) -> None:
    cursor = mongo.durable("frames_metadata").find(
        {"derived.state": "pending", "derived.since_ns": {"$lte": 5}}, {"_id": 1}
    )
    plan = str((await cursor.sort("derived.since_ns", 1).explain())["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in plan
    assert "SORT" not in plan


async def test_a_request_waits_until_the_tier_is_there(mongo: Mongo, queue: JobQueue) -> None:
    frames = FrameTiers(mongo, SystemClock())
    await insert(mongo, frame("a", "none"))
    waiting = asyncio.create_task(TierRequests(queue, frames, SystemClock()).wait("a", ["thumbnail"], 5))
    [taken] = await queue.take(1, priorities=("high",), block_s=2)
    assert taken.job == tiers_job("a", ["thumbnail"], priority="high")
    assert not waiting.done()
    await frames.record([MadeTier("a", thumbnail=True)])
    found = await asyncio.wait_for(waiting, 1)
    assert found is not None
    assert found.lacks(["thumbnail"]) == []


async def test_many_who_wait_for_one_frame_ask_for_it_once(mongo: Mongo, queue: JobQueue) -> None:
    frames = FrameTiers(mongo, SystemClock())
    await insert(mongo, frame("a", "none"))
    requests = TierRequests(queue, frames, SystemClock())
    waiting = [asyncio.create_task(requests.wait("a", ["thumbnail"], 5)) for _ in range(50)]
    assert len(await queue.take(10, priorities=("high",), block_s=2)) == 1
    await frames.record([MadeTier("a", error="broken")])
    assert {found and found.state for found in await asyncio.gather(*waiting)} == {"failed"}


async def test_a_request_returns_in_time_when_no_worker_comes(mongo: Mongo, queue: JobQueue) -> None:
    await insert(mongo, frame("a", "none"))
    requests = TierRequests(queue, FrameTiers(mongo, SystemClock()), SystemClock())
    async with asyncio.timeout(2):
        found = await requests.wait("a", ["preview"], 0.1)
    assert found is not None
    assert found.lacks(["preview"]) == ["preview"]
    assert not requests._waiting


async def test_what_needs_no_work_is_answered_at_once(mongo: Mongo, queue: JobQueue) -> None:
    requests = TierRequests(queue, FrameTiers(mongo, SystemClock()), SystemClock())
    assert await requests.wait("never was", ["preview"], 60) is None
    await insert(mongo, frame("a", "failed"))
    failed = await requests.wait("a", ["preview"], 60)
    assert failed is not None
    assert failed.state == "failed"
    assert (await queue.depth())["high"] == 0


async def test_without_redis_the_frame_is_marked_for_a_sweep(mongo: Mongo, frames: FrameTiers) -> None:
    await insert(mongo, frame("a", "none"))
    async with open_redis(RedisConfig(url="redis://127.0.0.1:1/0")) as nobody:
        requests = TierRequests(JobQueue(nobody, SystemClock()), frames, SystemClock())
        found = await requests.wait("a", ["preview"], 0.1)
    assert found is not None
    assert found.state == "pending"
