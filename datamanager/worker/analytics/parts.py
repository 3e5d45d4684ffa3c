"""Analytics of a worker, put together from what it opened."""

from collections.abc import Mapping
from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.storage.analytics import ANALYSE_JOB, RETRAIN_JOB, Analyses
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.floors import Floors
from datamanager.storage.follow import Follower
from datamanager.storage.jobs import JobQueue
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.replay import Replay
from datamanager.storage.results import ResultStore
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry
from datamanager.worker.analytics.analyse import Analyse, AnalyseSweep
from datamanager.worker.analytics.checkpoints import Checkpoints
from datamanager.worker.analytics.retrain import Retrain
from datamanager.worker.analytics.steps import Steps, Stores
from datamanager.worker.handlers import Handler, each

__all__ = ["Analytics", "analytics_parts"]

_ANALYSE_S = 120.0  # what a job that takes longer has done stays done
_RETRAIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Analytics:
    """The handlers of its jobs, and the sweep, whose `run` runs beside them."""

    handlers: Mapping[str, Handler]
    sweep: AnalyseSweep


def analytics_parts(
    mongo: Mongo, redis: Redis, s3: S3, clock: Clock, queue: JobQueue, secret: bytes, *, sweep_interval_s: float
) -> Analytics:
    """Makes the parts; `secret` signs checkpoints, and is the same in all processes."""
    telemetry, streams, floors = Telemetry(mongo), Streams(mongo), Floors(mongo)
    analyses, enrichments = Analyses(mongo, clock), Enrichments(mongo, redis)
    checkpoints = Checkpoints(s3, secret)
    follower = Follower(telemetry, streams, floors, clock)
    steps = Steps(Stores(analyses, follower, checkpoints, ResultStore(mongo, redis, clock)), clock)
    retrain = Retrain(analyses, enrichments, Replay(telemetry, streams), checkpoints)
    return Analytics(
        {
            ANALYSE_JOB: each(Analyse(steps, enrichments, queue), timeout_s=_ANALYSE_S),
            RETRAIN_JOB: each(retrain, timeout_s=_RETRAIN_S, abandon=retrain.abandon),
        },
        AnalyseSweep(analyses, enrichments, streams, floors, queue, clock, interval_s=sweep_interval_s),
    )
