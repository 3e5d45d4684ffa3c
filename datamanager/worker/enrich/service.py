"""Takes frames that models are asked about, gives up those that came too late, and sees to it that each model has a lane."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datamanager.clock import Clock
from datamanager.config import InferenceConfig
from datamanager.errors import DatamanagerError, NotFound, RedisUnavailable, Refused, Unavailable
from datamanager.inference.host import ModelFailed
from datamanager.inference.manifest import read_manifest
from datamanager.inference.shedding import ShedReason, choose_shed
from datamanager.observability import METRICS, get_logger
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.inference_job import TakenInference
from datamanager.storage.inference_queue import InferenceQueue
from datamanager.storage.model_reports import ModelReport
from datamanager.storage.models import Models, StoredModel
from datamanager.storage.results import Result, ResultStore
from datamanager.storage.s3 import S3
from datamanager.worker.enrich.answers import unanswered
from datamanager.worker.enrich.gpu import GpuWatch
from datamanager.worker.enrich.hosts import ModelFile, ModelHost
from datamanager.worker.enrich.lane import Lane, Waiting
from datamanager.worker.outage import Outage

__all__ = ["EnrichService"]

_log = get_logger(__name__)
_TAKE = 32
_LOOK_S = 1.0  # how soon a new rule or version is seen without a word from Redis
_FETCHES = 16
_MOST_PASSED = 3
_WAIT_FOR_MODEL_S = 0.25
_FINISH_S = 20.0
_TELL_S = 1.0
_LOAD_AGAIN_S = 60.0
_STATES = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A version that cannot be loaded; it is tried again, for it may have been for want of memory."""

    version: str
    why: str
    until_s: float


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
        gpu: GpuWatch,
        *,
        name: str,
        job_timeout_s: float,
    ) -> None:
        self._queue = queue
        self._rules_store = rules
        self._models = models
        self._store = store
        self._s3 = s3
        self._clock = clock
        self._config = config
        self._folder = folder
        self._gpu = gpu
        self._name = name
        self._job_timeout_s = job_timeout_s
        self._rules: dict[str, Enrichment] | None = None
        self._revision: int | None = None
        self._stamp: str | None = None
        self._known: dict[str, StoredModel] = {}
        self._lanes: dict[str, Lane] = {}
        self._spares: dict[str, Lane] = {}  # on the CPU, for models that are on a GPU
        self._running: dict[Lane, asyncio.Task[None]] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, _Refusal] = {}  # by model
        self._group: asyncio.TaskGroup
        self._held: dict[bytes, Waiting] = {}
        self._fetching = asyncio.Semaphore(_FETCHES)
        self._fetches: set[asyncio.Task[bytes | None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Has models look at frames until `stop` is set, then finishes those it has taken."""
        async with asyncio.TaskGroup() as group:  # a lane that breaks ends the worker: another one claims what it held
            self._group = group
            beside = [
                group.create_task(work)
                for work in (self._queue.listen(), self._keep_current(), self._renew(), self._tell())
            ]
            try:
                await self._pull(stop)
                await self._finish()
            finally:
                for task in (*beside, *self._loading.values(), *self._running.values(), *self._fetches):
                    task.cancel()
                for lane in (*self._lanes.values(), *self._spares.values()):
                    await lane.host.__aexit__(None, None, None)

    async def receive(self, taken: Sequence[TakenInference]) -> None:
        """Takes in jobs that this worker holds.

        Raises:
            Unavailable: some of them could not be handed on; they are claimed later.
        """
        if not taken:
            return
        by_job = {id(t.job): t for t in taken}
        late = choose_shed([t.job for t in taken], self._clock.now_ns(), max_age_s=self._config.shed_after_s)
        await self._queue.shed([by_job[id(job)] for job, _ in late.shed], "age")
        kept = [by_job[id(job)] for job in late.kept]
        if self._rules is None:
            await self._look()
        for one in kept:
            await self._place(one)

    async def _place(self, taken: TakenInference) -> None:
        """Brings a job to its model's lane, or away when it can't be done now."""
        rules, job = self._rules or {}, taken.job
        rule, lane = rules.get(job.enrichment), self._lanes.get(job.model)
        if rule is None or not rule.enabled:  # it was removed meanwhile: nobody waits for this any more
            await self._store.no_longer_due([(job.frame_id, job.enrichment)] if job.must else [])
            await self._queue.done([taken])
        elif lane is None and (job.model not in self._known or job.model in self._refused):
            refusal = self._refused.get(job.model)
            await self.give_up(taken, f"there is no model {job.model!r}" if refusal is None else refusal.why)
        elif lane is None or (lane.is_full and job.must):
            await self._queue.put_off([taken], _WAIT_FOR_MODEL_S)
        elif lane.is_full:
            await self._queue.shed([taken], "full")
        else:
            output = f"{job.stream}/{rule.output or lane.host.file.manifest.stream}"
            frame = Waiting(taken, rule, output, self.fetch(job.key))
            self._held[taken.entry_id] = frame
            lane.put(frame)

    async def give_up(self, taken: TakenInference, why: str) -> None:
        """Writes that a frame could not be looked at, and hands its job back as done.

        Raises:
            Unavailable: it is claimed later.
        """
        job = taken.job
        rule, known = (self._rules or {}).get(job.enrichment), self._known.get(job.model)
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

    async def _tell(self) -> None:
        """Says how models stand here, for metrics and for whoever asks for them."""
        while True:
            for lanes, device in ((self._lanes, self._config.device), (self._spares, "cpu")):
                for lane in lanes.values():
                    METRICS.breaker.labels(lane.name, device).set(_STATES[lane.breaker.state])
            try:
                await self._models.report(self._name, self._reports())
            except Unavailable as error:
                _log.debug("how models stand here is not told", error=error.detail[:200])
            await self._clock.sleep(_TELL_S)

    def _reports(self) -> list[ModelReport]:
        reports = [
            ModelReport(
                name=lane.name,
                version=lane.host.file.manifest.version,
                state="ready" if lane.host.loaded is not None else "loading",
                providers=lane.host.loaded.providers if lane.host.loaded is not None else (),
                breaker=lane.breaker.state,
                error=lane.last_error,
            )
            for lane in self._lanes.values()
        ]
        told = {report.name for report in reports}
        for name in (self._loading.keys() | self._refused.keys()) - told:
            refusal = self._refused.get(name)
            known = self._known.get(name)
            if known is not None:
                state = "loading" if refusal is None else "failed"
                reports.append(
                    ModelReport(name=name, version=known.version, state=state, error=refusal.why if refusal else "")
                )
        return reports

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
        try:
            await self._queue.shed(self._let_go(frames), by)
        except RedisUnavailable as error:
            _log.info("frames that came too late stay in the queue", frames=len(frames), error=error.detail[:200])

    def fetch(self, key: str) -> "asyncio.Task[bytes | None]":
        """Begins to fetch an object; None of it when it is gone."""
        task = asyncio.create_task(self._fetch(key))
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)
        return task

    async def _fetch(self, key: str) -> bytes | None:
        pause_s = 0.1
        while True:
            try:
                async with self._fetching:
                    return await self._s3.get(key)
            except NotFound:
                return None
            except Unavailable as error:
                _log.warning("a frame waits for S3", error=error.detail[:200])
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, 5.0)

    def _let_go(self, frames: Sequence[Waiting]) -> list[TakenInference]:
        for frame in frames:
            self._held.pop(frame.taken.entry_id, None)
            frame.data.cancel()
        return [frame.taken for frame in frames]

    def _pass_on(self, lane: Lane, frame: Waiting) -> bool:
        """Has another device or model look at a frame: the CPU, where a GPU fails; else the model's fallback."""
        if frame.passed > _MOST_PASSED:
            return False
        spare = self._spares.get(lane.name)
        if spare is not None and spare is not lane and lane.status.last in ("cuda", "memory"):
            spare.put(frame)
            return True
        manifest = lane.host.file.manifest
        other = self._lanes.get(manifest.fallback)
        may = other is not None and other is not lane and not other.is_full and other.breaker.state != "open"
        if other is None or not may or other.host.file.manifest.task != manifest.task:  # its stream has one kind
            return False
        other.put(frame)
        return True

    # Models and rules.

    async def _keep_current(self) -> None:
        while True:
            try:
                await self._look()
            except Unavailable as error:
                _log.info("rules and models stay as they were", error=error.detail[:200])
            await self._rules_store.notices.wait(_LOOK_S)

    async def _look(self) -> None:
        """Reads rules and models, and begins to load what is named and not there."""
        if (models := await self._models.newer(self._stamp)) is not None:
            self._stamp, self._known = models
        if (rules := await self._rules_store.newer(self._revision)) is not None:
            self._revision, self._rules = rules[0], {rule.name: rule for rule in rules[1]}
        wanted = {rule.model for rule in (self._rules or {}).values() if rule.enabled and rule.kind == "images"}
        fallbacks = {_fallback_of(self._known[name]) for name in wanted & self._known.keys()}
        wanted = (wanted | fallbacks) & self._known.keys()
        for name in wanted:
            lane, stored = self._lanes.get(name), self._known[name]
            is_there = lane is not None and lane.host.file.manifest.version == stored.version
            if not is_there and name not in self._loading and self._may_load(stored):
                task = self._loading[name] = self._group.create_task(self._load(stored))
                task.add_done_callback(lambda _, n=name: self._loading.pop(n, None))  # type: ignore[misc]  # n is bound now
        for name in self._lanes.keys() - wanted:
            if self._lanes[name].is_idle:
                await self._close(name)

    def _may_load(self, stored: StoredModel) -> bool:
        refusal = self._refused.get(stored.name)
        return refusal is None or refusal.version != stored.version or self._clock.monotonic_s() > refusal.until_s

    async def _load(self, stored: StoredModel) -> None:
        """Loads a version beside the one that is there, and puts it in its place."""
        name = stored.name
        try:
            manifest = read_manifest(stored.manifest)
            file = ModelFile(manifest, await self._models.fetch(stored, self._folder))
            host = ModelHost(file, self._config)
            await host.__aenter__()
            try:
                loaded = await host.load()
            except BaseException:
                await host.__aexit__(None, None, None)
                raise
        except Unavailable as error:
            _log.info("a model waits for a server", model=name, error=error.detail[:200])
            return
        except (ModelFailed, DatamanagerError) as error:
            _log.error("a model cannot be loaded", model=name, version=stored.version, error=error.detail[:500])
            why = f"model {name!r} cannot be loaded: {error.detail}"[:500]
            self._refused[name] = _Refusal(stored.version, why, self._clock.monotonic_s() + _LOAD_AGAIN_S)
            return
        self._refused.pop(name, None)
        await self._install(name, host, is_on_gpu=not loaded.providers[0].startswith("CPU"))

    async def _install(self, name: str, host: ModelHost, *, is_on_gpu: bool) -> None:
        lane = self._lanes.get(name)
        if lane is not None:
            before = await lane.swap(host)
            await before.__aexit__(None, None, None)
        else:
            self._lanes[name] = self._start(host, is_on_gpu=is_on_gpu)
        if name in self._spares:
            await self._end(self._spares.pop(name))
        if is_on_gpu:
            self._gpu.begin()
            spare = ModelHost(host.file, replace(self._config, device="cpu"))
            await spare.__aenter__()  # its process starts when it is first needed
            self._spares[name] = self._start(spare, is_on_gpu=False)

    def _start(self, host: ModelHost, *, is_on_gpu: bool) -> Lane:
        lane = Lane(
            host,
            self,
            self._clock,
            target_s=self._config.target_ms / 1000,
            shed_after_s=self._config.shed_after_s,
            pass_on=self._pass_on,
            load=lambda: self._gpu.load if is_on_gpu else None,
        )
        self._running[lane] = self._group.create_task(lane.run())
        return lane

    async def _close(self, name: str) -> None:
        for lanes in (self._lanes, self._spares):
            lane = lanes.pop(name, None)
            if lane is not None:
                await self._end(lane)

    async def _end(self, lane: Lane) -> None:
        task = self._running.pop(lane)
        task.cancel()
        await asyncio.wait({task})
        await lane.host.__aexit__(None, None, None)


def _fallback_of(stored: StoredModel) -> str:
    try:
        return read_manifest(stored.manifest).fallback
    except Refused:  # loading it says so
        return ""


def _failed(result: Result, why: str) -> Result:
    return replace(
        result, status="failed", reason=f"it cannot be kept: {why}"[:500], values={}, boxes=None, vector=None, extra={}
    )
