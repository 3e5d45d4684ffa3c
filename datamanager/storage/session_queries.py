"""Reading and marking sessions, their streams and robots: every query on `sessions` and `streams` by readers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamanager.errors import NotFound
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["SessionFilter", "SessionQueries", "session_key"]

_QUERY_MS = 20_000  # a search that takes longer is given up by the server
_OLDEST_FIRST, _NEWEST_FIRST = 1, -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    """Which sessions. What is None does not filter.

    Attributes:
        robot_id: of this robot.
        start_ns, end_ns: whose data overlap the half-open range [start_ns, end_ns).
        tag: that bear this tag.
        text: that have this text in their ids, tags or notes, whatever the case.
        status: `recording` or `ended`.
    """

    robot_id: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    tag: str | None = None
    text: str | None = None
    status: str | None = None


def session_key(robot_id: str, session_id: str) -> str:
    """The `_id` of a session's document."""
    return f"{robot_id}/{session_id}"


class SessionQueries:
    """The queries. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._sessions = mongo.durable("sessions")
        self._streams = mongo.durable("streams")

    async def page(self, wanted: SessionFilter, limit: int, after: tuple[int, str] | None) -> list[Document]:
        """Up to `limit` sessions, the newest made first.

        Args:
            wanted: which.
            limit: how many at most.
            after: (created_ns, `_id`) of the last one of the page before.
        """
        clauses = _clauses(wanted)
        if after is not None:
            created_ns, key = after
            clauses.append(
                {"$or": [{"created_ns": {"$lt": created_ns}}, {"created_ns": created_ns, "_id": {"$lt": key}}]}
            )
        query = {"$and": clauses} if clauses else {}
        with translated():
            found = self._sessions.find(query, limit=limit, batch_size=limit + 1, max_time_ms=_QUERY_MS)
            return await found.sort([("created_ns", _NEWEST_FIRST), ("_id", _NEWEST_FIRST)]).to_list()

    async def one(self, robot_id: str, session_id: str) -> Document:
        """One session.

        Raises:
            NotFound: there is none.
        """
        with translated():
            found = await self._sessions.find_one({"_id": session_key(robot_id, session_id)})
        return _there(found, robot_id, session_id)

    async def mark(self, robot_id: str, session_id: str, changes: Mapping[str, Any]) -> Document:
        """Sets fields of a session.

        Returns:
            The session as it is now.

        Raises:
            NotFound: there is none.
        """
        key = {"_id": session_key(robot_id, session_id)}
        with translated():
            # Without retryable writes an answer may be lost after the write: setting the same again changes nothing.
            if changes:
                await self._sessions.update_one(key, {"$set": dict(changes)})
            found = await self._sessions.find_one(key)
        return _there(found, robot_id, session_id)

    async def streams(self, robot_id: str, session_id: str) -> list[Document]:
        """The streams of a session, by name; Arrow schemas left out.

        Raises:
            NotFound: there is no such session.
        """
        query = {"robot_id": robot_id, "session_id": session_id}
        with translated():
            found = await self._streams.find(query, {"schemas": 0}).sort("stream", _OLDEST_FIRST).to_list()
        if not found:
            await self.one(robot_id, session_id)
        return found

    async def kinds(self, robot_id: str, session_id: str) -> dict[str, str]:
        """Stream to kind of a session, by name.

        Raises:
            NotFound: there is no such session.
        """
        query = {"robot_id": robot_id, "session_id": session_id}
        with translated():
            found = await self._streams.find(query, {"stream": 1, "kind": 1}).sort("stream", _OLDEST_FIRST).to_list()
        if not found:
            await self.one(robot_id, session_id)
        return {stream["stream"]: stream["kind"] for stream in found}

    async def robots(self, limit: int, after: str | None) -> list[Document]:
        """Up to `limit` robots by name, each with how many sessions it has and when its data begin and end."""
        match = {} if after is None else {"robot_id": {"$gt": after}}
        pipeline: list[dict[str, Any]] = [
            {"$match": match},
            {
                "$group": {
                    "_id": "$robot_id",
                    "sessions": {"$sum": 1},
                    "recording": {"$sum": {"$cond": [{"$eq": ["$status", "recording"]}, 1, 0]}},
                    "first_t_ns": {"$min": "$first_t_ns"},
                    "last_t_ns": {"$max": "$last_t_ns"},
                    "created_ns": {"$max": "$created_ns"},
                }
            },
            {"$sort": {"_id": _OLDEST_FIRST}},
            {"$limit": limit},
        ]
        with translated():
            return await (await self._sessions.aggregate(pipeline, maxTimeMS=_QUERY_MS)).to_list()


def _there(found: Document | None, robot_id: str, session_id: str) -> Document:
    if found is None:
        raise NotFound(f"robot {robot_id!r} has no session {session_id!r}")
    return found


def _clauses(wanted: SessionFilter) -> list[dict[str, Any]]:
    clauses: list[dict[str, Any]] = []
    for name, value in (("robot_id", wanted.robot_id), ("tags", wanted.tag), ("status", wanted.status)):
        if value is not None:
            clauses.append({name: value})
    # A session's extent is closed, the range half-open: they overlap when one begins before the other is over.
    if wanted.start_ns is not None:
        clauses.append({"last_t_ns": {"$gte": _int64(wanted.start_ns)}})
    if wanted.end_ns is not None:
        clauses.append({"first_t_ns": {"$lte": _int64(wanted.end_ns - 1)}})
    if wanted.text is not None:
        pattern = {"$regex": re.escape(wanted.text), "$options": "i"}
        clauses.append({"$or": [{name: pattern} for name in ("robot_id", "session_id", "tags", "notes")]})
    return clauses


def _int64(t_ns: int) -> int:
    return min(t_ns, 2**63 - 1)
