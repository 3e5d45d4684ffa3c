"""Pages of a session's records, and the addresses of many frames at once."""

from collections.abc import Sequence
from typing import cast

import msgspec

from datamanager.errors import Refused
from datamanager.playback.bounded_cache import BoundedCache
from datamanager.playback.page_cache import PageCache
from datamanager.playback.pages import DEFAULT_LIMIT, Page, next_cursor
from datamanager.playback.params import decode_cursor, parse_int, parse_list, parse_range
from datamanager.playback.plain_json import encode_json
from datamanager.playback.record_items import RecordItem, RecordItems, Tier, TierUrls, parse_tiers
from datamanager.storage.record_queries import RecordQueries, RecordQuery
from datamanager.storage.session_queries import SessionQueries

__all__ = ["FrameUrls", "FrameUrlsRequest", "ManyFrameUrls", "RecordPages"]


_WORTH_CACHING = 50  # a smaller page is read in one query, as fast as from the cache
_MANY_QUERIES = 4096


class FrameUrlsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which frames, and which of their tiers; all tiers when none is named."""

    frame_ids: list[str]
    tiers: list[str] = []


class FrameUrls(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of one frame."""

    frame_id: str
    urls: TierUrls


class ManyFrameUrls(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses of many frames, in the order that was asked for; `missing` are the ids of no frame."""

    items: list[FrameUrls]
    missing: list[str]


class RecordPages:
    """Answers `…/records` and `POST /frames/urls`."""

    def __init__(
        self,
        sessions: SessionQueries,
        records: RecordQueries,
        items: RecordItems,
        cache: PageCache,
        *,
        page_limit: int,
    ) -> None:
        self._sessions = sessions
        self._records = records
        self._items = items
        self._cache = cache
        self._page_limit = page_limit
        self._asked: BoundedCache[bool] = BoundedCache(_MANY_QUERIES)

    async def page(
        self,
        robot_id: str,
        session_id: str,
        *,
        streams: list[str] | None,
        start: str | None,
        end: str | None,
        tiers: list[str] | None,
        limit: str | None,
        cursor: str | None,
    ) -> Page[RecordItem]:
        """A page of records, ascending in time.

        Raises:
            NotFound: there is no such session.
            Refused: a parameter cannot be read.
        """
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        span, after = parse_range(start, end), decode_cursor(cursor, tuple[int, str])
        wanted = parse_tiers(parse_list(tiers))
        query = RecordQuery(robot_id, session_id, parse_list(streams), span.start_ns, span.end_ns, count + 1, after)
        if count < _WORTH_CACHING or not self._asked_before(query, wanted):
            found = await self._records.page(query)
            items = self._items.items(found[:count], wanted)
            places = [(d["t_ns"], d["_id"]) for d in found]
        else:
            places = await self._records.places(query)
            items = await self._through_cache(query, [key for _, key in places[:count]], wanted)
        if not places:
            await self._sessions.one(robot_id, session_id)  # so that no such session is told from no such record
        return Page(items=items, next_cursor=next_cursor(places, count, lambda place: place))

    def _asked_before(self, query: RecordQuery, tiers: Sequence[Tier]) -> bool:
        """Whether this process was asked the same lately. Who reads a session once does not fill Redis with it."""
        key = repr((query, tiers))
        before = self._asked.get(key) is not None
        self._asked.put(key, True, 1)  # there is nothing else to keep
        return before

    async def _through_cache(
        self, query: RecordQuery, record_ids: list[str], tiers: Sequence[Tier]
    ) -> list[RecordItem]:
        async def make() -> bytes:
            found = {document["_id"]: document for document in await self._records.page(query)}
            # What came meanwhile may have pushed some off that page.
            pushed = [record_id for record_id in record_ids if record_id not in found]
            found |= {d["_id"]: d for d in await self._records.many(pushed)} if pushed else {}
            return encode_json(self._items.items([found[i] for i in record_ids if i in found], tiers))

        encoded = await self._cache.through(query.robot_id, query.session_id, [*record_ids, *tiers], make)
        return cast("list[RecordItem]", msgspec.Raw(encoded))  # is written out as it stands

    async def frame_urls(self, request: FrameUrlsRequest) -> ManyFrameUrls:
        """The addresses of many frames.

        Raises:
            Refused: too many are asked for, or a tier is none.
        """
        if len(request.frame_ids) > self._page_limit:
            raise Refused("too_large", f"{len(request.frame_ids)} frame_ids are more than {self._page_limit}")
        tiers = parse_tiers(request.tiers)
        wanted = list(dict.fromkeys(request.frame_ids))
        found = await self._records.frames(wanted)
        there = [frame_id for frame_id in wanted if frame_id in found]
        urls = self._items.urls([found[frame_id] for frame_id in there], tiers)
        items = [FrameUrls(frame_id=frame_id, urls=u) for frame_id, u in zip(there, urls, strict=True)]
        return ManyFrameUrls(items=items, missing=[frame_id for frame_id in wanted if frame_id not in found])
