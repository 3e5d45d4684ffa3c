"""How far each rule of telemetry is with each stream, and which learned state rules begin with.

analytics:       _id rule/robot/session/stream, generation (counted up with each step: what a step is written over),
                 key (S3: the checkpoint, which holds the state, the position and the results of the last step),
                 stale (S3: the checkpoint before it), unwritten (whether those results may lack), entries (as in a
                 position), newest_ns, tail_ns (when what is held back is due), spec (hash), learned (version),
                 windows, anomalies, drifts, late, error
analytics_rules: _id rule, since_s (when it was first seen), learned {version, key, spec, of}
retrainings:     _id, rule, state (pending, done, failed), place, start_ns, end_ns, version, samples, windows, error
sessions:        analysis.due (whether anything may be left to look at), analysis.at (date of the last look)
"""

import os
from collections.abc import AsyncIterator, Collection
from typing import Any

from datamanager.clock import Clock
from datamanager.errors import NotFound
from datamanager.storage.jobs import Job
from datamanager.storage.mongo import Document, DuplicateKey, Mongo, translated

__all__ = ["ANALYSE_JOB", "OUTPUTS", "RETRAIN_JOB", "Analyses", "analyse_job", "is_output", "retrain_job"]

ANALYSE_JOB = "analyse"
RETRAIN_JOB = "retrain"
OUTPUTS = ("windows", "anomaly", "predictions", "drift")
"""Last parts of the names of the streams that results of telemetry go to. Such streams are not looked at themselves."""
_KEPT_NS = 30 * 86_400 * 1_000_000_000


def analyse_job(robot_id: str, session_id: str, stream: str) -> Job:
    """The job of looking at what is new in a stream."""
    return Job(kind=ANALYSE_JOB, key=f"{robot_id}/{session_id}/{stream}", priority="analysis")


def retrain_job(retraining_id: str) -> Job:
    """The job of learning anew from a stored range."""
    return Job(kind=RETRAIN_JOB, key=retraining_id, priority="slow")


def is_output(stream: str) -> bool:
    """Whether a stream is one that results of telemetry go to, by its name."""
    return stream.rpartition("/")[2] in OUTPUTS


class Analyses:
    """The collections. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._analytics = mongo.durable("analytics")
        self._rules = mongo.durable("analytics_rules")
        self._retrainings = mongo.durable("retrainings")
        self._sessions = mongo.durable("sessions")
        self._clock = clock

    # Streams.

    async def get(self, rule: str, robot_id: str, session_id: str, stream: str) -> Document | None:
        """How far a rule is with a stream; None where it has not begun."""
        with translated():
            return await self._analytics.find_one({"_id": f"{rule}/{robot_id}/{session_id}/{stream}"})

    async def of_session(self, robot_id: str, session_id: str) -> list[Document]:
        """How far rules are with the streams of a session."""
        with translated():
            return await self._analytics.find({"robot_id": robot_id, "session_id": session_id}).to_list()

    async def commit(
        self, rule: str, robot_id: str, session_id: str, stream: str, generation: int, fields: dict[str, Any]
    ) -> bool:
        """Takes a step: from generation `generation` (0: the first one) to the next, with these fields.

        Returns:
            False when somebody else took it: then nothing of it has happened.
        """
        name = f"{rule}/{robot_id}/{session_id}/{stream}"
        values = {**fields, "generation": generation + 1, "at_ns": self._clock.now_ns()}
        if generation:
            with translated():
                done = await self._analytics.update_one({"_id": name, "generation": generation}, {"$set": values})
            return done.matched_count == 1
        place = {"rule": rule, "robot_id": robot_id, "session_id": session_id, "stream": stream}
        try:
            with translated():
                await self._analytics.insert_one({"_id": name, **place, **values})
        except DuplicateKey:
            return False
        return True

    async def finished(self, document_id: str, generation: int) -> None:
        """Notes that the results of a step are written, and what it replaced is deleted."""
        with translated():
            await self._analytics.update_one(
                {"_id": document_id, "generation": generation}, {"$set": {"unwritten": False}, "$unset": {"stale": 1}}
            )

    async def unfinished(self, older_than_s: float, limit: int) -> list[Document]:
        """Steps whose results may lack, or that hold something back that is due, for so long."""
        now_ns = self._clock.now_ns()
        old_ns = now_ns - int(older_than_s * 1e9)
        query = {"$or": [{"unwritten": True, "at_ns": {"$lt": old_ns}}, {"tail_ns": {"$gt": 0, "$lt": now_ns}}]}
        with translated():
            return await self._analytics.find(query).limit(limit).to_list()

    # Sessions that something may be left of.

    async def due_sessions(self, older_than_s: float, limit: int) -> AsyncIterator[tuple[str, str, int]]:
        """Robot, session, and how often writers had entered it, of those that were not looked at for so long."""
        old: Document = {"$lt": ["$analysis.at", {"$subtract": ["$$NOW", int(older_than_s * 1000)]}]}
        with translated():
            cursor = self._sessions.find(
                {"analysis.due": True, "$expr": old}, {"robot_id": 1, "session_id": 1, "lod.entries": 1}
            )
            async for session in cursor.sort("analysis.at", 1).limit(limit):
                yield session["robot_id"], session["session_id"], session.get("lod", {}).get("entries", 0)

    async def looked(self, robot_id: str, session_id: str, entries: int | None) -> None:
        """Notes that a session was looked at; with `entries`, that all of it was, unless somebody has entered since."""
        query: Document = {"_id": f"{robot_id}/{session_id}"}
        with translated():
            await self._sessions.update_one(query, [{"$set": {"analysis.at": "$$NOW"}}])
            if entries is not None:
                await self._sessions.update_one(query | {"lod.entries": entries}, {"$unset": {"analysis.due": 1}})

    # Rules.

    async def since(self, rule: str) -> int:
        """The Unix second from which on a rule holds: when somebody first asked this."""
        with translated():
            found = await self._rules.find_one({"_id": rule})
        if found is not None and "since_s" in found:
            return int(found["since_s"])
        now_s = self._clock.now_ns() // 1_000_000_000
        try:
            with translated():
                await self._rules.update_one(
                    {"_id": rule}, [{"$set": {"since_s": {"$ifNull": ["$since_s", now_s]}}}], upsert=True
                )
        except DuplicateKey:
            pass  # another one made it in the same moment
        return await self.since(rule)

    async def learned(self, rule: str) -> Document | None:
        """The learned state that a rule begins with: {version, key, spec, of}; None where there is none."""
        with translated():
            found = await self._rules.find_one({"_id": rule})
        return None if found is None else found.get("learned")

    async def forget_rules(self, but: Collection[str]) -> None:
        """Forgets since when rules hold that are no more; one of the same name begins anew."""
        with translated():
            gone = [d["_id"] async for d in self._rules.find({"_id": {"$nin": sorted(but)}}, {"_id": 1})]
            if gone:
                await self._rules.delete_many({"_id": {"$in": gone}})

    # Learning anew.

    async def ask(self, rule: str, place: tuple[str, str, str], start_ns: int, end_ns: int) -> Document:
        """Notes that a rule's model is to be learned anew from a stored range; forgets what is long past."""
        made = {
            "_id": os.urandom(12).hex(),
            "rule": rule,
            "state": "pending",
            **dict(zip(("robot_id", "session_id", "stream"), place, strict=True)),
            "start_ns": start_ns,
            "end_ns": end_ns,
            "asked_ns": self._clock.now_ns(),
        }
        with translated():
            await self._retrainings.delete_many({"asked_ns": {"$lt": self._clock.now_ns() - _KEPT_NS}})
            await self._retrainings.insert_one(made)
        return made

    async def retraining(self, retraining_id: str) -> Document:
        """What became of it.

        Raises:
            NotFound: there is none, or it is long past.
        """
        with translated():
            found = await self._retrainings.find_one({"_id": retraining_id})
        if found is None:
            raise NotFound(f"there is no retraining {retraining_id[:80]!r}")
        return found

    async def waiting_retrainings(self, older_than_s: float, limit: int) -> list[Document]:
        """Those that were asked for so long ago and not done."""
        query = {"state": "pending", "asked_ns": {"$lt": self._clock.now_ns() - int(older_than_s * 1e9)}}
        with translated():
            return await self._retrainings.find(query).limit(limit).to_list()

    async def retrained(self, document: Document, key: str, spec: str, counts: dict[str, int]) -> int:
        """Makes what was learned the state that the rule begins with; done again it stays what it was.

        Returns:
            Its version.
        """
        name = document["_id"]
        learned: Document = {
            "version": {"$add": [{"$ifNull": ["$learned.version", 0]}, 1]},
            **{field: {"$literal": value} for field, value in {"key": key, "spec": spec, "of": name, **counts}.items()},
        }
        is_new = {"$ne": ["$learned.of", name]}
        with translated():
            found = await self._rules.find_one_and_update(
                {"_id": document["rule"]},
                [{"$set": {"learned": {"$cond": [is_new, learned, "$learned"]}}}],
                upsert=True,
                return_document=True,
            )
            version = 1 if found is None else int(found["learned"]["version"])
            await self._retrainings.update_one(
                {"_id": name},
                {"$set": {"state": "done", "version": version, "done_ns": self._clock.now_ns(), **counts}},
            )
        return version

    async def retraining_failed(self, retraining_id: str, error: str) -> None:
        """Notes why nothing was learned."""
        with translated():
            await self._retrainings.update_one(
                {"_id": retraining_id},
                {"$set": {"state": "failed", "error": error[:500], "done_ns": self._clock.now_ns()}},
            )
