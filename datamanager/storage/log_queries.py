"""Reading the log records of a session, contents and all."""

from collections.abc import Sequence
from typing import Any

from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["LogQueries"]

_QUERY_MS = 20_000
_FIELDS = dict.fromkeys("stream t_ns producer seq auto size_bytes inline keys".split(), 1)


class LogQueries:
    """The queries. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._records = mongo.durable("records")

    async def ascending(
        self,
        robot_id: str,
        session_id: str,
        streams: Sequence[str],
        *,
        start_ns: int,
        end_ns: int,
        place: tuple[int, str] | None,
        limit: int,
    ) -> list[Document]:
        """Up to `limit` records of [start_ns, end_ns), ascending by (t_ns, `_id`), from `place` on, which is one of them."""
        query = _query(robot_id, session_id, streams, start_ns, end_ns)
        if place is not None:
            t_ns, key = place
            query["t_ns"]["$gte"] = max(start_ns, t_ns)
            query["$or"] = [{"t_ns": {"$gt": t_ns}}, {"_id": {"$gte": key}}]
        with translated():
            found = self._records.find(query, _FIELDS, limit=limit, batch_size=limit + 1, max_time_ms=_QUERY_MS)
            return await found.sort([("t_ns", 1), ("_id", 1)]).to_list()

    async def descending(
        self, robot_id: str, session_id: str, streams: Sequence[str], before: tuple[int, str] | None, limit: int
    ) -> list[Document]:
        """Up to `limit` records, descending by (t_ns, `_id`), of those before `before`."""
        query: dict[str, Any] = {"robot_id": robot_id, "session_id": session_id, "stream": {"$in": list(streams)}}
        if before is not None:
            t_ns, key = before
            query |= {"t_ns": {"$lte": t_ns}, "$or": [{"t_ns": {"$lt": t_ns}}, {"_id": {"$lt": key}}]}
        with translated():
            found = self._records.find(query, _FIELDS, limit=limit, batch_size=limit + 1, max_time_ms=_QUERY_MS)
            return await found.sort([("t_ns", -1), ("_id", -1)]).to_list()


def _query(robot_id: str, session_id: str, streams: Sequence[str], start_ns: int, end_ns: int) -> dict[str, Any]:
    place = {"robot_id": robot_id, "session_id": session_id, "stream": {"$in": list(streams)}}
    return place | {"t_ns": {"$gte": start_ns, "$lte": end_ns - 1}}  # 2^63 itself would be no int64
