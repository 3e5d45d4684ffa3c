"""What workers derive from sound and video, as it stands in the documents of these, and the jobs that ask for it.

`derived` of such a document: `{state, since_ns, wants, failed?, error?, busy_until_ns?}`. `wants` are the jobs that
are still to be done, `failed` maps a job that cannot be done to the reason. `state` is `none` (made when asked for),
`pending` (the truth behind the queue), `done`, or `failed` once nothing is wanted any more and something failed.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from datamanager.clock import Clock
from datamanager.kinds.media.jobs import AUDIO_JOB, HLS_JOB, THUMBNAILS_JOB
from datamanager.kinds.table import KIND_TABLE
from datamanager.storage.jobs import Job, Priority
from datamanager.storage.mongo import Collection, Document, Mongo, translated

__all__ = ["Derivations", "derivation_error", "derive_job", "is_derived"]

_MAX_ERROR_CHARS = 500
_LEFT_OUT = {"prev": 0, "generation": 0}
_WORTH = {AUDIO_JOB: "keys.preview", THUMBNAILS_JOB: "thumbnails", HLS_JOB: "hls.complete"}


def derive_job(job: str, record_id: str, *, priority: Priority = "slow") -> Job:
    """The job of deriving something from one record."""
    return Job(kind=job, key=record_id, priority=priority)


def is_derived(document: Document, job: str) -> bool:
    """Whether what a job makes is there."""
    found: Any = document
    for name in _WORTH[job].split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return bool(found)


def derivation_error(document: Document, job: str) -> str | None:
    """Why a job cannot be done; None where that is not known."""
    error: str | None = (document.get("derived") or {}).get("failed", {}).get(job)
    return error


class Derivations:
    """Reads and writes them. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._collections = {name: mongo.durable(name) for name in ("frames_metadata", "records")}
        self._clock = clock

    async def fetch(self, record_id: str) -> Document | None:
        """A record of a kind from which something is derived, with its content where that is small; None for no such."""
        for collection in self._collections.values():
            with translated():
                found = await collection.find_one({"_id": record_id}, _LEFT_OUT)
            if found is not None:
                return found
        return None

    async def before(self, document: Document, wanted: Mapping[str, Any]) -> Document | None:
        """The last record of a record's stream and producer before it that is as `wanted`; None for none."""
        return await self._beside(document, wanted, "$lte", -1)

    async def after(self, document: Document, wanted: Mapping[str, Any]) -> Document | None:
        """The first record of a record's stream and producer after it that is as `wanted`; None for none."""
        return await self._beside(document, wanted, "$gte", 1)

    async def _beside(self, document: Document, wanted: Mapping[str, Any], side: str, order: int) -> Document | None:
        place = {name: document[name] for name in ("robot_id", "session_id", "stream", "producer")}
        query = place | {"t_ns": {side: document["t_ns"]}, "_id": {"$ne": document["_id"]}} | dict(wanted)
        with translated():
            return await self._of(document).find_one(query, _LEFT_OUT, sort=[("t_ns", order), ("_id", order)])

    async def done(self, document: Document, job: str, fields: Mapping[str, Any]) -> None:
        """Writes down what a job made."""
        await self._settle(document, job, dict(fields), None)

    async def failed(self, document: Document, job: str, error: str) -> None:
        """Writes down that a job cannot be done, and why."""
        await self._settle(document, job, {}, error[:_MAX_ERROR_CHARS])

    async def progressed(self, document: Document, fields: Mapping[str, Any]) -> None:
        """Writes down a part of what a job makes: whoever goes on with it goes on from there."""
        with translated():
            await self._of(document).update_one(
                {"_id": document["_id"]},
                {
                    "$set": dict(fields) | {"derived.since_ns": self._clock.now_ns()},
                    "$unset": {"derived.busy_until_ns": ""},
                },
            )

    async def release(self, document: Document) -> None:
        """Lets go of a record that one has taken."""
        await self.progressed(document, {})

    async def claim(self, document: Document, lease_s: float) -> bool:
        """Takes a record for oneself for `lease_s`; False where somebody else has it."""
        now_ns = self._clock.now_ns()
        free = [{"derived.busy_until_ns": {"$exists": False}}, {"derived.busy_until_ns": {"$lte": now_ns}}]
        lease = {"derived.busy_until_ns": now_ns + int(lease_s * 1e9), "derived.since_ns": now_ns}
        with translated():
            answer = await self._of(document).update_one({"_id": document["_id"], "$or": free}, {"$set": lease})
        return bool(answer.matched_count)

    async def ask(self, document: Document, job: str) -> None:
        """Marks that a job is to be done, so that a sweep sees to it when it cannot be queued, or gets lost."""
        with translated():
            await self._of(document).update_one(
                {"_id": document["_id"], "derived.wants": {"$ne": job}},
                {
                    "$set": {"derived.state": "pending", "derived.since_ns": self._clock.now_ns()},
                    "$addToSet": {"derived.wants": job},
                },
            )

    async def pending(self, older_than_s: float, page: int = 200) -> AsyncIterator[list[Job]]:
        """The jobs of records that are pending for longer than `older_than_s`, the oldest first, in pages."""
        until_ns = self._clock.now_ns() - int(older_than_s * 1e9)
        wanted = {
            "derived.state": "pending",
            "derived.since_ns": {"$lte": until_ns},
            "derived.wants": {"$exists": True},
        }
        for collection in self._collections.values():
            jobs: list[Job] = []
            with translated():
                found = collection.find(wanted, {"derived.wants": 1}).sort("derived.since_ns", 1)
                async for document in found.batch_size(page):
                    jobs += [derive_job(job, document["_id"]) for job in document["derived"]["wants"]]
                    if len(jobs) >= page:
                        yield jobs
                        jobs = []
            if jobs:
                yield jobs

    async def _settle(self, document: Document, job: str, fields: dict[str, Any], error: str | None) -> None:
        derived: dict[str, Any] = {
            "derived.since_ns": self._clock.now_ns(),
            "derived.wants": {"$setDifference": [{"$ifNull": ["$derived.wants", []]}, [job]]},
        }
        if error is not None:
            derived |= {f"derived.failed.{job}": {"$literal": error}, "derived.error": {"$literal": error}}
        ended = {"$cond": [{"$gt": ["$derived.failed", None]}, "failed", "done"]}
        state = {"$cond": [{"$gt": [{"$size": "$derived.wants"}, 0]}, "pending", ended]}
        update: list[dict[str, Any]] = [
            {"$set": {name: {"$literal": value} for name, value in fields.items()} | derived},
            {"$set": {"derived.state": state}},
            {"$unset": "derived.busy_until_ns"},
        ]
        with translated():
            await self._of(document).update_one({"_id": document["_id"]}, update)

    def _of(self, document: Document) -> Collection:
        return self._collections["records" if KIND_TABLE[document["kind"]].kept == "records" else "frames_metadata"]
