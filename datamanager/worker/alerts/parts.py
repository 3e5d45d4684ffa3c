"""Everything about alerts that a worker runs, put together from what it opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from datamanager.clock import Clock
from datamanager.config import Config
from datamanager.storage.alert_jobs import ALERTS_JOB
from datamanager.storage.alert_rules import AlertRules
from datamanager.storage.alert_sessions import AlertSessions
from datamanager.storage.alert_states import AlertStates
from datamanager.storage.alerts import Alerts
from datamanager.storage.events import EventLog
from datamanager.storage.floors import Floors
from datamanager.storage.follow import Follower
from datamanager.storage.jobs import JobQueue
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.result_values import ResultValues
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry
from datamanager.worker.alerts.deliveries import Deliveries
from datamanager.worker.alerts.judge import AlertJudge
from datamanager.worker.alerts.sweep import AlertSweep
from datamanager.worker.alerts.webhook import open_webhook_caller
from datamanager.worker.handlers import Handlers, each

__all__ = ["AlertParts", "open_alert_parts"]

_JUDGE_TIMEOUT_S = 300.0  # what a job that takes longer has judged stays judged


@dataclass(frozen=True, slots=True)
class AlertParts:
    """The handlers of jobs, and what must run beside them."""

    handlers: Handlers
    sweep: AlertSweep
    deliveries: Deliveries


@asynccontextmanager
async def open_alert_parts(
    config: Config, mongo: Mongo, redis: Redis, clock: Clock, queue: JobQueue
) -> AsyncIterator[AlertParts]:
    """The parts, as long as the block lasts.

    Raises:
        ConfigError: a setting is wrong.
    """
    rules, states, alerts = AlertRules(mongo, clock), AlertStates(mongo), Alerts(mongo)
    streams, events = Streams(mongo), config.events
    judge = AlertJudge(
        rules,
        states,
        alerts,
        EventLog(redis, clock, kept=events.kept),
        streams,
        Follower(Telemetry(mongo), streams, Floors(mongo), clock),
        ResultValues(mongo, clock),
        clock,
    )
    interval_s = config.worker.sweep_interval_s
    sweep = AlertSweep(rules, states, AlertSessions(mongo), streams, judge, queue, clock, interval_s=interval_s)
    async with open_webhook_caller(events) as caller:
        deliveries = Deliveries(alerts, caller, clock, timeout_s=events.webhook_timeout_s, tries=events.webhook_tries)
        yield AlertParts({ALERTS_JOB: each(judge, timeout_s=_JUDGE_TIMEOUT_S)}, sweep, deliveries)
