"""Reading the parameters of a stream in the order of their times."""

from collections.abc import AsyncIterator
from typing import Any

from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["ParameterQueries"]

_QUERY_MS = 20_000
_FIELDS = dict.fromkeys("t_ns producer seq size_bytes inline keys parameters".split(), 1)
_BATCH = 500


class ParameterQueries:
    """The queries. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._records = mongo.durable("records")

    async def replaced_at(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> int:
        """The time of the last record at or before `t_ns` that replaces all before it; 0 when none does."""
        query = _query(robot_id, session_id, stream, 0, t_ns) | {"parameters.mode": "replace"}
        with translated():
            found = await self._records.find_one(query, {"t_ns": 1}, sort=[("t_ns", -1)], max_time_ms=_QUERY_MS)
        return 0 if found is None else int(found["t_ns"])

    async def between(
        self, robot_id: str, session_id: str, stream: str, start_ns: int, end_ns: int, limit: int
    ) -> AsyncIterator[Document]:
        """Up to `limit` records of the closed range [start_ns, end_ns], ascending in time, contents and all."""
        query = _query(robot_id, session_id, stream, start_ns, end_ns)
        with translated():
            found = self._records.find(query, _FIELDS, limit=limit, batch_size=_BATCH, max_time_ms=_QUERY_MS)
            async for document in found.sort([("t_ns", 1), ("_id", 1)]):
                yield document


def _query(robot_id: str, session_id: str, stream: str, start_ns: int, end_ns: int) -> dict[str, Any]:
    place = {"robot_id": robot_id, "session_id": session_id, "stream": stream}
    return place | {"t_ns": {"$gte": start_ns, "$lte": end_ns}}
