"""Ledgers: what is durable of each producer, folded up, so that opening one reads only what came since.

A ledger document says for each stream which seq ranges are durable, up to where they were acked, and the totals, all
of it for everything the producer wrote before the generation `folded_before`. What came since stands in the blocks and
records themselves, whose generation is that or later.
"""

from typing import Any

from datamanager.storage.mongo import Document, Mongo, ReplaceOne, translated

__all__ = ["Ledgers"]


class Ledgers:
    """The collection `ledgers`."""

    def __init__(self, mongo: Mongo) -> None:
        self._ledgers = mongo.durable("ledgers")

    async def get(self, robot_id: str, session_id: str, producer: str) -> Document | None:
        """One producer's ledger as last folded; None when there is none."""
        with translated():
            return await self._ledgers.find_one({"_id": f"{robot_id}/{session_id}/{producer}"})

    async def of_session(self, robot_id: str, session_id: str) -> list[Document]:
        """The ledgers of all producers of a session."""
        with translated():
            return await self._ledgers.find({"robot_id": robot_id, "session_id": session_id}).to_list()

    async def put(self, documents: list[dict[str, Any]]) -> None:
        """Writes ledgers whole; each bears its `_id`."""
        if documents:
            with translated():
                await self._ledgers.bulk_write(
                    [ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in documents], ordered=False
                )
