"""Which blocks of samples analytics are told of: at most one job a second and stream, behind the ack.

Jobs may get lost; a sweep of the workers finds what nobody looked at (`storage.analytics`).
"""

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError
from datamanager.observability import get_logger
from datamanager.storage.analytics import Analyses, analyse_job, is_output
from datamanager.storage.blocks import Block
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.jobs import Job

__all__ = ["AnalysePolicy"]

_log = get_logger(__name__)
_RULES_S = 1.0
_EVERY_S = 1.0
_MAX_STREAMS = 50_000  # whose last job is remembered; one that is forgotten gets its next job at once
_NEVER = float("inf")


class AnalysePolicy:
    """Matches blocks with rules. Call `load` before blocks come, and run `run` as a task.

    Args:
        rules: where they are kept.
        analyses: notes since when each holds.
        clock: paces jobs.
    """

    def __init__(self, rules: Enrichments, analyses: Analyses, clock: Clock) -> None:
        self._store = rules
        self._analyses = analyses
        self._clock = clock
        self._revision: int | None = None
        self._rules: list[Enrichment] = []
        self._due_s: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._early: dict[tuple[str, str, str], Callable[[Job], None]] = {}

    def stored(self, block: Block, offer: Callable[[Job], None]) -> None:
        """A block became durable; `offer` takes the job, if there is to be one, now or within a second."""
        if not self._rules:
            return
        place = (block.robot_id, block.session_id, block.stream)
        now_s = self._clock.monotonic_s()
        due_s = self._due_s.get(place)
        if due_s is None:
            wanted = not is_output(block.stream) and any(rule.matches(*place, "time_series") for rule in self._rules)
            due_s = now_s if wanted else _NEVER
            if len(self._due_s) >= _MAX_STREAMS:
                self._due_s.popitem(last=False)
            self._due_s[place] = due_s
        if now_s >= due_s:
            self._due_s[place] = now_s + _EVERY_S
            offer(analyse_job(*place))
        elif due_s < _NEVER:
            self._early[place] = offer  # it may be the last block for long

    async def load(self) -> None:
        """Reads the rules, and notes since when they hold.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        newer = await self._store.newer(self._revision)
        if newer is not None:
            revision, rules = newer
            wanted = [rule for rule in rules if rule.enabled and rule.kind == "time_series"]
            for rule in wanted:
                await self._analyses.since(rule.name)
            self._revision, self._rules = revision, wanted
            self._due_s.clear()

    def catch_up(self) -> None:
        """Offers the jobs of streams whose last block came too soon after the one before."""
        early, self._early = self._early, {}
        for place, offer in early.items():
            if place in self._due_s:
                self._due_s[place] = self._clock.monotonic_s() + _EVERY_S
                offer(analyse_job(*place))

    async def run(self) -> None:
        """Follows the rules and catches up, until cancelled."""
        while True:
            await self._clock.sleep(_RULES_S)
            self.catch_up()
            try:
                await self.load()
            except (DatamanagerError, msgspec.ValidationError) as exc:
                _log.warning("the rules that were read last hold on", error=str(exc)[:200])
