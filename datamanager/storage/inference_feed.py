"""Queues frames for models behind the back of whoever asks: asking never waits, never fails, and holds a bounded number."""

import asyncio
from collections import deque

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.inference_job import URGENCIES, InferenceJob, ShedCounter
from datamanager.storage.inference_queue import InferenceQueue

__all__ = ["InferenceFeed"]

_MAX_HELD = 5_000  # about 4 MB
_BATCH = 500
_PAUSE_S = 0.2  # while Redis is away
_LEAVE_S = 1.0

_log = get_logger(__name__)


class InferenceFeed:
    """Takes jobs at once and queues them a moment later, in bulk, the most urgent first. Run `run` as a task.

    What must be done stands in MongoDB before it is offered here: where it does not fit, or Redis does not take it, it
    is dropped, and a sweep finds it. Of the rest the least important and oldest is given up first, and counted.

    Args:
        queue: where jobs go.
        sheds: counts what is given up.
        clock: paces tries while Redis is away.
        max_held: most jobs held here.
    """

    def __init__(self, queue: InferenceQueue, sheds: ShedCounter, clock: Clock, *, max_held: int = _MAX_HELD) -> None:
        self._queue = queue
        self._sheds = sheds
        self._clock = clock
        self._max_held = max_held
        # What must be done is never picked for shedding, so it is held apart.
        self._must: deque[InferenceJob] = deque()
        self._others: dict[str, deque[InferenceJob]] = {urgency: deque() for urgency in URGENCIES}
        self._held = 0
        self._fresh = asyncio.Event()
        self._is_away = False

    @property
    def held(self) -> int:
        """How many jobs are held now."""
        return self._held

    def offer(self, job: InferenceJob) -> None:
        """Hands over a job. Returns at once."""
        self._fresh.set()
        (self._must if job.must else self._others[job.urgency]).append(job)
        self._held += 1
        if self._held > self._max_held:
            self._held -= 1
            least = next((self._others[u] for u in reversed(URGENCIES) if self._others[u]), None)
            if least is None:
                self._must.pop()
            else:
                self._sheds.count([least.popleft()], "full")

    async def run(self) -> None:
        """Queues what is offered until it is cancelled; then what is held, when Redis takes it within a second."""
        try:
            while True:
                await self._fresh.wait()
                self._fresh.clear()
                await self.drain()
        finally:
            await self._leave()

    async def drain(self) -> None:
        """Queues all that was offered so far; what Redis does not take is given up."""
        while batch := self._next():
            try:
                await self._queue.add(batch)
            except RedisUnavailable as exc:
                if not self._is_away:
                    _log.warning("frames are not looked at until Redis is back", error=exc.detail[:200])
                self._is_away = True
                # By when it is back they would be too late; what must be done is found by the sweep.
                self._sheds.count([job for job in batch if not job.must], "lost")
                await self._clock.sleep(_PAUSE_S)
            else:
                self._is_away = False

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self.drain()
        except TimeoutError:
            left = [job for held in self._others.values() for job in held]
            self._sheds.count(left, "lost")
            _log.warning("frames are not looked at, for Redis did not take them before the end", frames=len(left))

    def _next(self) -> list[InferenceJob]:
        batch: list[InferenceJob] = []
        for held in (self._must, *(self._others[urgency] for urgency in URGENCIES)):
            while held and len(batch) < _BATCH:
                batch.append(held.popleft())
        self._held -= len(batch)
        return batch
