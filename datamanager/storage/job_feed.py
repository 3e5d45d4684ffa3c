"""Queues jobs behind the back of whoever asks: asking never waits and never fails."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.jobs import Job, JobQueue

__all__ = ["JobFeed", "open_job_feed"]

_MAX_WAITING = 20_000  # what does not fit is found again from MongoDB, as is what Redis did not take
_BATCH = 500

_log = get_logger(__name__)


class JobFeed:
    """Takes jobs at once and queues them later, in bulk.

    What a job is to do must stand in MongoDB before it is offered here: a job that does not fit, or that Redis does
    not take, is dropped, and a sweep finds it.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._waiting: deque[Job] = deque()
        self._fresh = asyncio.Event()
        self._is_away = False

    def offer(self, jobs: Iterable[Job]) -> None:
        """Hands over jobs. Returns at once."""
        for job in jobs:
            if len(self._waiting) >= _MAX_WAITING:
                break
            self._waiting.append(job)
        self._fresh.set()

    async def drain(self) -> None:
        """Queues all that was offered so far."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                await self._queue.enqueue(batch)
            except RedisUnavailable as exc:
                if not self._is_away:
                    _log.warning("jobs are not queued until Redis is back; a sweep finds them", error=str(exc))
                self._is_away = True
            else:
                self._is_away = False

    async def run(self) -> None:
        """Queues what is offered until it is cancelled."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            await self.drain()


@asynccontextmanager
async def open_job_feed(queue: JobQueue) -> AsyncIterator[JobFeed]:
    """A feed that runs inside the block; on leaving, what was offered is queued."""
    feed = JobFeed(queue)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        await asyncio.wait({task})
        await feed.drain()
