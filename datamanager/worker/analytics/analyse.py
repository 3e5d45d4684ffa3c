"""Looks at what is new in a stream: the handler of jobs of kind `analyse`; and finds streams whose job got lost."""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from datamanager.clock import Clock
from datamanager.errors import ConfigError
from datamanager.observability import get_logger
from datamanager.storage.analytics import Analyses, analyse_job, is_output, retrain_job
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.floors import Floors
from datamanager.storage.jobs import Job, JobQueue
from datamanager.storage.sessions import Streams
from datamanager.worker.analytics.results import Place
from datamanager.worker.analytics.steps import Steps
from datamanager.worker.outage import repeat

__all__ = ["Analyse", "AnalyseSweep", "place_of", "rules_for"]

_log = get_logger(__name__)
_TURN_S = 20.0  # of one stream; then others have theirs
_LOOK_S = 2.0
_AGAIN_S = 15.0  # a session in which somebody may write is looked at so often, besides the jobs
_LOST_S = 5.0  # results that lack for longer have lost their worker
_MOST = 500
_RULES_S = 2.0


def place_of(job: Job) -> Place:
    """The stream that a job is about."""
    robot_id, session_id, stream = job.key.split("/", 2)
    return robot_id, session_id, stream


def rules_for(rules: Sequence[Enrichment], place: Place) -> list[Enrichment]:
    """Those that look at a stream of telemetry."""
    return [] if is_output(place[2]) else [rule for rule in rules if rule.matches(*place, "time_series")]


class Analyse:
    """Takes steps until all that is new in a stream was looked at."""

    def __init__(self, steps: Steps, enrichments: Enrichments, queue: JobQueue) -> None:
        self._steps = steps
        self._enrichments = enrichments
        self._queue = queue
        self._rules: list[Enrichment] = []
        self._revision: int | None = None
        self._read_s = 0.0

    async def __call__(self, job: Job) -> None:
        """Does one job.

        Raises:
            Unavailable: a server does not answer.
            ConfigError: a rule needs what is not installed here.
        """
        place = place_of(job)
        until_s = time.monotonic() + _TURN_S
        lacking: ConfigError | None = None
        for rule in rules_for(await self._current(), place):
            try:
                while await self._steps.step(rule, place, settle=job.args.get("settle", False)):
                    if time.monotonic() > until_s:
                        await self._queue.enqueue([job])
                        return
            except ConfigError as error:  # other rules do not need it
                lacking = error
        if lacking is not None:
            raise lacking

    async def _current(self) -> list[Enrichment]:
        """The rules as they were a moment ago at most."""
        if time.monotonic() - self._read_s > _RULES_S:
            newer = await self._enrichments.newer(self._revision)
            if newer is not None:
                self._revision, self._rules = newer
            self._read_s = time.monotonic()
        return self._rules


class AnalyseSweep:
    """Finds streams that may not be looked at to their end, and retrainings that nobody does. Any number may run."""

    def __init__(
        self,
        analyses: Analyses,
        enrichments: Enrichments,
        streams: Streams,
        floors: Floors,
        queue: JobQueue,
        clock: Clock,
        *,
        interval_s: float,
    ) -> None:
        self._analyses = analyses
        self._enrichments = enrichments
        self._streams = streams
        self._floors = floors
        self._queue = queue
        self._clock = clock
        self._interval_s = interval_s

    async def run(self, stop: asyncio.Event) -> None:
        """Sweeps until `stop` is set."""
        await repeat(stop, self.sweep, min(_LOOK_S, self._interval_s))

    async def sweep(self) -> None:
        """One round.

        Raises:
            Unavailable: MongoDB or Redis does not answer.
        """
        for waiting in await self._analyses.waiting_retrainings(_AGAIN_S, _MOST):
            await self._queue.enqueue([retrain_job(waiting["_id"])])
        rules = [rule for rule in await self._enrichments.all() if rule.kind == "time_series"]
        await self._analyses.forget_rules([rule.name for rule in rules])
        rules = [rule for rule in rules if rule.enabled]
        for rule in rules:
            await self._analyses.since(rule.name)
        if not rules:
            return
        left = await self._analyses.unfinished(_LOST_S, _MOST)
        await self._queue.enqueue([analyse_job(d["robot_id"], d["session_id"], d["stream"]) for d in left])
        async for robot_id, session_id, entries in self._analyses.due_sessions(
            min(_AGAIN_S, self._interval_s * 2), _MOST
        ):
            await self._look(rules, robot_id, session_id, entries)

    async def _look(self, rules: Sequence[Enrichment], robot_id: str, session_id: str, entries: int) -> None:
        done = {
            (d["rule"], d["stream"])
            for d in await self._analyses.of_session(robot_id, session_id)
            if d["entries"] == entries or d["error"]
        }
        jobs = []
        for stream in await self._streams.all_of(robot_id, session_id):
            place = (robot_id, session_id, stream["stream"])
            wanting = rules_for(rules, place) if stream["kind"] == "time_series" else []
            if any((rule.name, stream["stream"]) not in done for rule in wanting):
                jobs.append(msgspec.structs.replace(analyse_job(*place), args={"settle": True}))
        await self._queue.enqueue(jobs)
        # With nothing to do it may be over: but nobody may be writing, or what comes would not be noticed.
        goal = (
            None if jobs else await self._floors.goal(robot_id, session_id, self._clock.now_ns() // 1_000_000_000 + 1)
        )
        is_over = goal is not None and goal.is_quiet and goal.entries == entries
        await self._analyses.looked(robot_id, session_id, entries if is_over else None)
