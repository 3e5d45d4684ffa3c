"""Tables whose rows are to become a stream: who feeds which, and how far that is.

`series` of a record's document: what `datamanager.kinds.csv.series` keeps (`column`, `unit`, `batch_rows`), `state`
(`pending`, `done`, `failed`), `at` (the row and byte up to which all is durable), `rows`, `skipped`, `refused`, and while
a process feeds it `owner` and `due_ns`, after which another one may.
"""

from typing import Any

from datamanager.clock import Clock
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["SeriesStore"]

_LEASE_NS = 10_000_000_000
_LEFT_OUT = {"prev": 0, "generation": 0}


class SeriesStore:
    """The collection `records`, as far as rows are fed. Every method raises `MongoUnavailable` when MongoDB does not answer.

    Args:
        mongo: where records are.
        clock: tells until when a process has a table to itself.
        owner: names the process.
    """

    def __init__(self, mongo: Mongo, clock: Clock, owner: str) -> None:
        self._records = mongo.durable("records")
        self._clock = clock
        self._owner = owner

    async def take(self) -> Document | None:
        """A table that waits, for this process; None when there is none."""
        now_ns = self._clock.now_ns()
        waits = {"series.state": "pending", "series.due_ns": {"$lte": now_ns}}
        with translated():
            if (
                await self._records.find_one(waits, {"_id": 1}) is None
            ):  # nearly always: and then nothing is to be written
                return None
            taken = {"series.owner": self._owner, "series.due_ns": now_ns + _LEASE_NS}
            return await self._records.find_one_and_update(
                waits, {"$set": taken}, _LEFT_OUT, sort=[("series.due_ns", 1)], return_document=True
            )

    async def advance(self, record_id: str, changes: dict[str, Any]) -> bool:
        """Notes how far a table is, and keeps it for this process for another while; False when another one has it."""
        return await self._set(record_id, {**changes, "due_ns": self._clock.now_ns() + _LEASE_NS})

    async def give_back(self, record_id: str, changes: dict[str, Any]) -> None:
        """Notes how far a table is, and leaves it to whoever takes it next, after those that wait already."""
        await self._set(record_id, {**changes, "due_ns": self._clock.now_ns()})

    async def finish(self, record_id: str, changes: dict[str, Any], told: dict[str, Any]) -> bool:
        """Notes that nothing more is to be done; `told` is what the record's metadata say of it. False as for `advance`."""
        return await self._set(record_id, changes, {"metadata.series": told})

    async def _set(self, record_id: str, changes: dict[str, Any], others: dict[str, Any] | None = None) -> bool:
        values = {f"series.{name}": value for name, value in changes.items()} | (others or {})
        with translated():
            result = await self._records.update_one(
                {"_id": record_id, "series.state": "pending", "series.owner": self._owner}, {"$set": values}
            )
        return bool(result.matched_count)
