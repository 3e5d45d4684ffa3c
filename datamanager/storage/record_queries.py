"""Reading records and frames: every query on `frames_metadata` and `records` by readers.

Both collections are read as one: ordered by (t_ns, `_id`), which no later write changes for what is there.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bson.decimal128 import Decimal128

from datamanager.errors import NotFound
from datamanager.storage.mongo import Collection, Document, Mongo, translated

__all__ = ["RecordQueries", "RecordQuery"]

_QUERY_MS = 30_000
_EXACT_DOUBLES = 2**53  # below it, n * span - 1 divided by span never rounds up to n
_LEFT_OUT = {"inline": 0, "hls": 0, "prev": 0, "generation": 0}  # bytes, segments and book-keeping no list shows
_ASCENDING = [("t_ns", 1), ("_id", 1)]
_DESCENDING = [("t_ns", -1), ("_id", -1)]


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Which records.

    Attributes:
        robot_id: who recorded.
        session_id: which recording run.
        streams: of these streams; of all when empty.
        start_ns: the first time of the range.
        end_ns: the time that the range ends before, 2^63 at most.
        limit: how many at most.
        after: (t_ns, `_id`) of the last one of the page before.
    """

    robot_id: str
    session_id: str
    streams: Sequence[str]
    start_ns: int
    end_ns: int
    limit: int
    after: tuple[int, str] | None = None


class RecordQueries:
    """The queries. Times are Unix nanoseconds. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._frames = mongo.durable("frames_metadata")
        self._records = mongo.durable("records")
        self._both = (self._frames, self._records)

    async def page(self, query: RecordQuery) -> list[Document]:
        """The records of a query, ascending by (t_ns, `_id`), contents left out."""
        found = await asyncio.gather(*(_ascending(c, query, _LEFT_OUT) for c in self._both))
        return _merged(found, query.limit)

    async def places(self, query: RecordQuery) -> list[tuple[int, str]]:
        """(t_ns, `_id`) of the records that `page` would give, out of an index alone: a fifth of its time."""
        found = await asyncio.gather(*(_ascending(c, query, {"t_ns": 1}) for c in self._both))
        return [_place(document) for document in _merged(found, query.limit)]

    async def many(self, record_ids: Sequence[str]) -> list[Document]:
        """Those of many records and frames that are there, in the order of `record_ids`, contents left out."""
        wanted = {"_id": {"$in": list(record_ids)}}
        found: dict[str, Document] = {}
        with translated():
            for documents in await asyncio.gather(
                *(c.find(wanted, _LEFT_OUT, batch_size=len(record_ids) + 1).to_list() for c in self._both)
            ):
                found |= {document["_id"]: document for document in documents}
        return [found[record_id] for record_id in record_ids if record_id in found]

    async def one(self, record_id: str) -> Document:
        """One record or frame, whole.

        Raises:
            NotFound: there is none.
        """
        with translated():
            for found in await asyncio.gather(*(c.find_one({"_id": record_id}) for c in self._both)):
                if found is not None:
                    return found
        raise NotFound(f"there is no record {record_id!r}")

    async def frame(self, frame_id: str) -> Document:
        """One frame.

        Raises:
            NotFound: there is none.
        """
        with translated():
            found = await self._frames.find_one({"_id": frame_id}, _LEFT_OUT)
        if found is None:
            raise NotFound(f"there is no frame {frame_id!r}")
        return found

    async def frames(self, frame_ids: Sequence[str]) -> dict[str, Document]:
        """Those of many frames that are there, by id."""
        with translated():
            found = self._frames.find({"_id": {"$in": list(frame_ids)}}, _LEFT_OUT, batch_size=len(frame_ids) + 1)
            return {document["_id"]: document for document in await found.to_list()}

    async def last_at(self, robot_id: str, session_id: str, stream: str, t_ns: int) -> Document | None:
        """The last record of a stream at or before `t_ns`; None when there is none.

        Args:
            robot_id: who recorded.
            session_id: which recording run.
            stream: which stream.
            t_ns: the moment, below 2^63.
        """
        query = {"robot_id": robot_id, "session_id": session_id, "stream": stream, "t_ns": {"$lte": t_ns}}
        with translated():
            both = await asyncio.gather(*(c.find_one(query, _LEFT_OUT, sort=_DESCENDING) for c in self._both))
        return max((d for d in both if d is not None), key=_place, default=None)

    async def counts(
        self, robot_id: str, session_id: str, start_ns: int, end_ns: int, bins: int
    ) -> dict[str, list[int]]:
        """How many records each stream has in each bin of [start_ns, end_ns), without reading any.

        A record at t stands in bin (t - start_ns) * bins // (end_ns - start_ns).
        """
        pipeline = _count_pipeline(robot_id, session_id, start_ns, end_ns, bins)
        found: dict[str, list[int]] = {}
        for groups in await asyncio.gather(*(_aggregated(collection, pipeline) for collection in self._both)):
            for group in groups:
                found.setdefault(group["_id"]["stream"], [0] * bins)[group["_id"]["bin"]] += int(group["n"])
        return found


def _query(robot_id: str, session_id: str, streams: Sequence[str], start_ns: int, end_ns: int) -> dict[str, Any]:
    query: dict[str, Any] = {"robot_id": robot_id, "session_id": session_id}
    if streams:
        query["stream"] = streams[0] if len(streams) == 1 else {"$in": list(streams)}
    return query | {"t_ns": {"$gte": start_ns, "$lte": end_ns - 1}}  # 2^63 itself would be no int64


def _page_query(wanted: RecordQuery) -> dict[str, Any]:
    query = _query(wanted.robot_id, wanted.session_id, wanted.streams, wanted.start_ns, wanted.end_ns)
    if wanted.after is not None:
        t_ns, key = wanted.after
        query["t_ns"]["$gte"] = max(wanted.start_ns, t_ns)
        query["$or"] = [{"t_ns": {"$gt": t_ns}}, {"_id": {"$gt": key}}]
    return query


async def _ascending(collection: Collection, wanted: RecordQuery, projection: dict[str, int]) -> list[Document]:
    query, limit = _page_query(wanted), wanted.limit
    with translated():
        # All in the first batch: a second round trip would cost more than the page.
        found = collection.find(query, projection, limit=limit, batch_size=limit + 1, max_time_ms=_QUERY_MS)
        return await found.sort(_ASCENDING).to_list()


async def _aggregated(collection: Collection, pipeline: list[dict[str, Any]]) -> list[Document]:
    with translated():
        return await (await collection.aggregate(pipeline, maxTimeMS=_QUERY_MS)).to_list()


def _merged(found: Sequence[list[Document]], limit: int) -> list[Document]:
    filled = [documents for documents in found if documents]
    if len(filled) < 2:
        return filled[0] if filled else []
    return sorted((d for documents in filled for d in documents), key=_place)[:limit]


def _place(document: Document) -> tuple[int, str]:
    return document["t_ns"], document["_id"]


def _count_pipeline(robot_id: str, session_id: str, start_ns: int, end_ns: int, bins: int) -> list[dict[str, Any]]:
    since: Any = {"$subtract": ["$t_ns", start_ns]}
    span: Any = end_ns - start_ns
    if span * bins >= _EXACT_DOUBLES:
        # Decimals of 34 digits are always exact, and take twice as long.
        since, span = {"$toDecimal": since}, Decimal128(str(span))
    place = {"$divide": [{"$multiply": [since, bins]}, span]}
    return [
        {"$match": _query(robot_id, session_id, (), start_ns, end_ns)},
        {"$group": {"_id": {"stream": "$stream", "bin": {"$toInt": {"$floor": place}}}, "n": {"$sum": 1}}},
    ]
