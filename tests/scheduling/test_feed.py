"""Jobs are handed over at once and queued a moment later, and what is held is bounded."""

import asyncio
import contextlib

import pytest
from scheduling.conftest import JobOf, QueueOf, Tally
from support.manual_clock import ManualClock
from support.waiting import eventually

from datamanager.config import RedisConfig
from datamanager.storage.inference_feed import InferenceFeed
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.redis import open_redis


@pytest.fixture
def feed(queue: InferenceQueue, tally: Tally, clock: ManualClock) -> InferenceFeed:
    return InferenceFeed(queue, tally, clock, max_held=4)


async def test_what_is_offered_is_queued_while_it_runs(
    queue: InferenceQueue, tally: Tally, clock: ManualClock, job: JobOf
) -> None:
    feed = InferenceFeed(queue, tally, clock)
    running = asyncio.create_task(feed.run())
    for n in range(1200):
        feed.offer(job(str(n), must=n % 2 == 0))

    async def all_queued() -> bool:
        return sum(state.waiting for state in (await queue.depth()).values()) + len(tally.shed) == 1200

    await eventually(all_queued)
    assert len(await queue.take(2000, 0)) == 1000  # the queue's own bound
    assert len(tally.shed) == 200
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(("count", "shed"), [(3, []), (4, []), (5, ["0"]), (7, ["0", "1", "2"])])
def test_too_many_are_given_up_the_oldest_first(
    feed: InferenceFeed, job: JobOf, tally: Tally, count: int, shed: list[str]
) -> None:
    for n in range(count):
        feed.offer(job(str(n)))
    assert [name for name, _ in tally.shed] == shed
    assert feed.held == min(count, 4)


def test_the_least_important_goes_first_and_what_must_be_done_not_at_all(
    feed: InferenceFeed, job: JobOf, tally: Tally
) -> None:
    feed.offer(job("m1", must=True))
    feed.offer(job("e", urgency="emergency"))
    feed.offer(job("n"))
    feed.offer(job("h", urgency="high"))
    for n in range(2, 7):
        feed.offer(job(f"m{n}", must=True))
    assert tally.shed == [("n", "full"), ("h", "full"), ("e", "full")]
    assert feed.held == 4  # what did not fit is found in MongoDB


async def test_without_redis_the_rest_is_counted_as_lost(clock: ManualClock, tally: Tally, job: JobOf) -> None:
    async with open_redis(RedisConfig(url="redis://127.0.0.1:1/0")) as redis:
        feed = InferenceFeed(InferenceQueue(redis, clock, tally), tally, clock)
        feed.offer(job("a"))
        feed.offer(job("m", must=True))
        await feed.drain()
    assert tally.shed == [("a", "lost")]
    assert feed.held == 0


async def test_the_most_urgent_is_queued_first(queue_of: QueueOf, tally: Tally, clock: ManualClock, job: JobOf) -> None:
    queue = queue_of("me")
    feed = InferenceFeed(queue, tally, clock)
    for name, urgency in (("n", "normal"), ("h", "high"), ("e", "emergency")):
        feed.offer(job(name, urgency=urgency))
    await feed.drain()
    assert [t.job.frame_id for t in await queue.take(9, 0)] == ["e", "h", "n"]


async def test_what_is_held_is_queued_before_it_leaves(queue: InferenceQueue, feed: InferenceFeed, job: JobOf) -> None:
    running = asyncio.create_task(feed.run())
    await asyncio.sleep(0)
    feed.offer(job("a"))
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert [t.job.frame_id for t in await queue.take(9, 0)] == ["a"]
