"""Empties the outboxes of alerts: each turn is told to the rule's webhook, tried again for a while, and then given up."""

import asyncio
import random

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError, Unavailable
from datamanager.observability import METRICS, get_logger
from datamanager.storage.alerts import Alerts, Said, alert_event, told_turn
from datamanager.storage.jobs import backoff_s
from datamanager.storage.mongo import Document
from datamanager.worker.alerts.webhook import CallOutcome, WebhookCaller
from datamanager.worker.outage import Outage, wait_unless

__all__ = ["Deliveries"]

_log = get_logger(__name__)
_LOOK_S = 0.5
_AT_ONCE = 16
_SPARE_S = 20.0  # a call that somebody died of is done again so long after it should have ended
_ORDER: tuple[Said, ...] = ("fired", "cleared")


class Deliveries:
    """Calls webhooks until it is stopped. Any number of workers may: each alert is with one at a time.

    Args:
        alerts: whose outboxes.
        caller: does the calls.
        clock: tells what is due.
        timeout_s: how long a call may take.
        tries: so many failures of a call, and it is given up.
    """

    def __init__(self, alerts: Alerts, caller: WebhookCaller, clock: Clock, *, timeout_s: float, tries: int) -> None:
        self._alerts = alerts
        self._caller = caller
        self._clock = clock
        self._lease_ns = int((timeout_s + _SPARE_S) * 1e9)
        self._tries = tries
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Delivers until `stop` is set; calls under way are finished."""
        outage = Outage(stop)
        while not stop.is_set():
            try:
                is_more = await self._look()
            except Unavailable as exc:
                await outage.wait(exc)
                continue
            outage.over()
            if is_more:
                await asyncio.wait(self._busy.values(), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            else:
                await wait_unless(stop, _LOOK_S)
        if self._busy:
            await asyncio.wait(self._busy.values())

    async def _look(self) -> bool:
        """Begins what is due, as far as there is room; returns whether anything was."""
        self._busy = {alert_id: task for alert_id, task in self._busy.items() if not task.done()}
        room = _AT_ONCE - len(self._busy)
        if room <= 0:
            return True
        fresh = [a for a in await self._alerts.due(self._clock.now_ns(), room) if a not in self._busy]
        for alert_id in fresh:
            self._busy[alert_id] = asyncio.create_task(self._deliver(alert_id))
        return bool(fresh)

    async def _deliver(self, alert_id: str) -> None:
        try:
            while await self.step(alert_id):
                pass
        except DatamanagerError as error:  # its turn comes again when it is not ours any more
            _log.warning("an alert's outbox waits", alert_id=alert_id, error=error.detail[:200])

    async def step(self, alert_id: str) -> bool:
        """Does the next call of an alert; False when none is due.

        Raises:
            MongoUnavailable: MongoDB does not answer. What was sent may be sent again, under the same key.
        """
        now_ns = self._clock.now_ns()
        alert = await self._alerts.take(alert_id, now_ns, now_ns + self._lease_ns)
        if alert is None:
            return False
        said = next((s for s in _ORDER if alert["outbox"].get(s, {}).get("state") == "waiting"), None)
        if said is None:
            await self._alerts.emptied(alert_id)
            return False
        hook = alert["webhook"]
        body = alert_event(told_turn(alert, said)).encode()
        outcome = await self._caller.call(hook["url"], hook["headers"], key=f"{alert_id}:{said}", body=body)
        tries = int(alert["outbox"][said]["tries"]) + 1
        state, due_s = self._judged(outcome, tries)
        METRICS.webhooks.labels("again" if state == "waiting" else state).inc()
        if outcome.error:
            _log.warning("a webhook failed", alert_id=alert_id, tries=tries, state=state, error=outcome.error)
        now_ns = self._clock.now_ns()
        told: Document = {
            "state": state,
            "tries": tries,
            "error": outcome.error,
            "status": outcome.status,
            "at_ns": now_ns,
        }
        await self._alerts.tried(alert_id, said, told, now_ns + int(due_s * 1e9))
        return state != "waiting"

    def _judged(self, outcome: CallOutcome, tries: int) -> tuple[str, float]:
        """What becomes of a call, and in how many seconds the outbox is looked at again."""
        if not outcome.error:
            return "sent", 0.0
        if outcome.is_final or tries >= self._tries:
            return "failed", 0.0
        return "waiting", backoff_s(tries, random.random())  # noqa: S311  # spreads retries, guards nothing
