"""What the streams of a session hold: the sums over the ledgers of its producers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamanager.storage.mongo import Mongo, translated

__all__ = ["SessionTotals", "StreamTotals"]

_FIELDS = {f"streams.{name}": 1 for name in "stream records samples size_bytes first_t_ns last_t_ns".split()}


@dataclass(slots=True)
class StreamTotals:
    """What one stream of a session holds, over all its producers; times in Unix nanoseconds, the last one included."""

    records: int = 0
    samples: int = 0
    size_bytes: int = 0
    first_t_ns: int | None = None
    last_t_ns: int | None = None

    def add(self, entry: Mapping[str, Any]) -> None:
        """Adds what one producer's ledger holds of the stream."""
        self.records += entry["records"]
        self.samples += entry["samples"]
        self.size_bytes += entry["size_bytes"]
        self.first_t_ns = min((t for t in (self.first_t_ns, entry["first_t_ns"]) if t is not None), default=None)
        self.last_t_ns = max((t for t in (self.last_t_ns, entry["last_t_ns"]) if t is not None), default=None)


class SessionTotals:
    """The query. It raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._ledgers = mongo.durable("ledgers")

    async def of(self, robot_id: str, session_id: str) -> dict[str, StreamTotals]:
        """Stream to totals, of every stream that has a record.

        A ledger is written with every commit, so this is behind by no more than one commit that a crash cut short,
        until that producer is heard of again.
        """
        found: dict[str, StreamTotals] = {}
        with translated():
            async for ledger in self._ledgers.find({"robot_id": robot_id, "session_id": session_id}, _FIELDS):
                for entry in ledger.get("streams", ()):
                    found.setdefault(entry["stream"], StreamTotals()).add(entry)
        return found
