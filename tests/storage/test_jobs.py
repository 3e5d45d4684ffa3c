from collections.abc import Callable

import pytest
from support.manual_clock import ManualClock

from datamanager.config import RedisConfig
from datamanager.errors import RedisUnavailable
from datamanager.storage.job_feed import open_job_feed
from datamanager.storage.jobs import Job, JobQueue, backoff_s
from datamanager.storage.redis import Redis, open_redis

QueueOf = Callable[[str], JobQueue]


@pytest.fixture
def queue_of(redis: Redis, clock: ManualClock) -> QueueOf:
    return lambda consumer: JobQueue(redis, clock, consumer=consumer, max_tries=3)


@pytest.fixture
def queue(queue_of: QueueOf) -> JobQueue:
    return queue_of("me")


def jobs(*keys: str, **more: object) -> list[Job]:
    return [Job(kind="k", key=key, **more) for key in keys]


async def take(queue: JobQueue, count: int = 10) -> list[str]:
    return [t.job.key for t in await queue.take(count, block_s=0)]


async def test_a_job_comes_back_as_it_was_given(queue: JobQueue) -> None:
    job = Job(kind="tiers", key="f-1", args={"tiers": ["preview"], "n": 1 << 40, "b": b"\x00\xff"}, priority="low")
    assert await queue.enqueue([job]) == 1
    [taken] = await queue.take(10, block_s=0)
    assert taken.job == job


async def test_high_priority_comes_first_and_low_last(queue: JobQueue) -> None:
    await queue.enqueue(jobs("c", priority="low") + jobs("b") + jobs("a", priority="high"))
    assert await take(queue) == ["a", "b", "c"]


async def test_no_more_jobs_are_taken_than_asked_for(queue: JobQueue) -> None:
    await queue.enqueue(jobs("a", "b", priority="high") + jobs("c", "d"))
    assert await take(queue, 3) == ["a", "b", "c"]
    assert await take(queue, 3) == ["d"]


async def test_a_job_goes_to_one_consumer_only(queue_of: QueueOf) -> None:
    await queue_of("me").enqueue(jobs("a"))
    assert [await take(queue_of(name)) for name in ("me", "you")] == [["a"], []]


async def test_what_waits_already_is_not_queued_again(queue: JobQueue) -> None:
    assert await queue.enqueue(jobs("a", "b")) == 2
    assert await queue.enqueue(jobs("b", "c")) == 1
    assert await take(queue) == ["a", "b", "c"]


async def test_an_urgent_job_does_not_wait_behind_the_same_one_of_lower_priority(queue: JobQueue) -> None:
    await queue.enqueue(jobs("a"))
    assert await queue.enqueue(jobs("a", priority="high")) == 1


async def test_what_is_asked_for_while_it_runs_runs_once_more(queue: JobQueue) -> None:
    """The one that runs may have read its input already."""
    await queue.enqueue(jobs("a"))
    assert await take(queue) == ["a"]
    assert await queue.enqueue(jobs("a")) == 1


async def test_done_jobs_leave_nothing_behind(queue: JobQueue, redis: Redis) -> None:
    await queue.enqueue(jobs("a", "b") + jobs("c", priority="high"))
    await queue.done(await queue.take(10, block_s=0))
    assert set((await queue.depth()).values()) == {0}
    assert not await redis.client.keys("jobs:queued:*")
    assert await queue.claim_stuck(0) == []


async def test_a_failed_job_comes_again_after_its_backoff_and_not_before(queue: JobQueue, clock: ManualClock) -> None:
    await queue.enqueue(jobs("a"))
    await queue.retry(await queue.take(1, block_s=0))
    clock.advance(0.7)
    assert await queue.promote() == 0
    clock.advance(0.6)
    assert await queue.promote() == 1
    [taken] = await queue.take(1, block_s=0)
    assert taken.job.tries == 1
    assert not queue.is_last_try(taken)


async def test_only_failures_count_as_tries(queue: JobQueue, clock: ManualClock) -> None:
    await queue.enqueue(jobs("a", tries=2))
    await queue.put_off(await queue.take(1, block_s=0), 5)
    clock.advance(5.1)
    await queue.promote()
    [taken] = await queue.take(1, block_s=0)
    assert taken.job.tries == 2
    assert queue.is_last_try(taken)


async def test_a_job_that_waits_for_its_retry_is_not_queued_beside_it(queue: JobQueue) -> None:
    await queue.enqueue(jobs("a"))
    await queue.retry(await queue.take(1, block_s=0))
    assert await queue.enqueue(jobs("a")) == 0


async def test_two_sweepers_promote_a_job_once(queue_of: QueueOf, clock: ManualClock) -> None:
    me, you = queue_of("me"), queue_of("you")
    await me.enqueue(jobs("a"))
    await me.retry(await me.take(1, block_s=0))
    clock.advance(10)
    assert await me.promote() + await you.promote() == 1
    assert await take(me) == ["a"]


@pytest.mark.parametrize(("tries", "seconds"), [(1, 1), (2, 2), (3, 4), (7, 60), (10_000, 60)])
def test_backoff_doubles_up_to_a_minute(tries: int, seconds: float) -> None:
    assert backoff_s(tries, 0.5) == seconds
    assert (backoff_s(tries, 0.0), backoff_s(tries, 1.0)) == (seconds * 0.75, seconds * 1.25)


async def test_a_job_given_up_is_kept_with_its_error(queue: JobQueue, clock: ManualClock) -> None:
    await queue.enqueue(jobs("a", "b"))
    for taken in await queue.take(2, block_s=0):
        await queue.bury(taken, f"no {taken.job.key}" + "!" * 1000)
    newest, older = await queue.dead()
    assert (newest.job, older.job) == tuple(jobs("b", "a"))
    assert newest.error.startswith("no b!")
    assert len(newest.error) == 500
    assert newest.at_ns == clock.now_ns()
    assert await queue.depth() == {"high": 0, "normal": 0, "low": 0, "slow": 0, "analysis": 0, "later": 0, "dead": 2}


async def test_a_job_given_up_leaves_its_like_free_though_its_taker_died_before_it_said_so(
    queue: JobQueue, redis: Redis
) -> None:
    await queue.enqueue(jobs("a"))
    [mark] = await redis.client.keys("jobs:queued:*")
    [taken] = await queue.take(1, block_s=0)
    await redis.client.set(mark, b"1", ex=120)  # as if its taker had died right after taking it
    await queue.bury(taken, "its worker is gone")
    assert await queue.enqueue(jobs("a")) == 1


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", b"\x82\xa4kind\xa1\xff\xa3key\xa1a"])
async def test_an_entry_that_is_no_job_is_buried_and_the_rest_goes_on(
    queue: JobQueue, redis: Redis, content: bytes
) -> None:
    await redis.client.xadd("jobs:normal", {b"job": content})
    await queue.enqueue(jobs("a"))
    assert await take(queue) == ["a"]
    [dead] = await queue.dead()
    assert dead.job is None
    assert await take(queue) == []


async def test_jobs_of_a_consumer_that_is_gone_are_claimed_and_others_are_not(queue_of: QueueOf) -> None:
    gone, me = queue_of("gone"), queue_of("me")
    await gone.enqueue(jobs("a"))
    await gone.take(1, block_s=0)
    assert await me.claim_stuck(60) == []
    [claimed] = await me.claim_stuck(0)
    assert claimed.job.key == "a"
    await me.done([claimed])
    assert await me.claim_stuck(0) == []


async def test_a_renewed_job_is_not_claimed(queue_of: QueueOf, redis: Redis) -> None:
    slow, me = queue_of("slow"), queue_of("me")
    await slow.enqueue(jobs("a"))
    taken = await slow.take(1, block_s=0)
    await redis.client.xclaim("jobs:normal", "workers", "slow", 0, [taken[0].entry_id], idle=90_000, justid=True)
    await slow.renew(taken)
    assert await me.claim_stuck(60) == []


async def test_a_wiped_redis_is_set_up_again_by_whoever_comes_next(queue: JobQueue, redis: Redis) -> None:
    await queue.enqueue(jobs("a", "b"))
    [held] = await queue.take(1, block_s=0)
    await redis.client.flushdb()
    await queue.renew([held])
    await queue.done([held])
    assert await queue.claim_stuck(0) == []
    assert await take(queue) == []
    await queue.enqueue(jobs("c"))
    assert await take(queue) == ["c"]


async def test_jobs_added_after_a_wipe_and_before_the_group_is_back_are_not_lost(queue: JobQueue, redis: Redis) -> None:
    await take(queue)
    await redis.client.flushdb()
    await queue.enqueue(jobs("a"))
    assert await take(queue) == ["a"]


async def test_a_consumer_that_holds_nothing_is_forgotten_and_one_that_holds_a_job_is_not(
    queue_of: QueueOf, redis: Redis
) -> None:
    await queue_of("me").enqueue(jobs("a"))
    await queue_of("busy").take(1, block_s=0)
    await queue_of("idle").take(1, block_s=0)
    await queue_of("me").drop_gone_consumers(-1)
    assert [c["name"] for c in await redis.client.xinfo_consumers("jobs:normal", "workers")] == [b"busy"]


async def test_without_redis_every_call_says_so() -> None:
    async with open_redis(RedisConfig(url="redis://127.0.0.1:1/0")) as nobody:
        queue = JobQueue(nobody, ManualClock(), consumer="me")
        for call in (queue.enqueue(jobs("a")), queue.take(1), queue.promote(), queue.depth(), queue.claim_stuck(0)):
            with pytest.raises(RedisUnavailable):
                await call


async def test_a_feed_queues_what_it_is_offered(queue: JobQueue) -> None:
    async with open_job_feed(queue) as feed:
        feed.offer(jobs(*(str(n) for n in range(1200))))
    assert (await queue.depth())["normal"] == 1200


async def test_a_feed_without_redis_takes_jobs_and_lets_them_go() -> None:
    async with open_redis(RedisConfig(url="redis://127.0.0.1:1/0")) as nobody:
        async with open_job_feed(JobQueue(nobody, ManualClock())) as feed:
            feed.offer(jobs("a"))
            await feed.drain()
        assert not feed._waiting
