"""One rule and one stream, step by step. A step takes some new blocks in, and is durable as a whole or not at all.

What a step computed is put into S3 first: state, position and results in one object that nobody refers to yet. Then one
write in MongoDB makes it the truth, over the generation that it was computed from: of two workers one wins, and of a
killed one nothing is left but an object. Only then are its results written; whoever goes on finds them in the checkpoint
and writes those that lack. So what is in the streams and what was learned are those of one chain of steps, each done once.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import ConfigError, DatamanagerError, Refused, Unavailable
from datamanager.inference.host import ModelFailed
from datamanager.inference.online.channel_windows import WindowShape
from datamanager.inference.online.pipeline import Answer, Pipeline
from datamanager.inference.online.spec import OnlineSpec, read_spec
from datamanager.observability import METRICS, get_logger
from datamanager.storage.analytics import Analyses
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.follow import Follower, NewBlock, Position, begin_at
from datamanager.storage.keys import analytics_key
from datamanager.storage.mongo import Document
from datamanager.storage.results import ResultStore
from datamanager.worker.analytics.checkpoints import Checkpoint, Checkpoints
from datamanager.worker.analytics.columns import samples_of
from datamanager.worker.analytics.models import TelemetryModels
from datamanager.worker.analytics.results import Place, plain_of, result_of

__all__ = ["Steps", "Stores", "spec_of"]

_log = get_logger(__name__)
_BLOCKS = 200  # of one step
_KEPT = 64  # states that stay in memory
_TAIL_NS = 3_000_000_000  # a stream that is silent for so long, besides its lateness, has no late samples on their way
_EARLY_S = 60  # a block may be written in a generation that was opened so long before


@dataclass(frozen=True, slots=True)
class Stores:
    """What steps read and write."""

    analyses: Analyses
    follower: Follower
    checkpoints: Checkpoints
    results: ResultStore


@dataclass(slots=True)
class _Held:
    """A state in memory: that of one generation."""

    generation: int
    pipeline: Pipeline
    position: Position


class Steps:
    """Takes steps. Any number of workers may, of the same stream too.

    Args:
        stores: what they read and write.
        clock: tells how long a stream is silent.
        models: the models that rules name.
    """

    def __init__(self, stores: Stores, clock: Clock, models: TelemetryModels | None = None) -> None:
        self._stores = stores
        self._models = models
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()

    async def step(self, rule: Enrichment, place: Place, *, settle: bool = False) -> bool:
        """Takes one step, where there is something new; False when there is not.

        Args:
            rule: what is asked.
            place: robot, session, stream.
            settle: whether to note that a session in which nobody writes is looked at to its end.

        Raises:
            Unavailable: a server does not answer; nothing or all of the step has happened.
        """
        document = await self._stores.analyses.get(rule.name, *place)
        try:
            if document is not None and document["unwritten"]:
                await self._write(rule, place, document)
            return await self._next(rule, place, document, settle=settle)
        except (Unavailable, ConfigError, ModelFailed):
            self._held.pop(_name(rule, place), None)
            raise
        except DatamanagerError as error:
            self._held.pop(_name(rule, place), None)
            now = await self._stores.analyses.get(rule.name, *place)
            if (now or {}).get("generation") != (document or {}).get("generation"):
                return True  # somebody else went on meanwhile, and deleted what is behind
            await self._fail(rule, place, document, error.detail)
            return False

    async def _next(self, rule: Enrichment, place: Place, document: Document | None, *, settle: bool) -> bool:
        if document is not None and document["error"] and document["spec"] == _hash(rule):
            return False  # it stands as it is until the rule is changed
        spec = spec_of(rule)
        model = await self._models.get(rule.model) if rule.model and self._models is not None else None
        held, version = await self._state(rule, place, document, spec, None if model is None else model.shape)
        blocks, position = await self._stores.follower.new_blocks(*place, held.position, _BLOCKS)
        is_new = position != held.position
        tail = not is_new and document is not None and 0 < document["tail_ns"] <= self._clock.now_ns()
        if settle and not is_new:
            position = await self._stores.follower.settle(*place, position)
        if not tail and position == held.position and document is not None:
            return False
        del self._held[_name(rule, place)]  # it is changed now, and holds again once that is durable
        answers = await asyncio.to_thread(_look, held.pipeline, blocks, tail=tail)
        if model is not None and self._models is not None:
            scores = await self._models.scores(model, [a.question for a in answers if a.question is not None])
            threshold = model.shape.threshold if spec.anomaly is None else spec.anomaly.threshold
            answers = [
                answer if score is None else answer.told(*score, threshold)
                for answer, score in zip(answers, scores, strict=True)
            ]
        held.position = position
        tail_ns = 0 if document is None or tail else document["tail_ns"]
        lateness_ns = round(spec.windows.lateness_s * 1e9)
        if blocks and lateness_ns:
            tail_ns = self._clock.now_ns() + lateness_ns + _TAIL_NS
        is_ours = await self._commit(rule, place, document, held, version, answers, tail_ns)
        return is_new or not is_ours

    async def _commit(
        self,
        rule: Enrichment,
        place: Place,
        document: Document | None,
        held: _Held,
        version: int,
        answers: Sequence[Answer],
        tail_ns: int,
    ) -> bool:
        pipeline, generation = held.pipeline, held.generation
        key = analytics_key(*place, rule.name, generation + 1, os.urandom(6).hex())
        results = plain_of(answers)
        state = await asyncio.to_thread(pipeline.state)
        await self._stores.checkpoints.put(key, Checkpoint(position=held.position, state=state, results=results))
        fields = {
            "key": key,
            "stale": None if document is None else document["key"],
            "unwritten": bool(results) or document is not None,
            "entries": held.position["entries"],
            "newest_ns": pipeline.windower.newest_ns,
            "tail_ns": tail_ns,
            "spec": pipeline.spec.hash,
            "learned": version,
            "windows": pipeline.windows,
            "anomalies": pipeline.anomalies,
            "drifts": pipeline.drifts,
            "late": pipeline.windower.late,
            "error": "",
        }
        if not await self._stores.analyses.commit(rule.name, *place, generation, fields):
            await self._stores.checkpoints.delete(key)
            return False
        self._hold(_name(rule, place), _Held(generation + 1, pipeline, held.position))
        METRICS.analysed.labels(rule.name).inc(len(answers))
        await self._write_results(rule, place, results, version)
        await self._finish(_name(rule, place), generation + 1, fields["stale"])
        return True

    async def _write(self, rule: Enrichment, place: Place, document: Document) -> None:
        """Writes the results of a step whose worker may have died before it did."""
        if document["key"]:
            checkpoint = await self._stores.checkpoints.get(document["key"])
            await self._write_results(rule, place, checkpoint.results, document["learned"])
        await self._finish(document["_id"], document["generation"], document.get("stale"))

    async def _write_results(
        self, rule: Enrichment, place: Place, plain: Sequence[dict[str, object]], version: int
    ) -> None:
        await self._stores.results.write([result_of(each, rule, place, str(version)) for each in plain])

    async def _finish(self, name: str, generation: int, stale: str | None) -> None:
        if stale:
            await self._stores.checkpoints.delete(stale)
        await self._stores.analyses.finished(name, generation)

    async def _state(
        self,
        rule: Enrichment,
        place: Place,
        document: Document | None,
        spec: OnlineSpec,
        shape: WindowShape | None,
    ) -> tuple[_Held, int]:
        """The state to go on from, and the version of what the rule began with."""
        learned = await self._stores.analyses.learned(rule.name)
        version = 0 if learned is None or learned["spec"] != spec.hash else int(learned["version"])
        name = _name(rule, place)
        held = self._held.get(name)
        generation = 0 if document is None else document["generation"]
        is_same = document is not None and document["spec"] == spec.hash
        if held is not None and held.generation == generation and is_same and document["learned"] == version:  # type: ignore[index]  # it is one where `is_same`
            self._held.move_to_end(name)
            return held, version
        pipeline = Pipeline(spec, shape)
        if document is None or not document["key"]:
            position = None if spec.history else begin_at(await self._stores.analyses.since(rule.name) - _EARLY_S)
            held = _Held(generation, pipeline, position or begin_at(0))
        else:
            checkpoint = await self._stores.checkpoints.get(document["key"])
            if is_same:
                await asyncio.to_thread(pipeline.restore, checkpoint.state)
            # Of a rule that was changed nothing but the place is gone on from.
            held = _Held(generation, pipeline, checkpoint.position)
        if (
            version
            and learned is not None
            and not (is_same and document is not None and document["learned"] == version)
        ):
            base = await self._stores.checkpoints.get(learned["key"])
            await asyncio.to_thread(pipeline.learn_from, base.state)
        self._hold(name, held)
        return held, version

    async def _fail(self, rule: Enrichment, place: Place, document: Document | None, error: str) -> None:
        """Notes why a stream can't be looked at by a rule as it is; it is not tried again before that changes."""
        _log.warning("a stream cannot be analysed", rule=rule.name, stream="/".join(place), error=error[:300])
        fields: dict[str, Any] = {
            "unwritten": False,
            "tail_ns": 0,
            "entries": -1,
            "spec": _hash(rule),
            "error": error[:500],
        }
        if document is None:
            fields |= {"key": "", "newest_ns": -1, "learned": 0, "windows": 0, "anomalies": 0, "drifts": 0, "late": 0}
        generation = 0 if document is None else document["generation"]
        await self._stores.analyses.commit(rule.name, *place, generation, fields)

    def _hold(self, name: str, held: _Held) -> None:
        self._held[name] = held
        self._held.move_to_end(name)
        while len(self._held) > _KEPT:
            self._held.popitem(last=False)


def spec_of(rule: Enrichment) -> OnlineSpec:
    """What a rule asks. Where it names a model nothing is scored online besides, unless its options say so.

    Raises:
        Refused: its options mean nothing.
    """
    spec = read_spec(rule.options)
    if rule.model and "anomaly" not in rule.options:
        spec = msgspec.structs.replace(spec, anomaly=None)
    return spec


def _name(rule: Enrichment, place: Place) -> str:
    return "/".join((rule.name, *place))


def _hash(rule: Enrichment) -> str:
    """That of its spec; of one that cannot be read, of its options."""
    try:
        return spec_of(rule).hash
    except Refused:
        return hashlib.blake2b(repr(rule.options).encode(), digest_size=8).hexdigest()


def _look(pipeline: Pipeline, blocks: Sequence[NewBlock], *, tail: bool) -> list[Answer]:
    """The answers for the windows that close with these blocks, or, of a silent stream, with all that is held back."""
    answers: list[Answer] = []
    for block in blocks:
        samples = samples_of(block.batch, pipeline.spec)
        pipeline.add(samples.t_ns, samples.columns, samples.labels)
        answers += pipeline.advance()
    if tail:
        answers += pipeline.advance(pipeline.windower.newest_ns + 1)
    return answers
