"""Takes jobs from the queue, has them done, and hands them back: done, to be tried again, or given up."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from datamanager.errors import RedisUnavailable, Unavailable
from datamanager.observability import METRICS, get_logger
from datamanager.storage.jobs import Job, JobQueue, Priority, TakenJob
from datamanager.worker.handlers import Handler, Handlers, Outcome
from datamanager.worker.outage import Outage

__all__ = ["Runner"]

_BLOCK_S = 0.5  # how long one look into an empty queue takes, and so how long leaving may take
_BATCH = 32  # enough that writing in bulk pays, few enough that a batch takes less than a second or two
_URGENT_BATCH = 4

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Lane:
    """One loop that takes and does jobs.

    What somebody waits for has a lane of its own, so that no batch is in its way; the rest has two, so that one
    computes while the other writes. What takes seconds each goes by itself, and so does what
    looks at streams again and again.
    """

    priorities: tuple[Priority, ...]
    batch: int


_LANES = (
    _Lane(("high",), _URGENT_BATCH),
    _Lane(("normal", "low"), _BATCH),
    _Lane(("normal", "low"), _BATCH),
    _Lane(("slow",), 1),
    _Lane(("analysis",), _URGENT_BATCH),
)


class Runner:
    """Does jobs until it is stopped.

    Args:
        queue: where jobs come from.
        handlers: who does which kind.
        job_timeout_s: a job that nobody renewed for this long is taken over by another worker.
    """

    def __init__(self, queue: JobQueue, handlers: Handlers, *, job_timeout_s: float) -> None:
        self._queue = queue
        self._handlers = handlers
        self._job_timeout_s = job_timeout_s

    async def run(self, stop: asyncio.Event) -> None:
        """Takes and does jobs until `stop` is set, then finishes those it has taken."""
        async with asyncio.TaskGroup() as lanes:
            for lane in _LANES:
                lanes.create_task(self._run_lane(lane, stop))

    async def settle(self, taken: Sequence[TakenJob], outcomes: Sequence[Outcome], delay_s: float = 1.0) -> None:
        """Hands jobs back by what came of them. Those that could not be tried wait `delay_s`.

        Raises:
            Unavailable: Redis does not answer, or a handler could not abandon a job; the jobs are claimed later.
        """
        pairs = list(zip(taken, outcomes, strict=True))
        await self._queue.done([t for t, outcome in pairs if outcome is None])
        await self._queue.put_off([t for t, outcome in pairs if isinstance(outcome, Unavailable)], delay_s)
        failed = [(t, o) for t, o in pairs if o is not None and not isinstance(o, Unavailable)]
        await self._queue.retry([t for t, _ in failed if not self._queue.is_last_try(t)])
        for job, error in failed:
            _log.warning("job failed", kind=job.job.kind, key=job.job.key, tries=job.job.tries + 1, error=_text(error))
            if self._queue.is_last_try(job):
                await self._give_up(job, _text(error))
        for job, outcome in pairs:
            METRICS.jobs.labels(job.job.kind, _word(outcome)).inc()

    async def _run_lane(self, lane: _Lane, stop: asyncio.Event) -> None:
        # Two, since an empty queue says nothing about the servers that jobs need.
        of_redis, of_stores = Outage(stop), Outage(stop)
        while not stop.is_set():
            try:
                taken = await self._queue.take(lane.batch, priorities=lane.priorities, block_s=_BLOCK_S)
                away = await self._do(taken, of_stores.delay_s)
            except Unavailable as exc:
                await of_redis.wait(exc)
                continue
            of_redis.over()
            if away is not None:
                await of_stores.wait(away)
            elif taken:
                of_stores.over()

    async def _do(self, taken: Sequence[TakenJob], delay_s: float) -> Unavailable | None:
        """Does jobs and hands them back; returns which server was away, if one was."""
        away: Unavailable | None = None
        for kind in {t.job.kind for t in taken}:
            some = [t for t in taken if t.job.kind == kind]
            handler = self._handlers.get(kind)
            if handler is None:
                for job in some:
                    await self._queue.bury(job, f"no handler for jobs of kind {kind!r}")
                continue
            began_s = time.perf_counter()
            async with self._renewed(some):
                outcomes = await _run(handler, [t.job for t in some])
                await self.settle(some, outcomes, delay_s)
            for _ in some:
                METRICS.job_s.labels(kind).observe(time.perf_counter() - began_s)
            away = next((o for o in outcomes if isinstance(o, Unavailable)), away)
        return away

    async def _give_up(self, taken: TakenJob, error: str) -> None:
        # First the truth, then the queue: dying in between leaves a job that is claimed and given up again.
        handler = self._handlers.get(taken.job.kind)
        if handler is not None:
            await handler.abandon(taken.job, error)
        await self._queue.bury(taken, error)

    @asynccontextmanager
    async def _renewed(self, taken: Sequence[TakenJob]) -> AsyncIterator[None]:
        """Keeps others from claiming jobs while they are being done here."""
        task = asyncio.create_task(self._renew(taken))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _renew(self, taken: Sequence[TakenJob]) -> None:
        while True:
            await asyncio.sleep(self._job_timeout_s / 3)
            try:
                await self._queue.renew(taken)
            except RedisUnavailable as exc:
                _log.info("jobs not renewed; they may be done twice", error=str(exc))


async def _run(handler: Handler, jobs: Sequence[Job]) -> Sequence[Outcome]:
    try:
        return await handler.run(jobs)
    except Exception as exc:  # noqa: BLE001  # whatever it is, it is the outcome of these jobs
        return [exc] * len(jobs)


def _text(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"


def _word(outcome: Outcome) -> str:
    if outcome is None:
        return "done"
    return "put_off" if isinstance(outcome, Unavailable) else "failed"
