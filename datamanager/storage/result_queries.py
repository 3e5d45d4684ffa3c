"""Reading results of models: every query on `results` by readers.

Results are ordered by (t_ns, `_id`), which no later write changes for what is there. An embedding is `vector`, float32,
little-endian, of length 1.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from datamanager.errors import RangeTooLarge
from datamanager.storage.mongo import Document, ExecutionTimeout, Mongo, translated
from datamanager.storage.where import Expression
from datamanager.storage.where_filter import mongo_filter

__all__ = ["EmbeddingScope", "ResultQueries", "ResultQuery"]

_QUERY_MS = 20_000
_BATCH = 2000
_LEFT_OUT = {"vector": 0, "facts": 0, "feed": 0}  # bytes, what `values` says too, and book-keeping
_EMBEDDING = {"frame_id": 1, "robot_id": 1, "session_id": 1, "stream": 1, "t_ns": 1, "at_ns": 1, "vector": 1}
_HAS_VECTOR = {"$exists": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultQuery:
    """Which results.

    Attributes:
        robot_id, session_id: whose; of all where None.
        outputs: of these result streams; of all when empty.
        start_ns: the first time of the range.
        end_ns: the time that the range ends before, 2^63 at most.
        where: of which this is true.
        limit: how many at most.
        descending: the newest first.
        after: (t_ns, `_id`) of the last one of the page before.
    """

    robot_id: str | None
    session_id: str | None
    outputs: Sequence[str]
    start_ns: int
    end_ns: int
    where: Expression | None
    limit: int
    descending: bool = False
    after: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingScope:
    """Embeddings of one model: of a session, of a robot where `session_id` is None, of all where both are."""

    model: str
    version: str
    robot_id: str | None = None
    session_id: str | None = None


class ResultQueries:
    """The queries. Times are Unix nanoseconds. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._results = mongo.durable("results")

    async def page(self, query: ResultQuery) -> list[Document]:
        """The results of a query, vectors left out.

        Raises:
            RangeTooLarge: it takes MongoDB too long.
        """
        outputs = list(query.outputs)
        if not outputs and query.robot_id is not None and query.session_id is not None:
            # By name each is read in the order of its times; without one, all of them would be sorted first.
            with translated():
                outputs = await self._results.distinct("output", _place(query.robot_id, query.session_id))
            if not outputs:
                return []
        step = -1 if query.descending else 1
        with _in_time():
            found = self._results.find(
                _filter(query, outputs),
                _LEFT_OUT,
                limit=query.limit,
                batch_size=query.limit + 1,  # all at once: a second round trip would cost more than the page
                max_time_ms=_QUERY_MS,
            )
            return await found.sort([("t_ns", step), ("_id", step)]).to_list()

    async def of_frame(self, frame_id: str, limit: int) -> list[Document]:
        """All results of a frame, by result stream; vectors left out."""
        with translated():
            found = self._results.find({"frame_id": frame_id}, _LEFT_OUT, limit=limit, batch_size=limit + 1)
            return await found.sort([("output", 1), ("_id", 1)]).to_list()

    async def embedding_of(self, frame_id: str) -> Document | None:
        """The newest result with a vector of a frame; None when there is none."""
        query = {"frame_id": frame_id, "vector": _HAS_VECTOR}
        with translated():
            return await self._results.find_one(query, sort=[("at_ns", -1)])

    async def embedded_stream(self, robot_id: str, session_id: str, stream: str) -> Document | None:
        """The newest result with a vector of a stream, or in a result stream of that name; None when there is none."""
        named = {"$or": [{"stream": stream}, {"output": stream}]}
        query = _place(robot_id, session_id) | named | {"vector": _HAS_VECTOR}
        with translated():
            return await self._results.find_one(query, {"vector": 0}, sort=[("at_ns", -1)])

    def embeddings(
        self, scope: EmbeddingScope, *, since_ns: int | None, limit: int
    ) -> AsyncGenerator[list[Document], None]:
        """Embeddings in batches, those written last first.

        Args:
            scope: of whom.
            since_ns: written at this time or later.
            limit: how many at most.

        Raises:
            RangeTooLarge: it takes MongoDB too long.
        """
        query: dict[str, Any] = {"model": scope.model, "version": scope.version, "vector": _HAS_VECTOR}
        query |= _place(scope.robot_id, scope.session_id)
        if since_ns is not None:
            query["at_ns"] = {"$gte": since_ns}
        return self._batches(query, _EMBEDDING, [("at_ns", -1)], limit)

    def embeddings_in_time(
        self,
        robot_id: str,
        session_id: str,
        output: str,
        *,
        start_ns: int,
        end_ns: int,
        after: tuple[int, str] | None,
        limit: int,
    ) -> AsyncGenerator[list[Document], None]:
        """Embeddings of one result stream in batches, ascending by (t_ns, `_id`).

        Raises:
            RangeTooLarge: it takes MongoDB too long.
        """
        query = _place(robot_id, session_id) | {"output": output, "vector": _HAS_VECTOR}
        clauses = [{"t_ns": {"$gte": start_ns, "$lte": end_ns - 1}}, *_behind(after, descending=False)]
        fields = _EMBEDDING | {"model": 1, "version": 1}
        return self._batches(query | {"$and": clauses}, fields, [("t_ns", 1), ("_id", 1)], limit)

    async def _batches(
        self, query: dict[str, Any], fields: dict[str, int], order: list[tuple[str, int]], limit: int
    ) -> AsyncGenerator[list[Document], None]:
        with _in_time():
            found = self._results.find(query, fields, limit=limit, batch_size=_BATCH, max_time_ms=_QUERY_MS)
            async with found.sort(order) as cursor:
                while batch := await cursor.to_list(_BATCH):
                    yield batch


@contextmanager
def _in_time() -> Any:
    """As `translated`; a query that takes too long would do so again."""
    with translated():
        try:
            yield
        except ExecutionTimeout as exc:
            raise RangeTooLarge(
                f"looking took longer than {_QUERY_MS // 1000} s: ask for one session, for less time, or for fewer results"
            ) from exc


def _place(robot_id: str | None, session_id: str | None) -> dict[str, Any]:
    given = {"robot_id": robot_id, "session_id": session_id}
    return {name: value for name, value in given.items() if value is not None}


def _filter(wanted: ResultQuery, outputs: Sequence[str]) -> dict[str, Any]:
    query = _place(wanted.robot_id, wanted.session_id)
    if outputs:
        query["output"] = {"$in": list(outputs)}
    # 2^63 itself would be no int64.
    clauses: list[dict[str, Any]] = [{"t_ns": {"$gte": wanted.start_ns, "$lte": wanted.end_ns - 1}}]
    clauses += _behind(wanted.after, descending=wanted.descending)
    if wanted.where is not None:
        clauses.append(mongo_filter(wanted.where))
    return query | {"$and": clauses}


def _behind(after: tuple[int, str] | None, *, descending: bool) -> list[dict[str, Any]]:
    if after is None:
        return []
    t_ns, key = after
    beyond, at_least = ("$lt", "$lte") if descending else ("$gt", "$gte")
    return [{"t_ns": {at_least: t_ns}}, {"$or": [{"t_ns": {beyond: t_ns}}, {"_id": {beyond: key}}]}]
