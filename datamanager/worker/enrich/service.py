"""Takes frames that models are asked about, brings them to the models' lanes, and writes what comes out of these."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datamanager.clock import Clock
from datamanager.config import InferenceConfig
from datamanager.errors import DatamanagerError, RedisUnavailable, Unavailable
from datamanager.inference.shedding import ShedReason, choose_shed
from datamanager.observability import METRICS, get_logger
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.events import EventLog, metrics_event
from datamanager.storage.inference_job import TakenInference
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.models import Models
from datamanager.storage.results import Result, ResultStore
from datamanager.storage.s3 import S3
from datamanager.worker.enrich.answers import unanswered
from datamanager.worker.enrich.gpu import GpuWatch
from datamanager.worker.enrich.lane import Lane
from datamanager.worker.enrich.originals import Originals
from datamanager.worker.enrich.roster import Roster
from datamanager.worker.enrich.tally import Tally
from datamanager.worker.enrich.waiting import Waiting
from datamanager.worker.outage import Outage

__all__ = ["EnrichService"]

_log = get_logger(__name__)
_TAKE = 32
_WAIT_FOR_MODEL_S = 0.25
_FINISH_S = 20.0
_REPORT_S = 1.0
_TELL_S = 5.0


class EnrichService:
    """Run `run` as a task; any number of workers may.

    Args:
        queue: frames that wait.
        rules: which model looks at what.
        models: the models.
        store: where results go.
        s3: holds the frames.
        clock: tells how long a frame waited.
        config: device, targets and limits.
        folder: where models are kept on this machine.
        events: told of how inference goes.
        gpu: reads GPUs from when the first model is on one.
        name: of this worker, as `/models` tells it.
        job_timeout_s: jobs that nobody renewed for this long are taken over by another worker.
    """

    def __init__(
        self,
        queue: InferenceQueue,
        rules: Enrichments,
        models: Models,
        store: ResultStore,
        s3: S3,
        clock: Clock,
        config: InferenceConfig,
        folder: Path,
        events: EventLog,
        gpu: GpuWatch,
        *,
        name: str,
        job_timeout_s: float,
    ) -> None:
        self._queue = queue
        self._models = models
        self._store = store
        self._clock = clock
        self._config = config
        self._events = events
        self._name = name
        self._job_timeout_s = job_timeout_s
        self._originals = Originals(s3, clock, room_bytes=config.waiting_bytes)
        self._roster = Roster(rules, models, self, self._originals, clock, config, folder, gpu)
        self._tally = Tally(clock)
        self._held: dict[bytes, Waiting] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Has models look at frames until `stop` is set, then finishes those it has taken."""
        async with asyncio.TaskGroup() as group:  # a lane that breaks ends the worker: another one claims what it held
            self._roster.open(group)
            beside = [
                group.create_task(work)
                for work in (self._queue.listen(), self._roster.run(), self._renew(), self._report(), self._tell())
            ]
            try:
                await self._pull(stop)
                await self._finish()
            finally:
                for task in beside:
                    task.cancel()
                await self._roster.close()
                self._originals.close()

    async def receive(self, taken: Sequence[TakenInference]) -> None:
        """Takes in jobs that this worker holds.

        Raises:
            Unavailable: some of them could not be handed on; they are claimed later.
        """
        if not taken:
            return
        by_job = {id(t.job): t for t in taken}
        late = choose_shed([t.job for t in taken], self._clock.now_ns(), max_age_s=self._config.shed_after_s)
        self._tally.shed(job for job, _ in late.shed)
        await self._queue.shed([by_job[id(job)] for job, _ in late.shed], "age")
        kept = [by_job[id(job)] for job in late.kept]
        if self._roster.rules is None:
            await self._roster.look()
        no_room: defaultdict[Lane | None, list[TakenInference]] = defaultdict(list)
        for one in kept:
            await self._place(one, no_room)
        for lane, some in no_room.items():
            await self._turn_back(lane, some)

    async def _place(self, taken: TakenInference, no_room: defaultdict[Lane | None, list[TakenInference]]) -> None:
        """Brings a job to its model's lane, or among those that have no room there; away where nobody asks for it any more."""
        rules, job = self._roster.rules or {}, taken.job
        rule, lane = rules.get(job.enrichment), self._roster.lane(job.model)
        if rule is None or not rule.enabled:  # it was removed meanwhile: nobody waits for this any more
            await self._store.no_longer_due([(job.frame_id, job.enrichment)] if job.must else [])
            await self._queue.done([taken])
        elif lane is None and (why := self._roster.why_not(job.model)) is not None:
            await self.give_up(taken, why)
        elif lane is None or lane.is_full:
            no_room[lane].append(taken)
        else:
            output = f"{job.stream}/{rule.output or lane.host.file.manifest.stream}"
            frame = Waiting(taken, rule, output)
            self._held[taken.entry_id] = frame
            lane.put(frame)

    async def _turn_back(self, lane: Lane | None, taken: Sequence[TakenInference]) -> None:
        """Has jobs come again that found no room, or no lane yet; a full lane's that need not are shed."""
        if lane is None:
            await self._queue.put_off(taken, _WAIT_FOR_MODEL_S)
            return
        others = [t for t in taken if not t.job.must]
        self._tally.shed(t.job for t in others)
        await self._queue.shed(others, "full")
        must = [t for t in taken if t.job.must]
        if must:
            turns = lane.book(len(must))
            await self._queue.put_off(must, turns.first_s, apart_s=turns.apart_s)

    async def give_up(self, taken: TakenInference, why: str) -> None:
        """Writes that a frame could not be looked at, and hands its job back as done.

        Raises:
            Unavailable: it is claimed later.
        """
        job = taken.job
        rule, known = (self._roster.rules or {}).get(job.enrichment), self._roster.known.get(job.model)
        _log.warning("a frame is not looked at", model=job.model, frame_id=job.frame_id, error=why[:200])
        if rule is not None:
            output = f"{job.stream}/{rule.output or (known.output if known is not None else job.model)}"
            task = known.task if known is not None else "raw"
            await self._store.write([unanswered(job, output, task, "failed", why, now_ns=self._clock.now_ns())])
        await self._store.no_longer_due([(job.frame_id, job.enrichment)] if job.must else [])
        await self._queue.done([taken])

    async def _pull(self, stop: asyncio.Event) -> None:
        outage = Outage(stop)
        while not stop.is_set():
            try:
                await self.receive(await self._queue.take(_TAKE, block_s=0.5))
            except Unavailable as error:
                await outage.wait(error)
            else:
                outage.over()

    async def _finish(self) -> None:
        """Waits until what was taken is done, for a while."""
        until_s = self._clock.monotonic_s() + _FINISH_S
        while self._held and self._clock.monotonic_s() < until_s:
            await self._clock.sleep(0.02)

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._job_timeout_s / 3)
            try:
                await self._queue.renew([frame.taken for frame in self._held.values()])
            except RedisUnavailable as error:
                _log.info("frames not renewed; they may be looked at twice", error=error.detail[:200])

    async def _report(self) -> None:
        """Says how models stand here, for metrics and for whoever asks for them."""
        while True:
            try:
                await self._models.report(self._name, self._roster.reports())
            except Unavailable as error:
                _log.debug("how models stand here is not told", error=error.detail[:200])
            await self._clock.sleep(_REPORT_S)

    async def _tell(self) -> None:
        """Tells every few seconds how inference went, where anything did."""
        while True:
            await self._clock.sleep(_TELL_S)
            said = self._tally.take()
            if said is None:
                continue
            try:
                states = await self._queue.depth()
                said["queue"] = {urgency: state.waiting for urgency, state in states.items()}
                await self._events.publish([metrics_event(self._name, said, self._clock.now_ns())])
            except RedisUnavailable as error:
                _log.debug("how inference went is not told", error=error.detail[:200])

    # What lanes ask for.

    async def settle(self, frames: Sequence[Waiting], results: Sequence[Result]) -> None:
        """Writes the results of frames, and hands their jobs back as done.

        Raises:
            Unavailable: MongoDB does not answer.
        """
        try:
            await self._store.write(results)
        except Unavailable:
            raise
        except DatamanagerError as error:
            _log.error("results cannot be kept as they are", results=len(results), error=error.detail[:300])
            await self._store.write([_failed(result, error.detail) for result in results])
        await self._store.no_longer_due([(f.job.frame_id, f.job.enrichment) for f in frames if f.job.must])
        self._tally.add(results)
        for result in results:
            METRICS.results.labels(result.model, result.status).inc()
            METRICS.enrichment_s.labels(result.model).observe(result.total_ms / 1000)
        try:
            await self._queue.done(self._let_go(frames))
        except RedisUnavailable as error:  # they are claimed, and found to be done
            _log.info("finished frames stay in the queue", frames=len(frames), error=error.detail[:200])

    async def put_off(self, frames: Sequence[Waiting], delay_s: float, *, tried: bool) -> None:
        """Hands jobs back to be tried later; what Redis does not take is found again by a sweep."""
        try:
            await self._queue.put_off(self._let_go(frames), delay_s, tried=tried)
        except RedisUnavailable as error:
            _log.info("frames are claimed or swept later", frames=len(frames), error=error.detail[:200])

    async def shed(self, frames: Sequence[Waiting], by: ShedReason) -> None:
        """Gives frames up, counted."""
        self._tally.shed(frame.job for frame in frames)
        try:
            await self._queue.shed(self._let_go(frames), by)
        except RedisUnavailable as error:
            _log.info("frames that came too late stay in the queue", frames=len(frames), error=error.detail[:200])

    def _let_go(self, frames: Sequence[Waiting]) -> list[TakenInference]:
        for frame in frames:
            self._held.pop(frame.taken.entry_id, None)
            frame.let_go()
        return [frame.taken for frame in frames]


def _failed(result: Result, why: str) -> Result:
    return replace(
        result, status="failed", reason=f"it cannot be kept: {why}"[:500], values={}, boxes=None, vector=None, extra={}
    )
