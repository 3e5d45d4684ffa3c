"""Learns a rule's model anew from a stored range: the handler of jobs of kind `retrain`. Done twice it gives the same."""

import asyncio
import time

from datamanager.errors import NotFound, Refused
from datamanager.inference.online.pipeline import Pipeline
from datamanager.observability import get_logger
from datamanager.storage.analytics import Analyses
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.jobs import Job
from datamanager.storage.keys import learned_key
from datamanager.storage.mongo import Document
from datamanager.storage.replay import Replay
from datamanager.worker.analytics.checkpoints import Checkpoint, Checkpoints
from datamanager.worker.analytics.columns import samples_of
from datamanager.worker.analytics.steps import spec_of

__all__ = ["Retrain"]

_log = get_logger(__name__)


class Retrain:
    """Replays the blocks of a range in the order of their times, and makes what was learned the rule's next version."""

    def __init__(self, analyses: Analyses, enrichments: Enrichments, replay: Replay, checkpoints: Checkpoints) -> None:
        self._analyses = analyses
        self._enrichments = enrichments
        self._replay = replay
        self._checkpoints = checkpoints

    async def __call__(self, job: Job) -> None:
        """Does one job.

        Raises:
            Unavailable: a server does not answer.
            ConfigError: the rule needs what is not installed here.
        """
        try:
            document = await self._analyses.retraining(job.key)
        except NotFound:
            return  # it is long past
        if document["state"] != "pending":
            return
        try:
            await self._learn(document)
        except (Refused, NotFound) as error:
            await self._analyses.retraining_failed(job.key, error.detail)

    async def abandon(self, job: Job, error: str) -> None:
        """Notes that it failed for the last time."""
        await self._analyses.retraining_failed(job.key, error)

    async def _learn(self, document: Document) -> None:
        rule = await self._enrichments.get(document["rule"])
        spec = spec_of(rule)
        pipeline = Pipeline(spec)
        began_s = time.monotonic()
        samples = 0
        place = (document["robot_id"], document["session_id"], document["stream"])
        async for batch, watermark_ns in self._replay.blocks(*place, document["start_ns"], document["end_ns"]):
            some = samples_of(batch, spec)
            samples += len(some.t_ns)
            pipeline.add(some.t_ns, some.columns, some.labels)
            await asyncio.to_thread(pipeline.advance, watermark_ns)
        if not pipeline.windows:
            raise Refused("bad_payload", f"the range has {samples} samples and no whole window of them")
        counts = {"samples": samples, "windows": pipeline.windows}
        key = learned_key(rule.name, document["_id"])
        state = await asyncio.to_thread(pipeline.state)
        await self._checkpoints.put(key, Checkpoint(position={}, state=state))
        version = await self._analyses.retrained(document, key, spec.hash, counts)
        took_s = round(time.monotonic() - began_s, 2)
        _log.info("learned anew", rule=rule.name, version=version, seconds=took_s, **counts)
