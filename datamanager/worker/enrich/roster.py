"""Which rules hold, which models they name, and the lane of each of these models: loaded, swapped, closed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from datamanager.clock import Clock
from datamanager.config import InferenceConfig
from datamanager.errors import DatamanagerError, Refused, Unavailable
from datamanager.inference.host import ModelFailed
from datamanager.inference.manifest import read_manifest
from datamanager.observability import METRICS, get_logger
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.model_reports import ModelReport
from datamanager.storage.models import Models, StoredModel
from datamanager.worker.enrich.gpu import GpuWatch
from datamanager.worker.enrich.hosts import ModelFile, ModelHost
from datamanager.worker.enrich.lane import Lane, Outlets
from datamanager.worker.enrich.originals import Originals
from datamanager.worker.enrich.waiting import Waiting

__all__ = ["Roster"]

_log = get_logger(__name__)
_LOOK_S = 1.0  # how soon a new rule or version is seen without a word from Redis
_MOST_PASSED = 3
_LOAD_AGAIN_S = 60.0
_RETIRE_LOOK_S = 0.2
_STATES = {"closed": 0, "half_open": 1, "open": 2}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A version that cannot be loaded; it is tried again, for it may have been for want of memory."""

    version: str
    why: str
    until_s: float


class Roster:
    """Keeps a lane for each model that a rule on frames names. Run `run` as a task, in a group that its lanes run in too.

    Attributes:
        rules: by name, those that hold; None until they were read.
        known: the models that there are, in the versions in use.

    Args:
        rules: where rules are kept.
        models: where models are kept.
        outlets: where frames go from lanes.
        originals: fetches what frames are looked at by.
        clock: paces looks, batches and breakers.
        config: device, targets and limits.
        folder: where models are kept on this machine.
        gpu: reads GPUs from when the first model is on one.
    """

    def __init__(
        self,
        rules: Enrichments,
        models: Models,
        outlets: Outlets,
        originals: Originals,
        clock: Clock,
        config: InferenceConfig,
        folder: Path,
        gpu: GpuWatch,
    ) -> None:
        self.rules: Mapping[str, Enrichment] | None = None
        self.known: Mapping[str, StoredModel] = {}
        self._rules_store = rules
        self._models = models
        self._outlets = outlets
        self._originals = originals
        self._clock = clock
        self._config = config
        self._folder = folder
        self._gpu = gpu
        self._revision: int | None = None
        self._stamp: str | None = None
        self._lanes: dict[str, Lane] = {}
        self._spares: dict[str, Lane] = {}  # on the CPU, for models that are on a GPU
        self._running: dict[Lane, asyncio.Task[None]] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._refused: dict[str, _Refusal] = {}  # by model
        self._group: asyncio.TaskGroup

    def open(self, group: asyncio.TaskGroup) -> None:
        """Lanes run in this group: one that breaks ends it."""
        self._group = group

    async def close(self) -> None:
        """Ends every lane and its model."""
        for task in self._loading.values():
            task.cancel()
        for lane in list(self._running):
            await self._end(lane)

    def lane(self, model: str) -> Lane | None:
        """The lane of a model; None where it has none yet, or none at all."""
        return self._lanes.get(model)

    def why_not(self, model: str) -> str | None:
        """Why a model has no lane and gets none for now; None where it is on its way."""
        if model not in self.known:
            return f"there is no model {model!r}"
        refusal = self._refused.get(model)
        return None if refusal is None else refusal.why

    async def run(self) -> None:
        """Follows rules and models until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                _log.info("rules and models stay as they were", error=error.detail[:200])
            await self._rules_store.notices.wait(_LOOK_S)

    def reports(self) -> list[ModelReport]:
        """How each model stands here."""
        for lanes, device in ((self._lanes, self._config.device), (self._spares, "cpu")):
            for lane in lanes.values():
                METRICS.breaker.labels(lane.name, device).set(_STATES[lane.breaker.state])
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
            known = self.known.get(name)
            if known is not None:
                state = "loading" if refusal is None else "failed"
                reports.append(
                    ModelReport(name=name, version=known.version, state=state, error=refusal.why if refusal else "")
                )
        return reports

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

    async def look(self) -> None:
        """Reads rules and models, and begins to load what is named and not there."""
        if (models := await self._models.newer(self._stamp)) is not None:
            self._stamp, self.known = models
        if (rules := await self._rules_store.newer(self._revision)) is not None:
            self._revision, self.rules = rules[0], {rule.name: rule for rule in rules[1]}
        wanted = {rule.model for rule in (self.rules or {}).values() if rule.enabled and rule.kind == "images"}
        fallbacks = {_fallback_of(self.known[name]) for name in wanted & self.known.keys()}
        wanted = (wanted | fallbacks) & self.known.keys()
        for name in wanted:
            lane, stored = self._lanes.get(name), self.known[name]
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
            self._group.create_task(self._retire(self._spares.pop(name)))
        if is_on_gpu:
            self._gpu.begin()
            spare = ModelHost(host.file, replace(self._config, device="cpu"))
            await spare.__aenter__()  # its process starts when it is first needed
            self._spares[name] = self._start(spare, is_on_gpu=False)

    def _start(self, host: ModelHost, *, is_on_gpu: bool) -> Lane:
        lane = Lane(
            host,
            self._outlets,
            self._originals,
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

    async def _retire(self, lane: Lane) -> None:
        """Ends a lane that gets no more frames once those that it has are done."""
        while lane in self._running and not lane.is_idle:
            await self._clock.sleep(_RETIRE_LOOK_S)
        if lane in self._running:
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
