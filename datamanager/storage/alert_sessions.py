"""Sessions in which something may be left to hold alert rules against: `alerts.due` is set whenever a writer enters."""

from dataclasses import dataclass

from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["AlertSessions", "DueSession"]


@dataclass(frozen=True, slots=True)
class DueSession:
    """A session to look at.

    Attributes:
        entries: how often writers had entered it.
        is_quiet: whether nobody writes into it any more, and all of it is written.
    """

    robot_id: str
    session_id: str
    entries: int
    is_quiet: bool


class AlertSessions:
    """The collection `sessions`, as far as alert rules go. Every method raises `MongoUnavailable`."""

    def __init__(self, mongo: Mongo) -> None:
        self._sessions = mongo.durable("sessions")

    async def due(self, older_than_s: float, limit: int) -> list[DueSession]:
        """Sessions that were not looked at for so long, though something may be left."""
        # A session that was never looked at has no date, which sorts before all dates.
        old: Document = {"$lt": ["$alerts.at", {"$subtract": ["$$NOW", int(older_than_s * 1000)]}]}
        fields = {"robot_id": 1, "session_id": 1, "lod": 1}
        with translated():
            cursor = self._sessions.find({"alerts.due": True, "$expr": old}, fields).sort("alerts.at", 1).limit(limit)
            return [
                DueSession(
                    d["robot_id"],
                    d["session_id"],
                    int(d.get("lod", {}).get("entries", 0)),
                    is_quiet=not d.get("lod", {}).get("due", False),
                )
                async for d in cursor
            ]

    async def looked(self, session: DueSession, *, is_done: bool) -> None:
        """Notes that a session was looked at; with `is_done` that nothing is left, unless somebody wrote meanwhile."""
        query: Document = {"_id": f"{session.robot_id}/{session.session_id}"}
        with translated():
            await self._sessions.update_one(query, [{"$set": {"alerts.at": "$$NOW"}}])
            if is_done:
                await self._sessions.update_one(query | {"lod.entries": session.entries}, {"$unset": {"alerts.due": 1}})

    async def is_recording(self, robot_id: str, session_id: str) -> bool:
        """Whether a session is being recorded."""
        with translated():
            found = await self._sessions.find_one({"_id": f"{robot_id}/{session_id}"}, {"status": 1})
        return found is not None and found["status"] == "recording"
