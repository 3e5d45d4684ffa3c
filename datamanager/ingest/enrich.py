"""Which frames models are asked about, decided as frames come in and never in the way of an ack.

A frame that must be looked at says so in its own document (`enrich.pending`: names of rules), which is written before
the ack. All else happens once a frame is durable, and may lag or get lost: what is lost of the former a sweep finds.
"""

import asyncio
import math
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError, RedisUnavailable
from datamanager.inference.sampling import AdaptiveRate, FramePicker, Lag, ShedRate
from datamanager.observability import METRICS, get_logger
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.inference_feed import InferenceFeed
from datamanager.storage.inference_job import URGENCIES, InferenceJob, PreviousFrame, ShedCounter
from datamanager.storage.inference_queue import InferenceQueue

__all__ = ["EnrichPolicy"]

_RULES_S = 1.0  # how soon a rule holds of which no word came
_LOOK_S = 0.25
_MAX_STREAMS = 50_000  # whose state is kept; one that is forgotten begins anew
_SEEN = 16  # frames of a stream that one which comes late may be compared with: as many as go to S3 at a time

_log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Watch:
    """What a rule knows of one stream."""

    rule: Enrichment
    picker: FramePicker
    seen: list[PreviousFrame] = field(default_factory=list)

    def before(self, frame: PreviousFrame) -> PreviousFrame | None:
        """The frame that this one is to be compared with: frames become durable in another order than they were taken in."""
        at = bisect_left(self.seen, frame.t_ns, key=lambda seen: seen.t_ns)
        found = self.seen[at - 1] if at > 0 else None
        self.seen.insert(at, frame)
        del self.seen[:-_SEEN]
        return found


class EnrichPolicy:
    """Matches frames with rules and has them queued. Call `load` before frames come, and run `run` as a task.

    Where no rule looks at pictures it does nothing: neither to documents nor in Redis.

    Args:
        rules: where they are kept.
        queue: tells how far behind the models are.
        feed: takes what they are to be asked.
        sheds: counts frames that are left out to catch up.
        clock: tells when a frame was asked about.
        shed_after_s: how old a frame is given up at; a queue whose oldest has waited for half of that is behind, so that
            fewer are let in before any is shed.
        behind_waiting: or one in which more frames wait.
    """

    def __init__(
        self,
        rules: Enrichments,
        queue: InferenceQueue,
        feed: InferenceFeed,
        sheds: ShedCounter,
        clock: Clock,
        *,
        shed_after_s: float,
        behind_waiting: int,
    ) -> None:
        self._store = rules
        self._queue = queue
        self._feed = feed
        self._sheds = sheds
        self._clock = clock
        self._revision: int | None = None
        self._rules: list[Enrichment] = []
        self._watches: OrderedDict[tuple[str, str, str], list[_Watch]] = OrderedDict()
        self._rate = AdaptiveRate(shed_after_s / 2, behind_waiting)
        self._shed_rate = ShedRate(math.ceil(shed_after_s / _LOOK_S) + 1)
        self._asked = Counter[str]()  # by rule, of those that may be shed

    # What ingest tells.

    def must(self, document: dict[str, Any]) -> list[str]:
        """The rules that must look at this frame or record, which is about to be written."""
        if not self._rules or document["kind"] != "images":
            return []
        return [w.rule.name for w in self._watching(document) if w.rule.must and w.rule.role == document["role"]]

    def stored(self, document: dict[str, Any]) -> None:
        """A frame or record became durable."""
        if not self._rules or document["kind"] != "images":
            return
        pending = document.get("enrich", {}).get("pending", ())
        for watch in self._watching(document):
            if watch.rule.role == document["role"]:
                self._ask(watch, document, must=watch.rule.name in pending)

    def _ask(self, watch: _Watch, document: dict[str, Any], *, must: bool) -> None:
        rule, t_ns = watch.rule, int(document["t_ns"])  # of an upload it is BSON's own kind of integer
        if not must and not watch.picker.is_due(t_ns):
            return  # not shed: the rule wants no more
        is_kept = must or watch.picker.keeps(self._fraction(rule))
        frame = PreviousFrame(document["_id"], document["keys"]["original"], t_ns, int(document["size_bytes"]))
        job = InferenceJob(
            enrichment=rule.name,
            model=rule.model,
            robot_id=document["robot_id"],
            session_id=document["session_id"],
            stream=document["stream"],
            frame_id=frame.frame_id,
            key=frame.key,
            size_bytes=frame.size_bytes,
            t_ns=t_ns,
            asked_ns=self._clock.now_ns(),
            urgency=rule.urgency,
            must=must,
            previous=watch.before(frame) if is_kept else None,
        )
        if is_kept:
            self._asked[rule.name] += not must
            self._feed.offer(job)
        else:
            self._sheds.count([job], "rate")

    def _fraction(self, rule: Enrichment) -> float:
        return min(self._rate.fraction(rule.urgency), self._shed_rate.fraction(rule.name))

    def _watching(self, document: dict[str, Any]) -> list[_Watch]:
        place = (document["robot_id"], document["session_id"], document["stream"])
        found = self._watches.get(place)
        if found is None:
            found = [_Watch(rule, FramePicker(rule.max_fps)) for rule in self._rules if rule.matches(*place, "images")]
            self._watches[place] = found
            if len(self._watches) > _MAX_STREAMS:
                self._watches.popitem(last=False)
        elif found:
            self._watches.move_to_end(place)
        return found

    # What runs beside it.

    async def load(self) -> None:
        """Reads the rules.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        newer = await self._store.newer(self._revision)
        if newer is not None:
            self._revision, rules = newer
            self._adopt(rules)

    async def run(self) -> None:
        """Follows rules and queues, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed.run())
            group.create_task(self._follow())
            group.create_task(self._pace())

    async def _follow(self) -> None:
        try:
            while True:
                await self._store.notices.wait(_RULES_S)
                try:
                    await self.load()
                except (DatamanagerError, msgspec.ValidationError) as exc:
                    _log.warning("the rules that were read last hold on", error=str(exc)[:200])
        finally:
            await self._store.notices.close()

    def _adopt(self, rules: Iterable[Enrichment]) -> None:
        self._rules = [rule for rule in rules if rule.enabled and rule.kind == "images"]
        before, self._watches = self._watches, OrderedDict()
        kept = set(map(_key, self._rules))
        for place, watches in before.items():  # a rule that stays as it is goes on where it was
            there = {_key(w.rule): w for w in watches if _key(w.rule) in kept}
            if there:
                self._watches[place] = [
                    there.get(_key(rule)) or _Watch(rule, FramePicker(rule.max_fps))
                    for rule in self._rules
                    if rule.matches(*place, "images")
                ]

    async def _pace(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            if not self._rules:
                continue
            try:
                states = await self._queue.depth()
                self._shed_rate.observe(await self._queue.shed_lately(), self._asked)
            except RedisUnavailable:
                continue  # the feed says so
            self._rate.observe({urgency: Lag(state.waiting, state.oldest_s) for urgency, state in states.items()})
            for urgency in URGENCIES:
                METRICS.inference_waiting.labels(urgency).set(states[urgency].waiting)
                METRICS.inference_oldest_s.labels(urgency).set(states[urgency].oldest_s)
            for rule in self._rules:
                METRICS.sampling.labels(rule.name).set(self._fraction(rule))


def _key(rule: Enrichment) -> str:
    return repr(rule)  # its options can't be hashed
