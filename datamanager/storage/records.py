"""Frames and records as ingest writes them. Their `_id` is made of (robot, session, stream, producer, seq)."""

from collections.abc import Sequence
from typing import Any, Literal

from datamanager.storage.mongo import (
    BulkFailure,
    Document,
    Mongo,
    RawBSONDocument,
    Unstorable,
    UpdateOne,
    encode_document,
    translated,
)

__all__ = ["RecordCollection", "RecordWrites"]

RecordCollection = Literal["frames_metadata", "records"]
_LEDGER_FIELDS = dict.fromkeys("stream seq prev auto t_ns size_bytes generation".split(), 1)


class RecordWrites:
    """The collections `frames_metadata` and `records`."""

    def __init__(self, mongo: Mongo) -> None:
        self._collections = {name: mongo.durable(name) for name in ("frames_metadata", "records")}

    async def insert(self, collection: RecordCollection, documents: Sequence[Document]) -> dict[int, str]:
        """Writes documents, journaled. One that is there already is left as it is, but for its generation.

        Returns:
            Index to reason for each that can never be written.

        Raises:
            MongoUnavailable: it is not known which of them were written: writing them again is safe.
        """
        refused: dict[int, str] = {}
        encoded: list[tuple[int, RawBSONDocument]] = []
        for i, document in enumerate(documents):
            try:
                encoded.append((i, encode_document(document)))
            except Unstorable as error:
                refused[i] = error.detail
        if not encoded:
            return refused
        try:
            with translated():
                await self._collections[collection].insert_many([raw for _, raw in encoded], ordered=False)
        except BulkFailure as failure:
            places = {at: i for at, (i, _) in enumerate(encoded)}
            refused |= {places[at]: why for at, (code, why) in failure.refused.items() if code != _DUPLICATE}
            there = [documents[places[at]] for at, (code, _) in failure.refused.items() if code == _DUPLICATE]
            await self._seen_again(collection, there)
        return refused

    async def _seen_again(self, collection: RecordCollection, documents: Sequence[Document]) -> None:
        """Another process may have written them in a generation that is folded without them."""
        updates = [UpdateOne({"_id": d["_id"]}, {"$max": {"generation": d["generation"]}}) for d in documents]
        if updates:
            with translated():
                await self._collections[collection].bulk_write(updates, ordered=False)

    async def known(self, collection: RecordCollection, ids: Sequence[str]) -> dict[str, Document]:
        """Those of `ids` that are there: their time and checksum by id."""
        with translated():
            cursor = self._collections[collection].find({"_id": {"$in": list(ids)}}, {"t_ns": 1, "checksum": 1})
            return {d["_id"]: d async for d in cursor}

    async def ledger_entries(
        self, robot_id: str, session_id: str, producer: str, *, since_generation: int
    ) -> list[Document]:
        """What a producer wrote in a generation or later: id, stream, seq, prev, auto, t_ns, size and generation of each record."""
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
