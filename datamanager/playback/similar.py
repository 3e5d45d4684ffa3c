"""Frames like a given one, by the embeddings that a model made of them."""

import asyncio
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from datamanager.errors import Conflict, Refused
from datamanager.playback.embeddings import EmbeddingCache, nearest, unit_rows
from datamanager.playback.pages import DEFAULT_LIMIT
from datamanager.playback.params import parse_int, parse_list, parse_number
from datamanager.playback.plain_json import timestamp_s
from datamanager.playback.record_items import RecordItems, TierUrls
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.result_queries import EmbeddingScope, ResultQueries

__all__ = ["NoEmbedding", "SimilarFrame", "SimilarFrames", "SimilarReader"]

Scope = Literal["session", "robot", "all"]
_SCOPES: tuple[Scope, ...] = get_args(Scope)


class NoEmbedding(Conflict):
    """A frame or stream has no embedding yet; the detail says how to get one."""

    code = "no_embedding"


class SimilarFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame like the one that was asked about.

    Attributes:
        score: cosine similarity of their embeddings, -1 to 1.
        t_ns: Unix nanoseconds, as text; `timestamp` is the same in seconds.
    """

    frame_id: str
    score: float
    robot_id: str
    session_id: str
    stream: str
    t_ns: str
    timestamp: float
    urls: TierUrls


class SimilarFrames(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the most similar first.

    Attributes:
        model, version: whose embeddings were compared.
        looked_at: how many.
        is_cut: whether there are more, written before these, that were not.
    """

    frame_id: str
    model: str
    version: str
    scope: Scope
    looked_at: int
    is_cut: bool
    items: list[SimilarFrame]


class SimilarReader:
    """Answers `/frames/{frame_id}/similar`."""

    def __init__(
        self,
        results: ResultQueries,
        records: RecordQueries,
        items: RecordItems,
        cache: EmbeddingCache,
        *,
        page_limit: int,
    ) -> None:
        self._results = results
        self._records = records
        self._items = items
        self._cache = cache
        self._page_limit = page_limit

    async def similar(
        self, frame_id: str, *, scope: str | None, streams: list[str] | None, min_score: str | None, limit: str | None
    ) -> SimilarFrames:
        """The frames most like one of which there is an embedding; itself left out.

        Args:
            frame_id: like which.
            scope: `session`, `robot` or `all`: among whose frames.
            streams: among those of these streams.
            min_score: least cosine similarity.
            limit: how many at most.

        Raises:
            NotFound: there is no such frame.
            NoEmbedding: it has none.
            Refused: a parameter cannot be read.
            RangeTooLarge: it takes MongoDB too long.
        """
        count = parse_int(limit, "limit", default=min(DEFAULT_LIMIT, 20), most=self._page_limit)
        least = parse_number(min_score, "min_score", default=-1.0, least=-1.0, most=1.0)
        named, wide = parse_list(streams), _parse_scope(scope)
        own = await self._results.embedding_of(frame_id)
        if own is None:
            await self._records.frame(frame_id)
            raise NoEmbedding(
                f"frame {frame_id!r} has no embedding: add a rule with a model of the task `embed` (POST /enrichments), "
                "and the frames that come from then on get one"
            )
        dimension = len(own["vector"]) // 4
        (vector,), _ = unit_rows([own["vector"]], dimension)
        found = await self._cache.of(_embeddings_of(own, wide), dimension)
        near = await asyncio.to_thread(
            nearest, found, vector, streams=named, but=frame_id, limit=count, min_score=least
        )
        return SimilarFrames(
            frame_id=frame_id,
            model=own["model"],
            version=own["version"],
            scope=wide,
            looked_at=len(found.frame_ids),
            is_cut=found.is_cut,
            items=await self._made(near),
        )

    async def _made(self, near: Sequence[tuple[str, float]]) -> list[SimilarFrame]:
        frames = await self._records.frames([frame_id for frame_id, _ in near]) if near else {}
        there = [(frames[frame_id], score) for frame_id, score in near if frame_id in frames]  # others were deleted
        urls = self._items.urls([frame for frame, _ in there])
        return [_item(frame, score, of_frame) for (frame, score), of_frame in zip(there, urls, strict=True)]


def _parse_scope(text: str | None) -> Scope:
    for scope in _SCOPES:
        if text == scope:
            return scope
    if text is not None:
        raise Refused("wrong_type", f"scope {text[:32]!r} is none of {', '.join(_SCOPES)}")
    return "session"


def _embeddings_of(own: Document, scope: Scope) -> EmbeddingScope:
    return EmbeddingScope(
        model=own["model"],
        version=own["version"],
        robot_id=None if scope == "all" else own["robot_id"],
        session_id=own["session_id"] if scope == "session" else None,
    )


def _item(frame: Document, score: float, urls: TierUrls) -> SimilarFrame:
    return SimilarFrame(
        frame_id=frame["_id"],
        score=round(score, 6),
        robot_id=frame["robot_id"],
        session_id=frame["session_id"],
        stream=frame["stream"],
        t_ns=str(frame["t_ns"]),
        timestamp=timestamp_s(frame["t_ns"]),
        urls=urls,
    )
