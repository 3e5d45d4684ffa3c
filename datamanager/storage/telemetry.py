"""Blocks and their statistics in the time-series collections `telemetry` and `aggregations`.

A block's own seq range is its ledger entry, so that one write is both. Statistics are written after their block and
before the ack; a crash between the two is found when the ledger is next read, and mended from the block.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from datamanager.storage.blocks import Block
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["BlockHeader", "Telemetry", "as_date", "cut_generations", "statistics_document_of"]

HOUR_NS = 3_600_000_000_000
# MongoDB turns a bound on `t` into one on the bucket's ObjectId, which has 32 bits of seconds: a bound beyond them finds
# nothing (seen on 6.0). Such times are left to `t_ns`.
_PLAIN_NS = 2_145_916_800_000_000_000
# A lower bound becomes one on the oldest bucket that could reach it, an hour before: in the first hour of 1970 that is
# below zero, wraps, and finds nothing either.
_FIRST_NS = 2 * HOUR_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADER = dict.fromkeys(
    "m block t_ns t_end_ns n producer seq_first seq_last seqs prev prevs auto messages size_bytes schema".split(), 1
) | {"_id": 0}


_INDEX_FIELDS = "m.generation block t_ns t_end_ns n producer seq_first seq_last seqs auto".split()
_LISTED_FIELDS = {"_id": 0, **dict.fromkeys(_INDEX_FIELDS, 1)}
_PACKED_FIELDS = _LISTED_FIELDS | {"v": 1, "schema": 1}


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A stored block without its data; its fields are those of a `Block`."""

    id: str
    stream: str
    t_ns: int
    t_end_ns: int
    n: int
    producer: str
    seqs: tuple[tuple[int, int], ...]
    prevs: tuple[int | None, ...]
    auto: bool
    size_bytes: int
    schema: str
    messages: int
    generation: int


def as_date(t_ns: int) -> datetime:
    """A BSON date: milliseconds, rounded down."""
    return _EPOCH + timedelta(milliseconds=t_ns // 1_000_000)


class Telemetry:
    """The two collections."""

    def __init__(self, mongo: Mongo) -> None:
        self._blocks = mongo.durable("telemetry")
        self._statistics = mongo.durable("aggregations")

    async def insert(self, blocks: Sequence[Block]) -> None:
        """Writes blocks, journaled. The order among them does not matter.

        Raises:
            MongoUnavailable: it is not known which of them were written: ask `missing`.
            BulkFailure: some can never be written.
        """
        with translated():
            await self._blocks.insert_many([_block_document(b) for b in blocks], ordered=False)

    async def insert_statistics(self, blocks: Sequence[Block]) -> None:
        """Writes the statistics of blocks, journaled; errors as for `insert`."""
        with translated():
            await self._statistics.insert_many([_statistics_document(b) for b in blocks], ordered=False)

    async def missing(self, blocks: Sequence[Block], *, statistics: bool = False) -> list[Block]:
        """Those of `blocks` that are not in the database.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        collection = self._statistics if statistics else self._blocks
        absent: list[Block] = []
        for place in {(b.robot_id, b.session_id) for b in blocks}:
            mine = [b for b in blocks if (b.robot_id, b.session_id) == place]
            query = {
                "m.robot_id": place[0],
                "m.session_id": place[1],
                "m.generation": {"$in": sorted({g for b in mine for g in (b.generation, b.statistics_generation)})},
                "block": {"$in": [b.id for b in mine]},
            }
            with translated():
                found = {d["block"] async for d in collection.find(query, {"_id": 0, "block": 1})}
            absent += [b for b in mine if b.id not in found]
        return absent

    async def headers(
        self, robot_id: str, session_id: str, *, since_generation: int, producer: str | None = None
    ) -> list[BlockHeader]:
        """The blocks of a session that were written in a generation or later, without their data."""
        query: Document = {
            "m.robot_id": robot_id,
            "m.session_id": session_id,
            "m.generation": {"$gte": since_generation},
        }
        if producer is not None:
            query["producer"] = producer
        with translated():
            return [_header(d) async for d in self._blocks.find(query, _HEADER)]

    async def statistics_ids(self, robot_id: str, session_id: str, *, since_generation: int, producer: str) -> set[str]:
        """The ids of the blocks whose statistics are there, for the same query as `headers`."""
        query = {
            "m.robot_id": robot_id,
            "m.session_id": session_id,
            "m.generation": {"$gte": since_generation},
            "producer": producer,
        }
        with translated():
            return {d["block"] async for d in self._statistics.find(query, {"_id": 0, "block": 1})}

    async def blocks(
        self,
        robot_id: str,
        session_id: str,
        stream: str,
        *,
        start_ns: int,
        end_ns: int,
        reaching_ns: int,
        named: Collection[str] | None = None,
    ) -> list[Document]:
        """Whole blocks that begin in `[start_ns, end_ns)` and end at `reaching_ns` or later, in no order.

        With `named` only those that bear one of these ids.
        """
        query = _window(robot_id, session_id, stream, start_ns, end_ns)
        query["t_end_ns"] = {"$gte": reaching_ns}
        if named is not None:
            query["block"] = {"$in": list(named)}
        fields = {"_id": 0, "t": 0, "m": 0, "messages": 0, "size_bytes": 0, "prev": 0}
        with translated():
            return await self._blocks.find(query, fields, batch_size=10_000).to_list()

    async def statistics(
        self,
        robot_id: str,
        session_id: str,
        stream: str,
        *,
        start_ns: int,
        end_ns: int,
        packed: bool,
        since_generation: int | None = None,
        before_generation: int | None = None,
    ) -> list[Document]:
        """The statistics of the blocks that begin in `[start_ns, end_ns)`, in no order; `packed` ones with `v`.

        With `since_generation` only those of that generation or later, with `before_generation` of earlier ones.
        """
        query = _window(robot_id, session_id, stream, start_ns, end_ns)
        generations = {"$gte": since_generation, "$lt": before_generation}
        if bounds := {name: bound for name, bound in generations.items() if bound is not None}:
            query["m.generation"] = bounds
        fields = _PACKED_FIELDS if packed else _LISTED_FIELDS
        with translated():
            return await self._statistics.find(query, fields, batch_size=10_000).to_list()

    async def generations(
        self, robot_id: str, session_id: str, stream: str, *, since: int, before: int
    ) -> list[tuple[int, int]]:
        """The generations in `[since, before)`, ascending, and how many blocks of the stream have statistics in each."""
        stages = [
            {"$match": _written(robot_id, session_id, stream, since, before)},
            {"$group": {"_id": "$m.generation", "blocks": {"$sum": 1}}},
            {"$sort": {"_id": 1}},
        ]
        with translated():
            return [(d["_id"], d["blocks"]) async for d in await self._statistics.aggregate(stages)]

    async def statistics_written(
        self,
        robot_id: str,
        session_id: str,
        stream: str,
        *,
        since: int,
        before: int,
        packed: bool = True,
        limit: int = 0,
    ) -> list[Document]:
        """The statistics of a stream of the generations `[since, before)`, in no order; `packed` ones with `v`.

        With a `limit` at most so many, and then any of them.
        """
        query = _written(robot_id, session_id, stream, since, before)
        fields = _PACKED_FIELDS if packed else _LISTED_FIELDS
        with translated():
            return await self._statistics.find(query, fields, batch_size=10_000, limit=limit).to_list()

    async def block_of(self, header: BlockHeader, robot_id: str, session_id: str) -> Document | None:
        """One block, whole, by its header."""
        query = _window(robot_id, session_id, header.stream, header.t_ns, header.t_ns + 1)
        query["block"] = header.id
        with translated():
            return await self._blocks.find_one(query, {"_id": 0})

    async def around(
        self, robot_id: str, session_id: str, stream: str, producer: str, seq: int
    ) -> AsyncIterator[Document]:
        """The blocks among whose numbers one lies, whole; for the rare question what was stored under it."""
        query = {
            "m.robot_id": robot_id,
            "m.session_id": session_id,
            "m.stream": stream,
            "producer": producer,
            "seq_first": {"$lte": seq},
            "seq_last": {"$gte": seq},
        }
        with translated():
            async for document in self._blocks.find(query, {"_id": 0}):
                yield document

    async def insert_statistics_documents(self, documents: Iterable[Document]) -> None:
        """Writes statistics made again from their blocks."""
        documents = list(documents)
        if documents:
            with translated():
                await self._statistics.insert_many(documents, ordered=False)

    def all_headers(self, robot_id: str, session_id: str, stream: str) -> AsyncIterator[Document]:
        """Every block of a stream without its data: for checks."""
        query = {"m.robot_id": robot_id, "m.session_id": session_id, "m.stream": stream}
        return self._blocks.find(query, _HEADER)


def cut_generations(generations: Iterable[tuple[int, int]], end: int, most_blocks: int) -> list[int]:
    """Where to cut generations so that no part has more blocks than it may, but for one generation that has so by itself.

    Args:
        generations: as `Telemetry.generations` gives them.
        end: behind the last; the last cut.
        most_blocks: of a part.

    Returns:
        For each part the generation before which it ends.
    """
    cuts: list[int] = []
    blocks = 0
    for generation, count in generations:
        if blocks and blocks + count > most_blocks:
            cuts.append(generation)
            blocks = 0
        blocks += count
    return [*cuts, end]


def _window(robot_id: str, session_id: str, stream: str, start_ns: int, end_ns: int) -> Document:
    times = {}
    start_ns = max(start_ns, 0)  # what reaches back beyond 1970 would outgrow int64
    if start_ns >= _FIRST_NS:
        times["$gte"] = as_date(min(start_ns, _PLAIN_NS))
    if end_ns <= _PLAIN_NS:
        times["$lte"] = as_date(max(end_ns - 1, 0))
    return {
        "m.robot_id": robot_id,
        "m.session_id": session_id,
        "m.stream": stream,
        **({"t": times} if times else {}),
        "t_ns": {"$gte": start_ns, "$lt": min(end_ns, 2**63 - 1)} if end_ns < 2**63 else {"$gte": start_ns},
    }


def _written(robot_id: str, session_id: str, stream: str, since: int, before: int) -> Document:
    return {
        "m.robot_id": robot_id,
        "m.session_id": session_id,
        "m.stream": stream,
        "m.generation": {"$gte": since, "$lt": before},
    }


def _meta(block: Block) -> dict[str, Any]:
    return {
        "robot_id": block.robot_id,
        "session_id": block.session_id,
        "stream": block.stream,
        "hour": block.t_ns // HOUR_NS,
        "generation": block.generation,
    }


def _block_document(block: Block) -> Document:
    document = {
        "t": as_date(block.t_ns),
        "m": _meta(block),
        "block": block.id,
        "t_ns": block.t_ns,
        "t_end_ns": block.t_end_ns,
        "n": block.n,
        "producer": block.producer,
        "seq_first": block.seqs[0][0],
        "seq_last": block.seqs[-1][1],
        "prev": block.prevs[0],
        "auto": block.auto,
        "messages": block.messages,
        "size_bytes": block.size_bytes,
        "schema": block.schema,
        "data": block.data,
    }
    if len(block.seqs) > 1:
        document |= {"seqs": [list(r) for r in block.seqs], "prevs": block.prevs}
    return document


def _statistics_document(block: Block) -> Document:
    document = {
        "t": as_date(block.t_ns),
        "m": _meta(block) | {"generation": max(block.generation, block.statistics_generation)},
        "block": block.id,
        "t_ns": block.t_ns,
        "t_end_ns": block.t_end_ns,
        "n": block.n,
        "producer": block.producer,
        "seq_first": block.seqs[0][0],
        "seq_last": block.seqs[-1][1],
        "auto": block.auto,
        "schema": block.schema,
        "v": block.statistics,
    }
    if len(block.seqs) > 1:
        document["seqs"] = [list(r) for r in block.seqs]
    return document


def statistics_document_of(block: Document, packed: bytes) -> Document:
    """The statistics document of a stored block."""
    names = "t m block t_ns t_end_ns n producer seq_first seq_last auto schema".split()
    document = {name: block[name] for name in names} | {"v": packed}
    return document | ({"seqs": block["seqs"]} if "seqs" in block else {})


def _header(d: Document) -> BlockHeader:
    seqs = tuple((first, last) for first, last in d.get("seqs") or [(d["seq_first"], d["seq_last"])])
    m = d["m"]
    return BlockHeader(
        d["block"],
        m["stream"],
        d["t_ns"],
        d["t_end_ns"],
        d["n"],
        d["producer"],
        seqs,
        tuple(d.get("prevs") or [d["prev"]]),
        d["auto"],
        d["size_bytes"],
        d["schema"],
        d["messages"],
        m["generation"],
    )
