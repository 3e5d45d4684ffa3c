"""Floors: below which generation nobody writes into a session any more, so that rollups know what is complete.

Each process that writes into a session keeps one document in `floors`: its promise to write nothing of a generation
below `floor`. A rollup takes the lowest floor of a session as its goal, and says so in the session's document before it
looks again; a process that begins to write enters its document first and reads that goal then. So whoever comes second
sees the other, and no clock is relied upon. A process that has not renewed its document for some minutes counts as
dead; it does not write on before it has entered anew.

    floors:   _id (random), robot_id, session_id, floor, seen (date)
    sessions: lod.goal (no one who enters may write below), lod.entries (how often somebody entered),
              lod.due (whether anything may be left to roll up), lod.at (date of the last rollup),
              analysis.due (whether anything may be left for `storage.analytics`), alerts.due (the same, for alert rules)
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from datamanager.storage.mongo import Document, Mongo, UpdateOne, translated

__all__ = ["DEAD_S", "Floors", "Goal"]

DEAD_S = 180
"""A process that has not renewed its floors for so many seconds, by MongoDB's clock, writes no more."""
_NOW = "$$NOW"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a rollup may take in.

    Attributes:
        generation: below it everything is there, and stays as it is.
        entries: how often a process had begun to write into the session by then.
        is_quiet: whether nobody writes into it.
    """

    generation: int
    entries: int
    is_quiet: bool


class Floors:
    """The collection. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._floors = mongo.durable("floors")
        self._sessions = mongo.durable("sessions")

    async def enter(self, robot_id: str, session_id: str) -> tuple[str, int]:
        """Says that this process begins to write into a session.

        Returns:
            The id of its floor, and the lowest generation it may write.
        """
        floor_id = os.urandom(12).hex()
        made = {"robot_id": robot_id, "session_id": session_id, "floor": 0, "seen": _NOW}
        with translated():
            await self._floors.update_one({"_id": floor_id}, [{"$set": made}], upsert=True)
            session = await self._sessions.find_one_and_update(
                {"_id": f"{robot_id}/{session_id}"},
                {"$set": {"lod.due": True, "analysis.due": True, "alerts.due": True}, "$inc": {"lod.entries": 1}},
                {"lod": 1},
                return_document=True,
            )
        return floor_id, 0 if session is None else session["lod"].get("goal", 0)

    async def publish(self, floors: Mapping[str, int]) -> None:
        """Raises floors, by their ids."""
        if floors:
            writes = [UpdateOne({"_id": name}, {"$set": {"floor": floor}}) for name, floor in floors.items()]
            with translated():
                await self._floors.bulk_write(writes, ordered=False)

    async def renew(self, ids: Sequence[str]) -> None:
        """Says that whoever holds these floors is alive."""
        if ids:
            with translated():
                await self._floors.update_many({"_id": {"$in": list(ids)}}, [{"$set": {"seen": _NOW}}])

    async def leave(self, floors: Mapping[str, tuple[str, int]]) -> None:
        """Says that this process writes no more into sessions, for now.

        Args:
            floors: id to the session's `_id` and the generation below which all that was written lies.
        """
        if not floors:
            return
        reached = [UpdateOne({"_id": name}, {"$max": {"lod.goal": goal}}) for name, goal in floors.values()]
        with translated():
            await self._sessions.bulk_write(reached, ordered=False)
            await self._floors.delete_many({"_id": {"$in": list(floors)}})

    async def goal(self, robot_id: str, session_id: str, now_s: int) -> Goal | None:
        """Up to where a session can be rolled up; None when somebody is just beginning to write: ask again later.

        Args:
            robot_id: who recorded.
            session_id: which recording run.
            now_s: Unix seconds; the goal where nobody writes, so that all is taken in.
        """
        session_key = f"{robot_id}/{session_id}"
        lowest = await self._lowest(robot_id, session_id)
        with translated():
            session = await self._sessions.find_one_and_update(
                {"_id": session_key},
                {"$max": {"lod.goal": now_s if lowest is None else lowest}},
                {"lod": 1},
                return_document=True,
            )
        if session is None:
            return None
        generation = session["lod"]["goal"] if lowest is None else lowest
        again = await self._lowest(robot_id, session_id)
        if again is not None and again < generation:
            return None
        return Goal(generation, session["lod"].get("entries", 0), is_quiet=lowest is None and again is None)

    async def _lowest(self, robot_id: str, session_id: str) -> int | None:
        """The lowest floor of a session; None when nobody writes."""
        dead: Document = {"$lt": ["$seen", {"$subtract": [_NOW, DEAD_S * 1000]}]}
        stages: list[Document] = [
            {"$match": {"robot_id": robot_id, "session_id": session_id}},
            {"$project": {"floor": 1, "dead": dead}},
        ]
        with translated():
            found = await (await self._floors.aggregate(stages)).to_list()
            gone = [d["_id"] for d in found if d["dead"]]
            if gone:
                await self._floors.delete_many({"_id": {"$in": gone}, "$expr": dead})
        return min((d["floor"] for d in found if not d["dead"]), default=None)

    async def rolled(self, robot_id: str, session_id: str, goal: Goal) -> None:
        """Says that a session is rolled up to a goal."""
        query: Document = {"_id": f"{robot_id}/{session_id}"}
        with translated():
            await self._sessions.update_one(query, [{"$set": {"lod.at": _NOW}}])
            if goal.is_quiet:
                await self._sessions.update_one(query | {"lod.entries": goal.entries}, {"$unset": {"lod.due": 1}})

    async def due(self, older_than_s: float, limit: int) -> AsyncIterator[tuple[str, str]]:
        """Robot and session of those that were not rolled up for so long, though something may be left."""
        # A session that was never rolled up has no date, which sorts before all dates.
        old = {"$lt": ["$lod.at", {"$subtract": [_NOW, int(older_than_s * 1000)]}]}
        with translated():
            cursor = self._sessions.find({"lod.due": True, "$expr": old}, {"robot_id": 1, "session_id": 1})
            async for session in cursor.sort("lod.at", 1).limit(limit):
                yield session["robot_id"], session["session_id"]
