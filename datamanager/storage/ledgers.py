"""Ledgers: what is durable of each producer, folded up, so that opening one reads only what came since.

A ledger document says for each stream which seq ranges are durable, up to where they were acked, and the totals, all
of it for everything the producer wrote before the generation `folded_before`. What came since stands in the blocks and
records themselves, whose generation is that or later.

Whoever reads a ledger puts a new `stamp` on it, and a ledger is only written over the stamp that its writer last saw.
So two processes that write for one producer notice each other before either acks, and a write that hangs in MongoDB
while its process is long dead changes nothing any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datamanager.storage.mongo import Document, Mongo, UpdateOne, find_or_make, translated

__all__ = ["LedgerChange", "Ledgers"]


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """What a ledger is to say from now on.

    Attributes:
        id: the ledger's `_id`.
        stamps: one of these it must bear now.
        stamp: the one it bears afterwards.
        fields: what is set besides.
    """

    id: str
    stamps: tuple[str, ...]
    stamp: str
    fields: dict[str, Any]


class Ledgers:
    """The collection `ledgers`."""

    def __init__(self, mongo: Mongo) -> None:
        self._ledgers = mongo.durable("ledgers")

    async def claim(
        self, robot_id: str, session_id: str, producer: str, stamp: str, *, owner: str | None = None
    ) -> Document:
        """Puts a stamp on a producer's ledger, which is made when there is none, and gives the ledger as it is then.

        Args:
            robot_id: who records; as the next two, the ledger's name.
            session_id: the recording run.
            producer: which sender.
            stamp: one that nobody else has.
            owner: names the connection that speaks for the producer from now on; None leaves it as it is.
        """
        made: Document = {
            "robot_id": robot_id,
            "session_id": session_id,
            "producer": producer,
            "folded_before": 0,
            "folded": [],
            "streams": [],
        }
        values = {"stamp": stamp} if owner is None else {"stamp": stamp, "owner": owner}
        return await find_or_make(self._ledgers, f"{robot_id}/{session_id}/{producer}", made, values)

    async def sync(self) -> None:
        """Returns when everything that was read before is in MongoDB's journal.

        A read may see what its writer still waits for, and what the death of MongoDB would take away again. Whatever
        came before an acknowledged journaled write is in the journal too, though that changes nothing.

        Raises:
            MongoUnavailable: what was read may be gone.
        """
        with translated():
            await self._ledgers.update_one({"_id": ""}, {"$set": {"stamp": ""}})

    async def put(self, changes: Sequence[LedgerChange]) -> set[str]:
        """Writes ledgers, journaled.

        Returns:
            The ids of those that bear another stamp, which are left as they are: somebody else has claimed them.

        Raises:
            MongoUnavailable: it is not known which were written; a later change may name this one's stamp among those
                that the ledger may bear.
        """
        if not changes:
            return set()
        updates = [
            UpdateOne({"_id": c.id, "stamp": {"$in": list(c.stamps)}}, {"$set": {**c.fields, "stamp": c.stamp}})
            for c in changes
        ]
        with translated():
            result = await self._ledgers.bulk_write(updates, ordered=False)
            if result.matched_count == len(changes):
                return set()
            cursor = self._ledgers.find({"_id": {"$in": [c.id for c in changes]}}, {"stamp": 1})
            stamps = {d["_id"]: d.get("stamp") async for d in cursor}
        return {c.id for c in changes if stamps.get(c.id) != c.stamp}
