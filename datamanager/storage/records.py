"""Frames and records as ingest writes them. Their `_id` is made of (robot, session, stream, producer, seq)."""

from collections.abc import Sequence
from typing import Any, Literal

from datamanager.storage.mongo import BulkFailure, Document, DuplicateKey, Mongo, translated

__all__ = ["RecordCollection", "RecordWrites"]

RecordCollection = Literal["frames_metadata", "records"]
_LEDGER_FIELDS = {
    "_id": 0,
    "stream": 1,
    "seq": 1,
    "prev": 1,
    "auto": 1,
    "t_ns": 1,
    "size_bytes": 1,
}


class RecordWrites:
    """The collections `frames_metadata` and `records`."""

    def __init__(self, mongo: Mongo) -> None:
        self._collections = {name: mongo.durable(name) for name in ("frames_metadata", "records")}

    async def insert(self, collection: RecordCollection, documents: Sequence[Document]) -> dict[int, str]:
        """Writes documents, journaled. One that is there already is left as it is.

        Returns:
            Index to reason for each that can never be written.

        Raises:
            MongoUnavailable: it is not known which of them were written: writing them again is safe.
        """
        try:
            with translated():
                await self._collections[collection].insert_many(list(documents), ordered=False)
        except BulkFailure as failure:
            return {i: why for i, (code, why) in failure.refused.items() if code != _DUPLICATE}
        except DuplicateKey:
            return {}
        return {}

    async def known(self, collection: RecordCollection, ids: Sequence[str]) -> dict[str, Document]:
        """Those of `ids` that are there: their time and checksum by id."""
        with translated():
            cursor = self._collections[collection].find({"_id": {"$in": list(ids)}}, {"t_ns": 1, "checksum": 1})
            return {d["_id"]: d async for d in cursor}

    async def ledger_entries(
        self, robot_id: str, session_id: str, producer: str, *, since_generation: int
    ) -> list[Document]:
        """What a producer wrote in a generation or later: stream, seq, prev, auto, t_ns and size of each record."""
        query: dict[str, Any] = {
            "robot_id": robot_id,
            "session_id": session_id,
            "producer": producer,
            "generation": {"$gte": since_generation},
        }
        found: list[Document] = []
        for collection in self._collections.values():
            with translated():
                found += await collection.find(query, _LEDGER_FIELDS, batch_size=10_000).to_list()
        return found


_DUPLICATE = 11000
