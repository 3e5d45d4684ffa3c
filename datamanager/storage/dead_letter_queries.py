"""Reading the dead letters: what was refused, why, and its bytes as far as they were kept."""

from typing import Any

from bson.errors import InvalidId
from bson.objectid import ObjectId

from datamanager.errors import NotFound, Refused
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["DeadLetterQueries"]

_QUERY_MS = 20_000
_NEWEST_FIRST = -1


class DeadLetterQueries:
    """The queries. Ids are texts here. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._letters = mongo.durable("dead_letters")

    async def page(self, wanted: dict[str, str], limit: int, after: str | None) -> list[Document]:
        """Up to `limit` dead letters, the newest first, their bytes left out.

        Args:
            wanted: field to value, of `robot_id`, `session_id`, `producer`, `stream`, `code`.
            limit: how many at most.
            after: the id of the last one of the page before.

        Raises:
            Refused: `malformed` when `after` is no id.
        """
        query: dict[str, Any] = dict(wanted)
        if after is not None:
            try:
                query["_id"] = {"$lt": ObjectId(after)}
            except InvalidId as exc:
                raise Refused("malformed", "the cursor is not one that this server gave") from exc
        with translated():
            found = self._letters.find(query, {"data": 0}, limit=limit, batch_size=limit + 1, max_time_ms=_QUERY_MS)
            # An id begins with when it was made, so that the order is that of arrival.
            documents = await found.sort("_id", _NEWEST_FIRST).to_list()
        return [document | {"_id": str(document["_id"])} for document in documents]

    async def data(self, letter_id: str) -> bytes:
        """The bytes that were kept of one refused message.

        Raises:
            NotFound: there is no such dead letter.
        """
        found = None
        if ObjectId.is_valid(letter_id):
            with translated():
                found = await self._letters.find_one({"_id": ObjectId(letter_id)}, {"data": 1})
        if found is None:
            raise NotFound(f"there is no dead letter {letter_id!r}")
        return bytes(found["data"])
