"""The floor of a process: raised behind what is written, never above what may still be; entered anew after a pause."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.manual_clock import ManualClock

from datamanager.config import Config
from datamanager.ingest.floors import Floor, FloorKeeper
from datamanager.storage.floors import DEAD_S, Floors
from datamanager.storage.job_feed import JobFeed
from datamanager.storage.jobs import JobQueue
from datamanager.storage.mongo import Document, Mongo, open_mongo
from datamanager.storage.redis import open_redis
from datamanager.storage.sessions import Sessions

NOW_S = 1_700_000_000


class Writer:
    """A producer that says what it is told to."""

    def __init__(self, held: int | None) -> None:
        self.held = held

    def held_generation(self) -> int | None:
        return self.held


class Stage:
    """A keeper with one session."""

    def __init__(self, mongo: Mongo, queue: JobQueue) -> None:
        self.mongo, self.queue, self.clock = mongo, queue, ManualClock(NOW_S * 10**9)
        self.feed = JobFeed(queue)
        self.keeper = FloorKeeper(Floors(mongo), self.feed, self.clock)
        self.floor: Floor = self.keeper.floor("r", "s")

    async def step(self, *held: int | None, is_over: bool = False) -> None:
        await self.keeper.step({self.floor: None if is_over else [Writer(h) for h in held]})

    async def kept(self) -> list[int]:
        floors: list[Document] = await self.mongo.durable("floors").find().to_list()
        return sorted(d["floor"] for d in floors)

    async def asked(self) -> int:
        await self.feed.drain()
        taken = await self.queue.take(10, block_s=0)
        assert all((t.job.kind, t.job.key) == ("rollup", "r/s") for t in taken)
        await self.queue.done(taken)
        return len(taken)


@pytest.fixture
async def stage(config: Config) -> AsyncIterator[Any]:
    async with open_mongo(config.mongo) as mongo, open_redis(config.redis) as redis:
        await Sessions(mongo).open("r", "s", NOW_S * 10**9)
        yield Stage(mongo, JobQueue(redis, ManualClock(), consumer="c"))


async def test_a_floor_follows_the_oldest_that_may_still_be_written(stage: Stage) -> None:
    await stage.floor.stand()
    await stage.step(None)
    assert await stage.kept() == [NOW_S]
    stage.floor.give(NOW_S + 60)
    await stage.step(NOW_S + 60, NOW_S + 20)
    assert await stage.kept() == [NOW_S + 20]
    await stage.step(NOW_S + 60, None)
    assert await stage.kept() == [NOW_S + 60]
    assert stage.floor.value == NOW_S + 60
    await stage.step(None, None)
    assert await stage.kept() == [NOW_S + 61]  # whatever comes next is younger
    assert stage.floor.value == NOW_S + 61


async def test_what_is_held_for_a_moment_holds_the_floor(stage: Stage) -> None:
    await stage.floor.stand()
    with stage.floor.held() as generation:
        stage.clock.advance(100)
        await stage.step(None)
        assert await stage.kept() == [generation]
    await stage.step(None)
    assert await stage.kept() == [generation + 1]


async def test_a_session_that_ends_leaves_no_floor_and_is_rolled_up(stage: Stage) -> None:
    await stage.floor.stand()
    await stage.step(None)
    assert await stage.asked() == 0
    stage.floor.give(NOW_S)
    await stage.step(NOW_S)
    await stage.step(is_over=True)
    assert await stage.kept() == []
    assert await stage.asked() == 1
    await stage.step(is_over=True)
    assert await stage.asked() == 0
    await stage.floor.stand()  # it goes on
    assert stage.floor.value > NOW_S


async def test_many_new_blocks_are_rolled_up_before_the_session_ends(stage: Stage) -> None:
    await stage.floor.stand()
    await stage.step(None)
    for _ in range(3000):
        stage.floor.give(NOW_S + 1)
    await stage.step(NOW_S + 1)
    assert await stage.asked() == 1
    stage.floor.give(NOW_S + 2)
    await stage.step(NOW_S + 2)
    assert await stage.asked() == 0


async def test_after_a_pause_in_which_it_may_count_as_dead_a_process_enters_anew(stage: Stage) -> None:
    await stage.floor.stand()
    first = stage.floor.id
    stage.clock.advance(DEAD_S / 12)
    await stage.floor.stand()
    assert stage.floor.id == first
    stage.clock.advance(DEAD_S)
    await stage.floor.stand()
    assert stage.floor.id != first
    assert stage.floor.entered >= NOW_S + DEAD_S  # statistics of older generations get this one
