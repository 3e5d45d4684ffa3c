"""Tells which streams have alert rules, and asks for them to be judged when something of theirs became durable."""

import asyncio
from typing import Any

from datamanager.clock import Clock
from datamanager.errors import Unavailable
from datamanager.observability import get_logger
from datamanager.storage.alert_jobs import alerts_job
from datamanager.storage.alert_rules import AlertRule, AlertRules
from datamanager.storage.blocks import Block
from datamanager.storage.job_feed import JobFeed
from datamanager.storage.results import RESULTS_PRODUCER

__all__ = ["AlertWatch"]

_log = get_logger(__name__)
_LOOK_S = 1.0
_OFFER_S = 0.2  # what comes in within so long is one job: frames of a camera come 30 times a second
_MOST_KNOWN = 20_000

Key = tuple[str, str, str]


class AlertWatch:
    """Offers jobs. Run `run` as a task: it keeps the rules, which are seconds old at the most.

    Args:
        rules: which there are.
        feed: takes jobs, at once.
        clock: paces the looks at the rules.
    """

    def __init__(self, rules: AlertRules, feed: JobFeed, clock: Clock) -> None:
        self._store = rules
        self._feed = feed
        self._clock = clock
        self._rules: list[AlertRule] = []
        self._matching: dict[Key, tuple[AlertRule, ...]] = {}
        self._touched: set[Key] = set()

    async def run(self) -> None:
        """Keeps the rules, and offers jobs, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            group.create_task(self._offer())

    async def _offer(self) -> None:
        while True:
            await self._clock.sleep(_OFFER_S)
            if self._touched:
                self._feed.offer([alerts_job(place) for place in self._touched])
                self._touched.clear()

    async def _look(self) -> None:
        """Looks at the rules. While MongoDB is away it goes by those it knows."""
        while True:
            try:
                rules = [rule for rule, _ in await self._store.enabled()]
            except Unavailable as error:
                _log.debug("alert rules are not looked at", error=error.detail[:200])
            else:
                if rules != self._rules:
                    self._rules = rules
                    self._matching.clear()
            await self._clock.sleep(_LOOK_S)

    def block_stored(self, block: Block) -> None:
        """A block of samples became durable."""
        if self._rules:
            place = (block.robot_id, block.session_id, block.stream)
            if any(rule.channel in block.channel_types for rule in self._matched(place)):
                self._touched.add(place)

    def stored(self, document: dict[str, Any]) -> None:
        """A record became durable: those that models made have values too."""
        if self._rules and document["producer"] == RESULTS_PRODUCER:
            place = (document["robot_id"], document["session_id"], document["stream"])
            if self._matched(place):
                self._touched.add(place)

    def _matched(self, place: Key) -> tuple[AlertRule, ...]:
        found = self._matching.get(place)
        if found is None:
            if len(self._matching) >= _MOST_KNOWN:
                self._matching.clear()
            found = self._matching[place] = tuple(rule for rule in self._rules if rule.matches(*place))
        return found
