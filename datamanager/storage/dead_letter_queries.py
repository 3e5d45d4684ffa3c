"""Reading the dead letters: what was refused, why, and its bytes as far as they were kept."""

from datetime import UTC, datetime, timedelta
from typing import Any

from datamanager.errors import NotFound
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["DeadLetterQueries"]

_QUERY_MS = 20_000
_NEWEST_FIRST = -1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DeadLetterQueries:
    """The queries. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._letters = mongo.durable("dead_letters")

    async def page(self, wanted: dict[str, str], limit: int, after: tuple[int, str] | None) -> list[Document]:
        """Up to `limit` dead letters, the newest first, their bytes left out but counted as `size_bytes`.

        Args:
            wanted: field to value, of `robot_id`, `session_id`, `producer`, `stream`, `code`.
            limit: how many at most.
            after: (arrived, Unix milliseconds; `_id`) of the last one of the page before.
        """
        query: dict[str, Any] = dict(wanted)
        if after is not None:
            arrived = _EPOCH + timedelta(milliseconds=after[0])
            query["$or"] = [{"arrived": {"$lt": arrived}}, {"arrived": arrived, "_id": {"$lt": after[1]}}]
        # The bytes leave before the sort: it holds a page of small documents only.
        lean = {"size_bytes": {"$binarySize": {"$ifNull": ["$data", ""]}}, "arrived_ms": {"$toLong": "$arrived"}}
        pipeline: list[dict[str, Any]] = [
            {"$match": query},
            {"$set": lean},
            {"$unset": "data"},
            {"$sort": {"arrived": _NEWEST_FIRST, "_id": _NEWEST_FIRST}},
            {"$limit": limit},
        ]
        with translated():
            return await (await self._letters.aggregate(pipeline, maxTimeMS=_QUERY_MS)).to_list()

    async def data(self, letter_id: str) -> bytes:
        """The bytes that were kept of one refused message.

        Raises:
            NotFound: there is no such dead letter.
        """
        with translated():
            found = await self._letters.find_one({"_id": letter_id}, {"data": 1})
        if found is None:
            raise NotFound(f"there is no dead letter {letter_id!r}")
        return bytes(found.get("data") or b"")
