"""Results of models as the API tells them: by page, of a session or of all, and of one frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.errors import Refused
from datamanager.playback.pages import DEFAULT_LIMIT, Page, next_cursor
from datamanager.playback.params import parse_int, parse_list, parse_place, parse_range
from datamanager.playback.plain_json import plain, timestamp_s
from datamanager.playback.record_items import RecordItems, TierUrls, parse_tiers
from datamanager.storage.facts import values_of
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.result_queries import ResultQueries, ResultQuery
from datamanager.storage.session_queries import SessionQueries
from datamanager.storage.where import Expression, parse_where

__all__ = ["FrameResults", "ResultItem", "ResultPages", "ResultsAsked"]


class ResultItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model said of one frame, or of one window of samples.

    Attributes:
        t_ns: Unix nanoseconds, as text, of the frame or of the window's end; `timestamp` is the same in seconds.
        stream: what was looked at; `output` is the result stream.
        enrichment: the rule that asked for it.
        status: `ok`, or `skipped` and `failed` with a `reason`.
        latency_ms: of the model; `total_ms` from the frame's arrival to its result.
        values: numbers and words by name.
        detections: of a detector: `class`, `class_id`, `score`, `box` ([x1, y1, x2, y2] in pixels of the upright
            picture), and `track_id` once it has one.
        extra: what else the model's task gives; `width` and `height` of the upright picture are there.
        urls: addresses of the frame's tiers, as `…/records` gives them; null where there is no frame any more.
    """

    result_id: str
    robot_id: str
    session_id: str
    frame_id: str | None
    t_ns: str
    timestamp: float
    stream: str
    output: str
    enrichment: str
    task: str
    model: str
    version: str
    status: str
    latency_ms: float
    total_ms: float
    values: dict[str, Any]
    urls: TierUrls | None
    reason: str | None = None
    detections: list[dict[str, Any]] | None = None
    extra: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class ResultsAsked:
    """Which results a page is asked for, as the request says it.

    Attributes:
        streams: of these result streams (`front/detections`).
        start: the first time.
        end: the time behind the last.
        where: of which this is true; see `storage.where`.
        order: `asc` by time, or `desc`.
        tiers: addresses of these tiers only.
        limit: how many at most.
        cursor: `next_cursor` of the page before.
    """

    streams: list[str] | None
    start: str | None
    end: str | None
    where: str | None
    order: str | None
    tiers: list[str] | None
    limit: str | None
    cursor: str | None


class FrameResults(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one frame, by result stream."""

    frame_id: str
    items: list[ResultItem]


class ResultPages:
    """Answers `…/results`, `/results` and `/frames/{frame_id}/results`."""

    def __init__(
        self,
        sessions: SessionQueries,
        results: ResultQueries,
        records: RecordQueries,
        items: RecordItems,
        *,
        page_limit: int,
    ) -> None:
        self._sessions = sessions
        self._results = results
        self._records = records
        self._items = items
        self._page_limit = page_limit

    async def page(self, robot_id: str | None, session_id: str | None, asked: ResultsAsked) -> Page[ResultItem]:
        """A page of results.

        Args:
            robot_id: of this robot; of all when None.
            session_id: of this session; of all when None.
            asked: what else is asked of them.

        Raises:
            NotFound: there is no such session.
            Refused: a parameter cannot be read.
            RangeTooLarge: it takes MongoDB too long.
        """
        count = parse_int(asked.limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        span = parse_range(asked.start, asked.end)
        query = ResultQuery(
            robot_id=robot_id,
            session_id=session_id,
            outputs=parse_list(asked.streams),
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            where=_parse_where(asked.where),
            limit=count + 1,
            descending=_is_descending(asked.order),
            after=parse_place(asked.cursor),
        )
        wanted = parse_list(asked.tiers)
        parse_tiers(wanted)  # before anything is read
        found = await self._results.page(query)
        if not found and robot_id is not None and session_id is not None:
            await self._sessions.one(robot_id, session_id)  # so that no such session is told from no such result
        return Page(
            items=await self._made(found[:count], wanted),
            next_cursor=next_cursor(found, count, lambda document: (document["t_ns"], document["_id"])),
        )

    async def of_frame(self, frame_id: str) -> FrameResults:
        """All results of one frame.

        Raises:
            NotFound: there is no such frame.
        """
        frame = await self._records.frame(frame_id)
        found = await self._results.of_frame(frame_id, self._page_limit)
        (urls,) = self._items.urls([frame])
        return FrameResults(frame_id=frame_id, items=[_item(document, {frame_id: urls}) for document in found])

    async def _made(self, found: Sequence[Document], tiers: list[str]) -> list[ResultItem]:
        frame_ids = list(dict.fromkeys(document["frame_id"] for document in found if document["frame_id"]))
        frames = list((await self._records.frames(frame_ids)).values()) if frame_ids else []
        urls = self._items.urls(frames, parse_tiers(tiers))
        by_frame = {frame["_id"]: of_frame for frame, of_frame in zip(frames, urls, strict=True)}
        return [_item(document, by_frame) for document in found]


def _parse_where(text: str | None) -> Expression | None:
    return None if text is None or not text.strip() else parse_where(text)


def _is_descending(order: str | None) -> bool:
    if order not in (None, "asc", "desc"):
        raise Refused("wrong_type", f"order {order[:32]!r} is neither asc nor desc")
    return order == "desc"


def _item(document: Document, urls: Mapping[str, TierUrls]) -> ResultItem:
    t_ns = document["t_ns"]
    detections = document.get("detections")
    return ResultItem(
        result_id=document["_id"],
        robot_id=document["robot_id"],
        session_id=document["session_id"],
        frame_id=document["frame_id"] or None,
        t_ns=str(t_ns),
        timestamp=timestamp_s(t_ns),
        stream=document["stream"],
        output=document["output"],
        enrichment=document["enrichment"],
        task=document["task"],
        model=document["model"],
        version=document["version"],
        status=document["status"],
        latency_ms=document["latency_ms"],
        total_ms=document["total_ms"],
        values=plain(values_of(document["values"])),
        urls=urls.get(document["frame_id"]),
        reason=document.get("reason"),
        detections=None if detections is None else plain(detections),
        extra=plain(document.get("extra") or {}),
    )
