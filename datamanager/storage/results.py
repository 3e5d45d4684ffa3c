"""Results of enrichments, one document each: what makes them exactly one, what is searched, and what streams are fed from.

A worker writes a result once (`_id` names what it is of); a server process feeds it into the session's result stream, as
samples or as a record, and marks it. MongoDB holds the truth all the while (ADR 0017).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import get_logger
from datamanager.storage.facts import facts_of
from datamanager.storage.mongo import BulkFailure, Document, DuplicateKey, Mongo, UpdateOne, translated
from datamanager.storage.redis import Redis, redis_translated

__all__ = ["NEWS_CHANNEL", "RESULTS_PRODUCER", "Result", "ResultFeed", "ResultStatus", "ResultStore"]

RESULTS_PRODUCER = "~results"
"""Who sends the samples and records of result streams."""
NEWS_CHANNEL = "results:new"

_log = get_logger(__name__)
_DUPLICATE_KEY = 11000
_LEASE_NS = 6_000_000_000

ResultStatus = Literal["ok", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one model says of one frame, or of one window of a time_series stream.

    Attributes:
        of: what it is of, unique within its enrichment: a frame_id, or `{stream}@{end of the window in ns}`.
        enrichment: name of the rule.
        stream: the stream that was looked at; `output` the stream of results (`front/quality`).
        frame_id: record_id of the frame; empty for telemetry.
        t_ns: time of the frame, or end of the window.
        model, version: who says so.
        status: `skipped` and `failed` have a `reason` and no values.
        latency_ms: of the model, its share of the batch; `total_ms` from arrival to here.
        values: numbers and words by channel, flat (`sharpness`, `counts.car`); they become samples of a time_series.
        boxes: of a detector: {"box": [x1, y1, x2, y2], "score", "class"}; they become json records.
        track: whether boxes are to get ids that stay with an object from frame to frame.
        vector: of an embedding: float32 of length 1.
        extra: further fields of the record.
        is_searched: whether it can be found by its values. Of a window's, a hundred and more each second, it is not: their
            index would be several times what they are. Their stream can be read by time, and its statistics by value.
    """

    of: str
    enrichment: str
    robot_id: str
    session_id: str
    stream: str
    output: str
    t_ns: int
    model: str
    version: str
    task: str
    frame_id: str = ""
    status: ResultStatus = "ok"
    reason: str = ""
    latency_ms: float = 0.0
    total_ms: float = 0.0
    values: dict[str, float | int | str] = field(default_factory=dict)
    boxes: list[dict[str, Any]] | None = None
    track: bool = False
    vector: npt.NDArray[np.float32] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    is_searched: bool = True

    @property
    def id(self) -> str:
        """`_id` of its document."""
        return f"{self.enrichment}/{self.of}"

    def document(self, at_ns: int) -> Document:
        """What is kept of it; fields that say nothing are left out."""
        values = _nested(self.values)
        fields: Document = {
            "_id": self.id,
            **{name: getattr(self, name) for name in _PLAIN},
            "values": values,
            "facts": facts_of(values if self.is_searched else {}, self.boxes or (), self.status),
            "at_ns": at_ns,
            "feed": {"state": "waiting"},
        }
        if self.boxes is not None:
            fields["detections"] = self.boxes
        if self.track:
            fields["track"] = True
        if self.vector is not None:
            fields["vector"] = self.vector.astype("<f4").tobytes()
        if self.reason:
            fields["reason"] = self.reason
        return fields | ({"extra": self.extra} if self.extra else {})


_PLAIN = (
    "of enrichment robot_id session_id stream output t_ns model version task frame_id status latency_ms total_ms"
).split()


class ResultStore:
    """The collection `results` as those who make results see it.

    Args:
        mongo: where results are.
        redis: tells the feeder that there are new ones.
        clock: says when a result was written.
    """

    def __init__(self, mongo: Mongo, redis: Redis, clock: Clock) -> None:
        self._results = mongo.durable("results")
        self._frames = mongo.durable("frames_metadata")
        self._redis = redis
        self._clock = clock

    async def write(self, results: Sequence[Result]) -> list[Result]:
        """Writes results, journaled. One that is there already stays as it is.

        Returns:
            Those that were not there.

        Raises:
            MongoUnavailable: it is not known which of them are there: writing them again is safe.
            DatamanagerError: MongoDB refused one for good.
        """
        if not results:
            return []
        now_ns = self._clock.now_ns()
        there: set[int] = set()
        try:
            with translated():
                await self._results.insert_many([r.document(now_ns) for r in results], ordered=False)
        except BulkFailure as failure:
            if any(code != _DUPLICATE_KEY for code, _ in failure.refused.values()):
                raise
            there = set(failure.refused)
        if len(there) < len(results):
            await self._tell()
        return [result for at, result in enumerate(results) if at not in there]

    async def no_longer_due(self, done: Iterable[tuple[str, str]]) -> None:
        """Notes of frames that must be looked at that this has been done: (frame_id, enrichment) of each."""
        updates = [
            UpdateOne({"_id": frame_id}, [{"$set": {"enrich": _without(enrichment)}}]) for frame_id, enrichment in done
        ]
        if updates:
            with translated():
                await self._frames.bulk_write(updates, ordered=False)

    async def _tell(self) -> None:
        try:
            with redis_translated():
                await self._redis.client.publish(NEWS_CHANNEL, b"")
        except RedisUnavailable as exc:  # the feeder looks by itself too
            _log.debug("the feeder was not told", error=exc.detail)


class ResultFeed:
    """The collection `results` as the one who feeds streams sees it. Every method raises `MongoUnavailable`.

    Args:
        mongo: where results are.
        clock: tells until when the lease holds.
        owner: names the process.
    """

    def __init__(self, mongo: Mongo, clock: Clock, owner: str) -> None:
        self._results = mongo.durable("results")
        self._quick = mongo.quick("results")
        self._settings = mongo.durable("settings")
        self._clock = clock
        self._owner = owner

    async def hold(self) -> bool:
        """Takes or renews the lease, for six seconds; False while another process has it."""
        now_ns = self._clock.now_ns()
        mine = {"_id": "lease:results", "$or": [{"owner": self._owner}, {"until_ns": {"$lt": now_ns}}]}
        try:
            with translated():
                await self._settings.update_one(
                    mine, {"$set": {"owner": self._owner, "until_ns": now_ns + _LEASE_NS}}, upsert=True
                )
        except DuplicateKey:
            return False
        return True

    async def let_go(self) -> None:
        """Gives the lease back."""
        with translated():
            await self._settings.delete_one({"_id": "lease:results", "owner": self._owner})

    async def waiting(self, limit: int, *, numbered: bool) -> list[Document]:
        """Results that are to be fed, the oldest first: those that have a number already, or those that have none."""
        query = {"feed.state": "waiting", "feed.seq": {"$exists": numbered}}
        with translated():
            return await self._results.find(query).sort("at_ns", 1).limit(limit).to_list()

    async def next_seq(self, robot_id: str, session_id: str, output: str) -> int:
        """The number after the last one given in a result stream."""
        place = {"robot_id": robot_id, "session_id": session_id, "output": output, "feed.seq": {"$exists": True}}
        with translated():
            last = await self._results.find_one(place, {"feed.seq": 1}, sort=[("feed.seq", -1)])
        return 0 if last is None else int(last["feed"]["seq"]) + 1

    async def latest(self, robot_id: str, session_id: str, output: str) -> Document | None:
        """The result of a stream that was numbered last."""
        place = {"robot_id": robot_id, "session_id": session_id, "output": output, "feed.seq": {"$exists": True}}
        with translated():
            return await self._results.find_one(place, sort=[("feed.seq", -1)])

    async def number(self, given: Mapping[str, Document]) -> None:
        """Notes, by `_id`, the fields that a result gets with its number: `feed.seq` and others.

        Raises:
            BulkFailure: a number was given by another process meanwhile: the lease was lost.
        """
        updates = [
            UpdateOne({"_id": name, "feed.seq": {"$exists": False}}, {"$set": fields}) for name, fields in given.items()
        ]
        with translated():
            await self._results.bulk_write(updates, ordered=False)

    async def fed(self, ids: Sequence[str]) -> None:
        """Notes that these are durable in their streams: where a crash undoes that, they are taken in again, and known."""
        if ids:
            with translated():
                await self._quick.update_many({"_id": {"$in": list(ids)}}, {"$set": {"feed.state": "fed"}})

    async def refused(self, result_id: str, why: str) -> None:
        """Notes that a result can't be in its stream, and why: it can still be searched."""
        with translated():
            await self._results.update_one(
                {"_id": result_id}, {"$set": {"feed.state": "refused", "feed.error": why[:500]}}
            )


def _nested(values: Mapping[str, float | int | str]) -> Document:
    """`counts.car` as a map in a map: a dot in a name means that to MongoDB. Of two names that collide the plain one goes first."""
    made: Document = {}
    for name, value in sorted(values.items()):
        head, dot, rest = name.partition(".")
        if not dot:
            made[head] = value
        else:
            inner = made.setdefault(head, {})
            if isinstance(inner, dict):
                inner[rest.replace(".", "_")] = value
    return made


def _without(enrichment: str) -> Document:
    """An expression: `enrich` without this one among what is pending; nothing is left of it with the last one."""
    left = {"$setDifference": [{"$ifNull": ["$enrich.pending", []]}, [enrichment]]}
    return {
        "$cond": [{"$eq": [left, []]}, "$$REMOVE", {"pending": left, "since_ns": {"$ifNull": ["$enrich.since_ns", 0]}}]
    }
