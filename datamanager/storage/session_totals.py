"""What the streams of a session hold, to the last durable record: the ledgers, and what came since they were folded."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamanager.storage.mongo import Collection, Document, Mongo, translated

__all__ = ["SessionTotals", "StreamTotals"]

_QUERY_MS = 30_000
_LEDGER_FIELDS = {"producer": 1, "folded_before": 1} | {
    f"streams.{name}": 1 for name in ("stream", "records", "samples", "bytes", "first_t_ns", "last_t_ns")
}


@dataclass(slots=True)
class StreamTotals:
    """What one stream of a session holds, over all its producers; times in Unix nanoseconds, the last one included."""

    records: int = 0
    samples: int = 0
    size_bytes: int = 0
    first_t_ns: int | None = None
    last_t_ns: int | None = None

    def add(self, entry: Mapping[str, Any]) -> None:
        """Adds what one ledger, or one group of blocks or records, holds."""
        self.records += entry.get("records", 0)
        self.samples += entry.get("samples", 0)
        self.size_bytes += entry.get("bytes", 0)
        times = [t for t in (self.first_t_ns, entry.get("first_t_ns")) if t is not None]
        self.first_t_ns = min(times, default=None)
        times = [t for t in (self.last_t_ns, entry.get("last_t_ns")) if t is not None]
        self.last_t_ns = max(times, default=None)


class SessionTotals:
    """The query. It raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._ledgers = mongo.durable("ledgers")
        self._telemetry = mongo.durable("telemetry")
        self._records = (mongo.durable("frames_metadata"), mongo.durable("records"))

    async def of(self, robot_id: str, session_id: str) -> dict[str, StreamTotals]:
        """Stream to totals, of every stream that has a record. Each record counts once, folded or not."""
        place = {"robot_id": robot_id, "session_id": session_id}
        with translated():
            ledgers = await self._ledgers.find(place, _LEDGER_FIELDS).to_list()
        entries = [entry for ledger in ledgers for entry in ledger.get("streams", ())]
        for groups in await asyncio.gather(
            _grouped(self._telemetry, _block_groups(place, ledgers)),
            *(_grouped(collection, _record_groups(place, ledgers)) for collection in self._records),
        ):
            entries += [group | {"stream": group["_id"]} for group in groups]
        found: dict[str, StreamTotals] = {}
        for entry in entries:
            found.setdefault(entry["stream"], StreamTotals()).add(entry)
        return found


async def _grouped(collection: Collection, pipeline: list[dict[str, Any]]) -> list[Document]:
    with translated():
        return await (await collection.aggregate(pipeline, maxTimeMS=_QUERY_MS)).to_list()


def _unfolded(ledgers: list[Document], generation: str) -> dict[str, Any]:
    """What no ledger counts: of each producer its later generations, and all of a producer without a ledger."""
    folded = {ledger["producer"]: ledger.get("folded_before", 0) for ledger in ledgers}
    later: list[dict[str, Any]] = [{"producer": p, generation: {"$gte": since}} for p, since in folded.items()]
    return {"$or": [*later, {"producer": {"$nin": list(folded)}}]}


def _block_groups(place: Mapping[str, str], ledgers: list[Document]) -> list[dict[str, Any]]:
    match = {f"m.{name}": value for name, value in place.items()} | _unfolded(ledgers, "m.generation")
    return [
        {"$match": match},
        _group("$m.stream", messages="$messages", samples="$n", size="$size_bytes", last="$t_end_ns"),
    ]


def _record_groups(place: Mapping[str, str], ledgers: list[Document]) -> list[dict[str, Any]]:
    match = {**place, **_unfolded(ledgers, "generation")}
    return [{"$match": match}, _group("$stream", messages=1, samples=0, size="$size_bytes", last="$t_ns")]


def _group(stream: str, *, messages: str | int, samples: str | int, size: str, last: str) -> dict[str, Any]:
    return {
        "$group": {
            "_id": stream,
            "records": {"$sum": messages},
            "samples": {"$sum": samples},
            "bytes": {"$sum": size},
            "first_t_ns": {"$min": "$t_ns"},
            "last_t_ns": {"$max": last},
        }
    }
