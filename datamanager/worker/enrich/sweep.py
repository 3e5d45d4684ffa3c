"""Finds frames that have got lost on their way to a model: put off and due again, held by a worker that died, or not in Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from datamanager.clock import Clock
from datamanager.observability import get_logger
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.inference_job import InferenceJob, TakenInference
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.unenriched import Unenriched
from datamanager.worker.outage import repeat_both

__all__ = ["EnrichSweep"]

_PROMOTE_S = 0.1  # how exactly a frame that was put off comes when it is due
_ENOUGH_WAITING = 1000  # with so much to do, what got lost can wait: looking for it would find what is only late
_MOST_FOUND = 1000  # of one round
_MOST_CLAIMED = 100  # likewise, of each urgency
_HURRY_S = 1.0  # until the next round when this one found as many as it may
_CONSUMER_IDLE_S = 3600.0
_MAX_TRIES = 10  # workers that held a frame and died; models have processes of their own, which may die more often

_log = get_logger(__name__)


class EnrichSweep:
    """Looks for lost frames, again and again. Any number of workers may do so at once.

    Args:
        queue: where lost frames go, as the consumer that `receive` takes them in for.
        unenriched: tells which frames must be looked at and were not yet.
        rules: tells by which rule.
        receive: takes in frames that a dead worker held and this one does now.
        give_up: notes of such a frame that it failed, and why.
        clock: tells when the next sweep is due.
        interval_s: seconds between two sweeps, and how long a frame is due before it counts as lost.
        job_timeout_s: a frame not renewed for this long has lost its worker.
    """

    def __init__(
        self,
        queue: InferenceQueue,
        unenriched: Unenriched,
        rules: Enrichments,
        receive: Callable[[Sequence[TakenInference]], Awaitable[None]],
        give_up: Callable[[TakenInference, str], Awaitable[None]],
        clock: Clock,
        *,
        interval_s: float,
        job_timeout_s: float,
    ) -> None:
        self._queue = queue
        self._unenriched = unenriched
        self._rules = rules
        self._receive = receive
        self._give_up = give_up
        self._clock = clock
        self._interval_s = interval_s
        self._job_timeout_s = job_timeout_s

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps until `stop` is set."""
        often_s = min(_PROMOTE_S, self._interval_s)
        await repeat_both(stop, self._clock, self._queue.promote, self._round, often_s)

    async def _round(self) -> float:
        is_all = await self.sweep()
        return self._interval_s if is_all else _HURRY_S

    async def sweep(self) -> bool:
        """One round.

        Returns:
            False when there may be more to find at once.

        Raises:
            Unavailable: MongoDB or Redis does not answer.
        """
        rules = await self._rules.all()
        is_all = await self._take_over()
        is_all &= await self._find_lost([rule for rule in rules if rule.enabled and rule.kind == "images"])
        gone = await self._unenriched.forget_gone([rule.name for rule in rules], self._interval_s, _MOST_FOUND)
        if gone:
            _log.warning("frames will not be looked at by rules that were removed", frames=gone)
        await self._queue.drop_gone_consumers(_CONSUMER_IDLE_S)
        return is_all and gone < _MOST_FOUND

    async def _take_over(self) -> bool:
        stuck = await self._queue.claim_stuck(self._job_timeout_s, _MOST_CLAIMED)
        if not stuck:
            return True
        _log.warning("took over frames whose worker is gone", frames=len(stuck))
        for taken in stuck:
            if taken.tries >= _MAX_TRIES:
                await self._give_up(taken, f"{taken.tries} workers that were to look at it died")
        await self._receive([taken for taken in stuck if taken.tries < _MAX_TRIES])
        return len(stuck) < _MOST_CLAIMED

    async def _find_lost(self, rules: Sequence[Enrichment]) -> bool:
        if await self._queue.later() >= _ENOUGH_WAITING:
            return True  # models fail or servers are away, and what is due would be found among what waits for them
        states = await self._queue.depth()
        idle = {
            urgency
            for urgency, state in states.items()
            if state.waiting < _ENOUGH_WAITING and state.oldest_s < self._interval_s
        }
        # One that need not look at every frame any more may still owe some.
        asked = [rule for rule in rules if rule.urgency in idle]
        if not asked:
            return True
        jobs: list[InferenceJob] = await self._unenriched.overdue(asked, self._interval_s, _MOST_FOUND)
        added = await self._queue.add_again(jobs)
        if added.queued:
            _log.info("queued again what must be looked at and has no job", frames=added.queued)
        return len(jobs) < _MOST_FOUND or not added.queued
