"""Browsing: robots, sessions and streams."""

import asyncio

from datamanager.errors import Refused
from datamanager.playback.pages import DEFAULT_LIMIT, Page, next_cursor
from datamanager.playback.params import decode_cursor, parse_int, parse_range
from datamanager.playback.session_items import (
    RobotItem,
    SessionItem,
    SessionMarks,
    SessionWithStats,
    StreamItem,
    robot_item,
    session_item,
    session_with_stats,
    stream_item,
)
from datamanager.storage.session_queries import SessionFilter, SessionQueries
from datamanager.storage.session_totals import SessionTotals, StreamTotals

__all__ = ["MAX_SEARCH", "Browser"]

MAX_SEARCH = 256  # characters of `q`


class Browser:
    """Answers `/robots` and `/sessions`, but for their data."""

    def __init__(self, sessions: SessionQueries, totals: SessionTotals, *, page_limit: int) -> None:
        self._sessions = sessions
        self._totals = totals
        self._page_limit = page_limit

    async def robots(self, limit: str | None, cursor: str | None) -> Page[RobotItem]:
        """A page of robots, by name.

        Raises:
            Refused: a parameter cannot be read.
        """
        count = self._limit(limit)
        after = decode_cursor(cursor, tuple[str])
        found = await self._sessions.robots(count + 1, after[0] if after else None)
        items = [robot_item(d) for d in found[:count]]
        return Page(items=items, next_cursor=next_cursor(found, count, lambda d: (d["_id"],)))

    async def sessions(
        self,
        *,
        robot_id: str | None,
        start: str | None,
        end: str | None,
        tag: str | None,
        q: str | None,
        status: str | None,
        limit: str | None,
        cursor: str | None,
    ) -> Page[SessionItem]:
        """A page of sessions, the newest made first.

        Raises:
            Refused: a parameter cannot be read.
        """
        count = self._limit(limit)
        after = decode_cursor(cursor, tuple[int, str])
        span = parse_range(start, end)
        if span.is_empty:
            return Page(items=[])
        wanted = SessionFilter(
            robot_id=robot_id,
            start_ns=None if start is None else span.start_ns,
            end_ns=None if end is None else span.end_ns,
            tag=tag,
            text=_search_text(q),
            status=status,
        )
        found = await self._sessions.page(wanted, count + 1, after)
        items = [session_item(d) for d in found[:count]]
        return Page(items=items, next_cursor=next_cursor(found, count, lambda d: (d["created_ns"], d["_id"])))

    async def session(self, robot_id: str, session_id: str) -> SessionWithStats:
        """One session, with what its streams hold.

        Raises:
            NotFound: there is none.
        """
        document, totals = await asyncio.gather(
            self._sessions.one(robot_id, session_id), self._totals.of(robot_id, session_id)
        )
        return session_with_stats(document, totals)

    async def mark(self, robot_id: str, session_id: str, marks: SessionMarks) -> SessionItem:
        """Sets a session's tags and notes.

        Raises:
            NotFound: there is none.
        """
        return session_item(await self._sessions.mark(robot_id, session_id, marks.changes()))

    async def streams(self, robot_id: str, session_id: str) -> Page[StreamItem]:
        """The streams of a session, by name, on one page.

        Raises:
            NotFound: there is no such session.
        """
        documents, totals = await asyncio.gather(
            self._sessions.streams(robot_id, session_id), self._totals.of(robot_id, session_id)
        )
        return Page(items=[stream_item(d, totals.get(d["stream"], StreamTotals())) for d in documents])

    def _limit(self, text: str | None) -> int:
        return parse_int(text, "limit", default=DEFAULT_LIMIT, most=self._page_limit)


def _search_text(text: str | None) -> str | None:
    if not text:
        return None
    if len(text) > MAX_SEARCH:
        raise Refused("too_large", f"q may have {MAX_SEARCH} characters, not {len(text)}")
    if "\0" in text:
        raise Refused("malformed", "q has a NUL in it")
    return text
