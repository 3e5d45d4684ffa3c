"""The queue of frames for models, on a real Redis."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from scheduling.conftest import JobOf, QueueOf, Tally
from support.manual_clock import ManualClock

from datamanager.clock import SystemClock
from datamanager.config import Config, RedisConfig
from datamanager.errors import RedisUnavailable
from datamanager.storage.inference_job import URGENCIES, InferenceJob, PreviousFrame, QueueState, Urgency
from datamanager.storage.inference_queue import InferenceQueue, open_inference_queue
from datamanager.storage.redis import Redis, open_redis


async def names(queue: InferenceQueue, count: int = 100, **how: object) -> list[str]:
    return [t.job.frame_id for t in await queue.take(count, 0, **how)]  # type: ignore[arg-type]  # its keywords


async def total(queue: InferenceQueue) -> tuple[int, int]:
    states = (await queue.depth()).values()
    return sum(s.waiting for s in states), sum(s.running for s in states)


async def test_a_job_comes_back_as_it_was_given(queue: InferenceQueue, job: JobOf) -> None:
    given = job("f", urgency="high", must=True, previous=PreviousFrame("e", "raw/e", 2**62), stream="front/ä")
    assert (await queue.add([given])).queued == 1
    [taken] = await queue.take(10, 0)
    assert taken.job == given
    assert (taken.stream, taken.tries) == ("high", 0)


def test_a_job_that_was_queued_before_sizes_were_told_is_read(job: JobOf) -> None:
    given = job("f", previous=PreviousFrame("e", "raw/e", 7))
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(given))
    del told["size_bytes"]
    told["previous"] = told["previous"][:3]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(told), type=InferenceJob) == given
    assert given.size_bytes == given.previous.size_bytes == 0  # type: ignore[union-attr]  # it was given one


async def test_the_most_urgent_comes_first_and_of_these_the_oldest(queue: InferenceQueue, job: JobOf) -> None:
    await queue.add([job("e"), job("c", urgency="high"), job("a", urgency="emergency"), job("f")])
    await queue.add([job("d", urgency="high"), job("b", urgency="emergency")])
    assert await names(queue, 3) == ["a", "b", "c"]
    assert await names(queue) == ["d", "e", "f"]


async def test_only_the_urgencies_that_are_asked_for_are_taken(queue: InferenceQueue, job: JobOf) -> None:
    await queue.add([job("a"), job("b", urgency="high")])
    assert await names(queue, urgencies=("emergency", "normal")) == ["a"]


async def test_a_job_goes_to_one_consumer_only(queue_of: QueueOf, job: JobOf) -> None:
    me, you = queue_of("me"), queue_of("you")
    await me.add([job(str(n)) for n in range(10)])
    mine, yours = await names(me, 5), await names(you)
    assert sorted(mine + yours) == [str(n) for n in range(10)]


async def test_done_jobs_leave_nothing_behind(queue: InferenceQueue, redis: Redis, job: JobOf) -> None:
    await queue.add([job("a"), job("b"), job("c", urgency="emergency")])
    await queue.done(await queue.take(10, 0))
    assert await total(queue) == (0, 0)
    assert await queue.claim_stuck(0) == []
    for urgency in URGENCIES:
        assert await redis.client.xlen(f"infer:{urgency}") == 0


async def test_depth_says_what_waits_what_runs_and_since_when(
    queue: InferenceQueue, clock: ManualClock, job: JobOf
) -> None:
    assert await queue.depth() == {urgency: QueueState() for urgency in URGENCIES}
    await queue.add([job("a"), job("b"), job("c")])
    clock.advance(2)
    await queue.add([job("d"), job("x", urgency="high")])
    clock.advance(1)
    assert (await queue.depth())["normal"] == QueueState(4, 0, 3.0)
    taken = await queue.take(3, 0, urgencies=("normal",))
    states = await queue.depth()
    assert (states["normal"], states["high"]) == (QueueState(1, 3, 1.0), QueueState(1, 0, 1.0))
    await queue.done(taken)
    assert (await queue.depth())["normal"] == QueueState(1, 0, 1.0)


# Bounds.


@pytest.mark.parametrize(("count", "shed"), [(4, 0), (5, 0), (6, 1), (12, 7)])
async def test_a_stream_is_held_to_its_bound_by_shedding_the_oldest(
    queue_of: QueueOf, job: JobOf, tally: Tally, count: int, shed: int
) -> None:
    queue = queue_of("me", 5)
    gone = 0
    for n in range(count):
        gone += (await queue.add([job(str(n))])).shed
    assert gone == shed
    assert tally.shed == [(str(n), "full") for n in range(shed)]
    assert await queue.shed_lately() == ({"look": shed} if shed else {})
    assert await names(queue) == [str(n) for n in range(shed, count)]


async def test_a_batch_larger_than_the_bound_keeps_its_youngest(queue_of: QueueOf, job: JobOf, tally: Tally) -> None:
    queue = queue_of("me", 3)
    added = await queue.add([job(str(n)) for n in range(8)])
    assert (added.queued, added.shed, added.deferred) == (3, 5, 0)
    assert await names(queue) == ["5", "6", "7"]
    assert [name for name, _ in tally.shed] == ["0", "1", "2", "3", "4"]


async def test_what_must_be_done_is_never_shed_and_has_first_claim(queue_of: QueueOf, job: JobOf, tally: Tally) -> None:
    queue = queue_of("me", 4)
    await queue.add([job("m1", must=True), job("a"), job("b"), job("m2", must=True)])
    added = await queue.add([job("c"), job("m3", must=True)])
    assert (added.queued, added.shed, added.deferred) == (2, 2, 0)
    assert tally.shed == [("a", "full"), ("b", "full")]
    added = await queue.add([job("d"), job("m4", must=True), job("m5", must=True)])
    assert (added.queued, added.shed, added.deferred) == (1, 2, 1)
    assert tally.shed[2:] == [("c", "full"), ("d", "full")]
    assert await names(queue) == ["m1", "m2", "m3", "m4"]


async def test_each_stream_has_a_bound_of_its_own(queue_of: QueueOf, job: JobOf, tally: Tally) -> None:
    queue = queue_of("me", 2)
    await queue.add([job(f"{urgency}{n}", urgency=urgency) for urgency in URGENCIES for n in range(2)])
    assert not tally.shed
    await queue.add([job("more", urgency="high")])
    assert tally.shed == [("high0", "full")]


async def test_what_runs_takes_no_room_and_is_not_shed(queue_of: QueueOf, job: JobOf, tally: Tally) -> None:
    queue = queue_of("me", 3)
    await queue.add([job(str(n)) for n in range(3)])
    running = await queue.take(3, 0)
    await queue.add([job(str(n)) for n in range(3, 7)])
    assert tally.shed == [("3", "full")]
    assert await names(queue) == ["4", "5", "6"]
    await queue.done(running)


async def test_two_that_add_at_once_count_each_shed_frame_once(queue_of: QueueOf, job: JobOf, tally: Tally) -> None:
    queues = [queue_of(str(n), 10) for n in range(4)]
    await asyncio.gather(
        *(q.add([job(f"{n}-{i}-{k}") for k in range(5)]) for n, q in enumerate(queues) for i in range(20))
    )
    left = await names(queues[0])
    assert len(left) == 10
    assert len(tally.shed) == len(set(tally.shed)) == 390
    assert not {name for name, _ in tally.shed} & set(left)


async def test_shedding_what_is_held_is_counted_and_refused_for_what_must_be_done(
    queue: InferenceQueue, job: JobOf, tally: Tally
) -> None:
    await queue.add([job("a"), job("m", must=True)])
    taken = {t.job.frame_id: t for t in await queue.take(2, 0)}
    with pytest.raises(ValueError, match="must"):
        await queue.shed(list(taken.values()), "age")
    await queue.shed([taken["a"]], "age")
    assert tally.shed == [("a", "age")]
    assert await total(queue) == (0, 1)
    assert await queue.shed_lately() == {"look": 1}


# Lost workers, lost servers.


async def test_what_a_dead_worker_held_is_claimed_with_its_tries(queue_of: QueueOf, job: JobOf) -> None:
    dead, me = queue_of("dead"), queue_of("me")
    await dead.add([job("a"), job("b", urgency="high")])
    assert len(await dead.take(2, 0)) == 2
    assert await me.claim_stuck(5) == []
    stuck = await me.claim_stuck(0)
    assert [(t.job.frame_id, t.tries) for t in stuck] == [("b", 1), ("a", 1)]
    assert {t.tries for t in await queue_of("third").claim_stuck(0)} == {2}


async def test_renewed_jobs_are_not_claimed_and_renewing_is_no_try(queue_of: QueueOf, job: JobOf) -> None:
    me, you = queue_of("me"), queue_of("you")
    await me.add([job("a"), job("b")])
    taken = await me.take(2, 0)
    await asyncio.sleep(0.25)
    await me.renew(taken[:1])
    assert [t.job.frame_id for t in await you.claim_stuck(0.2)] == ["b"]
    await asyncio.sleep(0.25)
    assert [(t.job.frame_id, t.tries) for t in await you.claim_stuck(0.2)] == [("a", 1), ("b", 2)]


async def test_of_two_that_claim_one_gets_it(queue_of: QueueOf, job: JobOf) -> None:
    dead = queue_of("dead")
    await dead.add([job(str(n)) for n in range(50)])
    await dead.take(50, 0)
    await asyncio.sleep(0.3)
    claims = await asyncio.gather(*(queue_of(str(n)).claim_stuck(0.2) for n in range(3)))
    assert sorted(int(t.job.frame_id) for claim in claims for t in claim) == list(range(50))


async def test_a_job_that_was_removed_while_held_is_not_claimed_for_ever(
    queue: InferenceQueue, redis: Redis, job: JobOf
) -> None:
    await queue.add([job("a")])
    [taken] = await queue.take(1, 0)
    await redis.client.xdel("infer:normal", taken.entry_id)
    assert await queue.claim_stuck(0) == []
    assert await total(queue) == (0, 0)


async def test_what_is_put_off_comes_when_it_is_due_and_not_before(
    queue: InferenceQueue, clock: ManualClock, job: JobOf
) -> None:
    await queue.add([job("a", must=True), job("b")])
    a, b = await queue.take(2, 0)
    await queue.put_off([a], 2.0)
    await queue.put_off([b], 3.0, tried=True)
    assert await queue.later() == 2
    assert await total(queue) == (0, 0)
    clock.advance(1.9)
    assert await queue.promote() == 0
    clock.advance(0.2)
    assert await queue.promote() == 1
    clock.advance(1)
    assert await queue.promote() == 1
    assert [(t.job, t.tries) for t in await queue.take(2, 0)] == [(a.job, 0), (b.job, 1)]


async def test_two_sweepers_promote_a_job_once(queue_of: QueueOf, clock: ManualClock, job: JobOf) -> None:
    me, you = queue_of("me"), queue_of("you")
    await me.add([job("a")])
    await me.put_off(await me.take(1, 0), 1)
    clock.advance(2)
    assert sum(await asyncio.gather(me.promote(), you.promote())) == 1
    assert await names(me) == ["a"]


async def test_what_is_put_off_is_bounded_and_the_rest_counted(queue_of: QueueOf, job: JobOf, tally: Tally) -> None:
    queue = queue_of("me", 2)
    for n, must in enumerate((True, False, True, False)):
        await queue.add([job(str(n), must=must)])
        await queue.put_off(await queue.take(1, 0), 1)
    assert await queue.later() == 2
    assert tally.shed == [("3", "full")]  # frame 2 must be done: it is found in MongoDB


async def test_what_is_found_again_is_added_once_a_minute(queue: InferenceQueue, redis: Redis, job: JobOf) -> None:
    assert (await queue.add_again([job("a", must=True), job("b", must=True)])).queued == 2
    assert (await queue.add_again([job("b", must=True), job("c", must=True)])).queued == 1
    assert (await queue.add_again([job("b", must=True, enrichment="other")])).queued == 1
    assert 50 < await redis.client.ttl("infer:queued:look:b") <= 60
    assert (await queue.add_again([])).queued == 0


async def test_a_wipe_of_redis_is_survived_by_those_that_add_and_take(
    queue: InferenceQueue, redis: Redis, job: JobOf
) -> None:
    await queue.add([job("a"), job("b")])
    taken = await queue.take(1, 0)
    await redis.client.flushdb()
    await redis.client.script_flush()
    await queue.done(taken)
    await queue.renew(taken)
    assert await queue.claim_stuck(0) == []
    assert await names(queue) == []
    await redis.client.flushdb()
    await queue.add([job("c")])
    await queue.drop_gone_consumers(0)
    assert await names(queue) == ["c"]
    await redis.client.flushdb()
    assert await total(queue) == (0, 0)
    await queue.put_off([], 1)
    assert await queue.promote() == 0


async def test_entries_that_are_no_jobs_are_dropped(queue: InferenceQueue, redis: Redis, job: JobOf) -> None:
    await redis.client.xadd("infer:normal", {b"job": b"\xc1"})
    await redis.client.xadd("infer:normal", {b"other": b"thing"})
    await queue.add([job("a")])
    assert await names(queue) == ["a"]
    assert await total(queue) == (0, 1)


async def test_consumers_that_hold_nothing_are_forgotten(queue_of: QueueOf, redis: Redis, job: JobOf) -> None:
    me, gone = queue_of("me"), queue_of("gone")
    await me.add([job("a")])
    await gone.take(1, 0, urgencies=("high",))
    assert len(await me.take(1, 0)) == 1
    await asyncio.sleep(0.02)
    await me.drop_gone_consumers(0.01)
    assert [c["name"] for c in await redis.client.xinfo_consumers("infer:normal", "models")] == [b"me"]
    assert await redis.client.xinfo_consumers("infer:high", "models") == []


async def test_a_redis_that_is_not_there_is_said_by_name(clock: ManualClock, tally: Tally, job: JobOf) -> None:
    async with open_redis(RedisConfig(url="redis://127.0.0.1:1/0")) as redis:
        queue = InferenceQueue(redis, clock, tally, consumer="me")
        for call in (queue.add([job("a")]), queue.take(1, 0), queue.depth(), queue.claim_stuck(1), queue.promote()):
            with pytest.raises(RedisUnavailable):
                await call
    assert not tally.shed  # whoever adds knows what became of it


# Waiting.


@pytest.fixture
async def listening(config: Config, tally: Tally) -> AsyncIterator[InferenceQueue]:
    async with (
        open_redis(config.redis) as redis,
        open_inference_queue(redis, SystemClock(), tally, consumer="ear", max_waiting=100) as queue,
    ):
        while not queue.is_listening:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.005)
        yield queue


@pytest.mark.parametrize("urgency", URGENCIES)
async def test_a_job_that_is_added_while_one_waits_is_given_at_once(
    listening: InferenceQueue, queue: InferenceQueue, job: JobOf, urgency: Urgency
) -> None:
    waiting = asyncio.create_task(listening.take(1, 20))
    await asyncio.sleep(0.1)
    began_s = time.perf_counter()
    await queue.add([job("a", urgency=urgency)])
    [taken] = await waiting
    assert time.perf_counter() - began_s < 0.4  # before it would have looked by itself
    assert taken.job.frame_id == "a"


@pytest.mark.alone
async def test_the_wait_costs_a_few_milliseconds(listening: InferenceQueue, queue: InferenceQueue, job: JobOf) -> None:
    waits = []
    for n in range(200):
        waiting = asyncio.create_task(listening.take(1, 5))
        await asyncio.sleep(0.003)
        began_s = time.perf_counter()
        await queue.add([job(str(n), urgency=URGENCIES[n % 3])])
        taken = await waiting
        waits.append(time.perf_counter() - began_s)
        await listening.done(taken)
    assert sorted(waits)[100] < 0.005


async def test_waiting_ends_when_the_time_is_over(listening: InferenceQueue) -> None:
    began_s = time.monotonic()
    assert await listening.take(1, 0.15) == []
    assert 0.14 < time.monotonic() - began_s < 2


async def test_without_anybody_listening_jobs_are_found_all_the_same(config: Config, tally: Tally, job: JobOf) -> None:
    async with open_redis(config.redis) as redis:
        queue = InferenceQueue(redis, SystemClock(), tally, consumer="me")
        waiting = asyncio.create_task(queue.take(1, 10))
        await asyncio.sleep(0.05)
        await queue.add([job("a")])
        assert len(await waiting) == 1


async def test_a_wait_that_is_cancelled_loses_nothing(listening: InferenceQueue, job: JobOf) -> None:
    began_s = time.monotonic()
    for n in range(20):
        waiting = asyncio.create_task(listening.take(1, 5))
        await asyncio.sleep(0.0005 * n)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    assert time.monotonic() - began_s < 4
    await listening.add([job("a")])
    assert len(await listening.take(1, 1)) == 1
