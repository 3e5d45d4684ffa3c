"""Dead letters: refused messages, kept with their bytes for a while, and only so many of one session."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from datamanager.storage.mongo import BulkFailure, Document, Mongo, ObjectId, translated

__all__ = ["DeadLetters"]


class DeadLetters:
    """The collection `dead_letters`."""

    def __init__(self, mongo: Mongo, *, per_session: int, ttl_s: int) -> None:
        self._letters = mongo.durable("dead_letters")
        self._per_session = per_session
        self._ttl_s = ttl_s

    async def insert(self, letters: Sequence[Document]) -> None:
        """Keeps refused messages; the oldest of a session go when it has too many.

        Each is given its `_id`, so that it is kept once though this is called again after a failure.
        """
        arrived = datetime.now(UTC)
        for letter in letters:
            letter.setdefault("_id", ObjectId())
            letter |= {"arrived": arrived, "expires": arrived + timedelta(seconds=self._ttl_s)}
        try:
            with translated():
                await self._letters.insert_many(letters, ordered=False)
        except BulkFailure as failure:
            if not failure.only_duplicates:
                raise
        for robot_id, session_id in {(x["robot_id"], x["session_id"]) for x in letters}:
            await self._trim(robot_id, session_id)

    async def _trim(self, robot_id: str, session_id: str) -> None:
        mine = {"robot_id": robot_id, "session_id": session_id}
        with translated():
            surplus = await self._letters.count_documents(mine) - self._per_session
            if surplus > 0:
                oldest = self._letters.find(mine, {"_id": 1}).sort("arrived", 1).limit(surplus)
                await self._letters.delete_many({"_id": {"$in": [d["_id"] async for d in oldest]}})

    async def seqs(self, robot_id: str, session_id: str, producer: str) -> list[Document]:
        """The numbers that stand for nothing but a refused message of a producer: stream, seq and prev of each."""
        query = {"robot_id": robot_id, "session_id": session_id, "producer": producer, "covers": True}
        with translated():
            return await self._letters.find(query, {"_id": 0, "stream": 1, "seq": 1, "prev": 1}).to_list()
