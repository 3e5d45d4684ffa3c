import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.errors import S3Unavailable
from datamanager.storage.jobs import Job, JobQueue
from datamanager.storage.redis import Redis, open_redis
from datamanager.worker.handlers import each
from datamanager.worker.runner import Runner


@pytest.fixture
async def redis(config: Config) -> AsyncIterator[Redis]:
    async with open_redis(config.redis) as opened:
        yield opened


@pytest.fixture
def queue(redis: Redis) -> JobQueue:
    return JobQueue(redis, SystemClock(), consumer="me", max_tries=2)


class Recorder:
    """Does jobs by `function` and keeps what it was asked."""

    def __init__(self, function: Callable[[Job], Awaitable[None]]) -> None:
        self.function = function
        self.ran: list[str] = []
        self.abandoned: list[tuple[str, str]] = []

    async def run(self, job: Job) -> None:
        self.ran.append(job.key)
        await self.function(job)

    async def abandon(self, job: Job, error: str) -> None:
        self.abandoned.append((job.key, error))

    @property
    def table(self) -> Mapping[str, Any]:
        return {"k": each(self.run, timeout_s=1, abandon=self.abandon)}


async def run_until(queue: JobQueue, recorder: Recorder, is_over: Callable[[], Awaitable[bool]]) -> None:
    """Runs the jobs of `recorder`, promoting what is due at once, until `is_over`."""
    stop = asyncio.Event()
    running = asyncio.create_task(Runner(queue, recorder.table, job_timeout_s=60).run(stop))
    async with asyncio.timeout(20):
        while not await is_over():
            await queue.promote()
            await asyncio.sleep(0.05)
    stop.set()
    await running


async def nothing_left(queue: JobQueue) -> bool:
    return not any(count for name, count in (await queue.depth()).items() if name != "dead")


async def succeed(_: Job) -> None:
    return


async def test_every_job_is_done_once(queue: JobQueue) -> None:
    recorder = Recorder(succeed)
    await queue.enqueue([Job(kind="k", key=str(n), priority="low" if n % 2 else "high") for n in range(100)])
    await run_until(queue, recorder, lambda: nothing_left(queue))
    assert sorted(recorder.ran, key=int) == [str(n) for n in range(100)]


async def test_a_job_that_fails_always_is_given_up_after_its_tries(queue: JobQueue) -> None:
    async def fail(job: Job) -> None:
        raise ValueError(f"bad {job.key}")

    recorder = Recorder(fail)
    await queue.enqueue([Job(kind="k", key="a")])
    await run_until(queue, recorder, lambda: nothing_left(queue))
    assert recorder.ran == ["a", "a"]
    assert recorder.abandoned == [("a", "ValueError: bad a")]
    assert [dead.error for dead in await queue.dead()] == ["ValueError: bad a"]


async def test_a_job_that_hangs_fails_and_the_others_go_on(queue: JobQueue) -> None:
    async def hang(job: Job) -> None:
        if job.key == "a":
            await asyncio.sleep(60)

    recorder = Recorder(hang)
    await queue.enqueue([Job(kind="k", key="a", tries=1), Job(kind="k", key="b")])
    await run_until(queue, recorder, lambda: nothing_left(queue))
    assert recorder.ran == ["a", "b"]
    assert [key for key, _ in recorder.abandoned] == ["a"]


async def test_while_a_server_is_away_jobs_wait_and_are_not_given_up(queue: JobQueue) -> None:
    async def away(_: Job) -> None:
        if len(recorder.ran) < 4:
            raise S3Unavailable("away")

    recorder = Recorder(away)
    await queue.enqueue([Job(kind="k", key="a", tries=1)])
    await run_until(queue, recorder, lambda: nothing_left(queue))
    assert recorder.ran == ["a"] * 4
    assert recorder.abandoned == []


async def test_a_job_that_nobody_knows_is_buried(queue: JobQueue) -> None:
    await queue.enqueue([Job(kind="unheard of", key="a")])
    await run_until(queue, Recorder(succeed), lambda: nothing_left(queue))
    [dead] = await queue.dead()
    assert "unheard of" in dead.error


async def test_an_urgent_job_does_not_wait_for_a_batch(queue: JobQueue) -> None:
    async def slow(job: Job) -> None:
        if job.priority == "normal":
            await asyncio.sleep(0.1)

    recorder = Recorder(slow)
    await queue.enqueue([Job(kind="k", key=str(n)) for n in range(12)])
    stop = asyncio.Event()
    running = asyncio.create_task(Runner(queue, recorder.table, job_timeout_s=60).run(stop))
    await asyncio.sleep(0.3)
    await queue.enqueue([Job(kind="k", key="urgent", priority="high")])
    await asyncio.sleep(0.3)
    assert "urgent" in recorder.ran
    assert not await nothing_left(queue)
    stop.set()
    await running


async def test_stopping_finishes_what_was_taken(queue: JobQueue) -> None:
    ended = []
    begun = asyncio.Event()

    async def slow(job: Job) -> None:
        begun.set()
        await asyncio.sleep(0.2)
        ended.append(job.key)

    recorder = Recorder(slow)
    await queue.enqueue([Job(kind="k", key=str(n)) for n in range(3)])
    stop = asyncio.Event()
    running = asyncio.create_task(Runner(queue, recorder.table, job_timeout_s=60).run(stop))
    await begun.wait()
    stop.set()
    await running
    assert ended == ["0", "1", "2"]
    assert await nothing_left(queue)
