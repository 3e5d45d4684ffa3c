"""Finds work that has got lost: delayed jobs that are due, jobs whose worker died, frames and sessions whose job Redis lost."""

import asyncio

from datamanager.clock import Clock
from datamanager.errors import ProcessDied
from datamanager.observability import get_logger
from datamanager.storage.derivations import Derivations
from datamanager.storage.floors import Floors
from datamanager.storage.jobs import JobQueue
from datamanager.storage.rollup import rollup_job
from datamanager.storage.tiers import FrameTiers, tiers_job
from datamanager.worker.outage import repeat_both
from datamanager.worker.runner import Runner

__all__ = ["Sweep"]

_PROMOTE_S = 0.5  # how exactly a delayed job comes when it is due
_ENOUGH_WAITING = 1000  # with so much to do, what got lost can wait: looking for it would find what is only late
_MOST_FOUND = 10_000  # of one sweep
_CONSUMER_IDLE_S = 3600.0
_ROLLUP_S = 300.0  # a session that is being recorded is rolled up so often: reading so many new blocks costs little

_log = get_logger(__name__)


class Sweep:
    """Looks for lost work, again and again. Any number of workers may do so at once.

    Args:
        queue: where lost jobs go.
        runner: settles jobs whose worker died.
        frames: tells which frames wait for tiers.
        derivations: tells of which sounds and videos something is to be derived.
        floors: tells which sessions have something to roll up.
        clock: tells when the next sweep is due.
        interval_s: seconds between two sweeps, and how long a frame waits before its job counts as lost.
        job_timeout_s: a job not renewed for this long has lost its worker.
    """

    def __init__(
        self,
        queue: JobQueue,
        runner: Runner,
        frames: FrameTiers,
        derivations: Derivations,
        floors: Floors,
        clock: Clock,
        *,
        interval_s: float,
        job_timeout_s: float,
    ) -> None:
        self._queue = queue
        self._runner = runner
        self._frames = frames
        self._derivations = derivations
        self._floors = floors
        self._clock = clock
        self._interval_s = interval_s
        self._job_timeout_s = job_timeout_s

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps until `stop` is set."""
        often_s = min(_PROMOTE_S, self._interval_s)
        await repeat_both(stop, self._clock, self._queue.promote, self._round, often_s)

    async def _round(self) -> float:
        await self.sweep()
        return self._interval_s

    async def sweep(self) -> None:
        """One round.

        Raises:
            Unavailable: MongoDB or Redis does not answer.
        """
        await self._take_over()
        await self._find_lost()
        await self._queue.drop_gone_consumers(_CONSUMER_IDLE_S)

    async def _take_over(self) -> None:
        stuck = await self._queue.claim_stuck(self._job_timeout_s)
        if stuck:
            _log.warning("took over jobs whose worker is gone", jobs=len(stuck))
            # It may have died of one of them: each counts as tried, so that none kills workers for ever.
            await self._runner.settle(stuck, [ProcessDied("the worker that did it is gone")] * len(stuck))

    async def _find_lost(self) -> None:
        depth = await self._queue.depth()
        if sum(count for name, count in depth.items() if name != "dead") >= _ENOUGH_WAITING:
            return
        due = [rollup_job(*place) async for place in self._floors.due(_ROLLUP_S, _MOST_FOUND)]
        await self._queue.enqueue(due)
        found = 0
        async for frame_ids in self._frames.pending(self._interval_s):
            found += await self._queue.enqueue([tiers_job(frame_id, priority="low") for frame_id in frame_ids])
            if found >= _MOST_FOUND:
                break
        if found:
            _log.info("queued again what waits for tiers and has no job", frames=found)
        await self._find_lost_derivations()

    async def _find_lost_derivations(self) -> None:
        found = 0
        async for jobs in self._derivations.pending(self._interval_s):
            found += await self._queue.enqueue(jobs)
            if found >= _MOST_FOUND:
                break
        if found:
            _log.info("queued again what is to be derived and has no job", jobs=found)
