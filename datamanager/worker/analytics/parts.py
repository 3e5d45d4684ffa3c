"""Analytics of a worker, put together from what it opened."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from datamanager.clock import Clock
from datamanager.config import Config
from datamanager.storage.analytics import ANALYSE_JOB, RETRAIN_JOB, Analyses
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.floors import Floors
from datamanager.storage.follow import Follower
from datamanager.storage.jobs import JobQueue
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.replay import Replay
from datamanager.storage.results import ResultStore
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry
from datamanager.worker.analytics.analyse import Analyse, AnalyseSweep
from datamanager.worker.analytics.checkpoints import Checkpoints
from datamanager.worker.analytics.models import TelemetryModels
from datamanager.worker.analytics.retrain import Retrain
from datamanager.worker.analytics.steps import Steps, Stores
from datamanager.worker.handlers import Handler, each

__all__ = ["Analytics", "open_analytics"]

_ANALYSE_S = 120.0  # what a job that takes longer has done stays done
_RETRAIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Analytics:
    """The handlers of its jobs, and the sweep, whose `run` runs beside them."""

    handlers: Mapping[str, Handler]
    sweep: AnalyseSweep


@asynccontextmanager
async def open_analytics(
    config: Config, mongo: Mongo, redis: Redis, s3: S3, clock: Clock, queue: JobQueue, secret: bytes, folder: Path
) -> AsyncIterator[Analytics]:
    """Makes the parts; on leaving the processes of their models end.

    Args:
        config: the settings.
        mongo: where blocks, rules and results are.
        redis: where jobs wait.
        s3: where checkpoints and models are.
        clock: tells the time.
        queue: of jobs.
        secret: signs checkpoints; the same in all processes.
        folder: where models lie on this machine.
    """
    telemetry, streams, floors = Telemetry(mongo), Streams(mongo), Floors(mongo)
    analyses, enrichments = Analyses(mongo, clock), Enrichments(mongo, redis)
    checkpoints = Checkpoints(s3, secret)
    follower = Follower(telemetry, streams, floors, clock)
    stores = Stores(analyses, follower, checkpoints, ResultStore(mongo, redis, clock))
    retrain = Retrain(analyses, enrichments, Replay(telemetry, streams), checkpoints)
    async with TelemetryModels(Models(mongo, s3, redis, clock), config.inference, folder) as models:
        steps = Steps(stores, clock, models)
        yield Analytics(
            {
                ANALYSE_JOB: each(Analyse(steps, enrichments, queue), timeout_s=_ANALYSE_S),
                RETRAIN_JOB: each(retrain, timeout_s=_RETRAIN_S, abandon=retrain.abandon),
            },
            AnalyseSweep(
                analyses, enrichments, streams, floors, queue, clock, interval_s=config.worker.sweep_interval_s
            ),
        )
