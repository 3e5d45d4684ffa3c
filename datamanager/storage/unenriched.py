"""Frames that must be looked at and were not yet: `enrich` of their documents, the truth behind the queue.

`enrich.pending` names the rules, `enrich.since_ns` says since when; both go with the last result (`ResultStore`). A rule
that was removed meanwhile is taken out, and named in `enrich_gone`: nobody will look at the frame for it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from datamanager.clock import Clock
from datamanager.storage.enrichment_rule import Enrichment
from datamanager.storage.inference_job import InferenceJob, PreviousFrame
from datamanager.storage.mongo import Document, Mongo, UpdateOne, translated

__all__ = ["Unenriched"]

_FIELDS = "robot_id session_id stream t_ns role keys size_bytes enrich".split()


class Unenriched:
    """The collection `frames_metadata`, as far as enrichment is due. Every method raises `MongoUnavailable`."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._frames = mongo.durable("frames_metadata")
        self._clock = clock

    async def overdue(self, rules: Iterable[Enrichment], older_than_s: float, limit: int) -> list[InferenceJob]:
        """What these rules are to be asked of frames that are due for longer than that, the oldest first.

        A job gets the time since when it is due, as if it had never been lost, and the frame before it in its stream.

        Args:
            rules: those that hold.
            older_than_s: seconds.
            limit: most frames.
        """
        by_name = {rule.name: rule for rule in rules}
        until_ns = self._clock.now_ns() - int(older_than_s * 1e9)
        wanted = {"enrich.since_ns": {"$gt": 0, "$lte": until_ns}, "enrich.pending": {"$in": sorted(by_name)}}
        with translated():
            found = await (
                self._frames.find(wanted, dict.fromkeys(_FIELDS, 1)).sort("enrich.since_ns", 1).limit(limit).to_list()
            )
        jobs = []
        for frame in found:
            asking = [by_name[name] for name in frame["enrich"]["pending"] if name in by_name]
            previous = await self._before(frame)
            jobs += [_job(rule, frame, previous) for rule in asking]
        return jobs

    async def forget_gone(self, names: Sequence[str], older_than_s: float, limit: int) -> int:
        """Takes rules out that are no more, of frames that are due for longer than that.

        Args:
            names: of all rules that there are, those that do not hold at present included.
            older_than_s: seconds; a rule may be younger than the list of names.
            limit: most frames.

        Returns:
            Of how many frames.
        """
        until_ns = self._clock.now_ns() - int(older_than_s * 1e9)
        wanted: Document = {
            "enrich.since_ns": {"$gt": 0, "$lte": until_ns},
            "enrich.pending": {"$elemMatch": {"$nin": list(names)}},
        }
        with translated():
            found = await self._frames.find(wanted, {"_id": 1}).limit(limit).to_list()
            if found:
                await self._frames.bulk_write(
                    [UpdateOne({"_id": frame["_id"]}, _without_gone(names)) for frame in found], ordered=False
                )
        return len(found)

    async def _before(self, frame: Document) -> PreviousFrame | None:
        place: Document = {name: frame[name] for name in ("robot_id", "session_id", "stream")}
        before = place | {"t_ns": {"$lt": frame["t_ns"]}, "role": frame["role"]}
        with translated():
            found = await self._frames.find_one(before, dict.fromkeys(_FIELDS, 1), sort=[("t_ns", -1)])
        if found is None:
            return None
        return PreviousFrame(found["_id"], found["keys"]["original"], int(found["t_ns"]), int(found["size_bytes"]))


def _job(rule: Enrichment, frame: Document, previous: PreviousFrame | None) -> InferenceJob:
    return InferenceJob(
        enrichment=rule.name,
        model=rule.model,
        robot_id=frame["robot_id"],
        session_id=frame["session_id"],
        stream=frame["stream"],
        frame_id=frame["_id"],
        key=frame["keys"]["original"],
        size_bytes=int(frame["size_bytes"]),
        t_ns=int(frame["t_ns"]),  # what MongoDB gives is BSON's own kind of integer
        asked_ns=int(frame["enrich"]["since_ns"]),
        urgency=rule.urgency,
        must=True,
        previous=previous,
    )


def _without_gone(names: Sequence[str]) -> list[dict[str, Any]]:
    # Two stages: the first one's fields are there for the second.
    known = {"$literal": list(names)}
    left = {"$setIntersection": ["$enrich.pending", known]}
    return [
        {
            "$set": {
                "enrich_gone": {
                    "$setUnion": [{"$ifNull": ["$enrich_gone", []]}, {"$setDifference": ["$enrich.pending", known]}]
                }
            }
        },
        {
            "$set": {
                "enrich": {
                    "$cond": [
                        {"$eq": [left, []]},
                        "$$REMOVE",
                        {"pending": left, "since_ns": "$enrich.since_ns"},
                    ]
                }
            }
        },
    ]
