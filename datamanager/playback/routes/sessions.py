"""`/robots`, `/sessions`, `…/streams`, `…/timeline` and `…/at`."""

from typing import Annotated

from litestar import get, patch
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody, QueryParameter

from datamanager.playback.browse import Browser
from datamanager.playback.moment import MomentReader, SampleItem
from datamanager.playback.pages import Page
from datamanager.playback.params import parse_int, parse_list, parse_moment_ns
from datamanager.playback.record_items import RecordItem
from datamanager.playback.routes.parameters import Cursor, Limit, RobotId, SessionId, StreamNames, Time
from datamanager.playback.session_items import RobotItem, SessionItem, SessionMarks, SessionWithStats, StreamItem
from datamanager.playback.timeline import MAX_BINS, Timeline, TimelineReader

__all__ = ["SESSION_HANDLERS"]

_SESSION = "/sessions/{robot_id:str}/{session_id:str}"
_DEFAULT_BINS = 100


@get("/robots", summary="Robots, by name", tags=["browse"])
async def list_robots(browser: NamedDependency[Browser], limit: Limit = None, cursor: Cursor = None) -> Page[RobotItem]:
    """Every robot that has a session."""
    return await browser.robots(limit, cursor)


@get("/sessions", summary="Sessions, the newest first", tags=["browse"])
async def list_sessions(
    browser: NamedDependency[Browser],
    robot_id: FromQuery[str | None] = None,
    start: Time = None,
    end: Time = None,
    tag: FromQuery[str | None] = None,
    q: Annotated[str | None, QueryParameter(description="text in ids, tags or notes")] = None,
    status: Annotated[str | None, QueryParameter(description="recording or ended")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Page[SessionItem]:
    """Sessions whose data overlap [start, end)."""
    return await browser.sessions(
        robot_id=robot_id, start=start, end=end, tag=tag, q=q, status=status, limit=limit, cursor=cursor
    )


@get(_SESSION, summary="One session", tags=["browse"])
async def get_session(browser: NamedDependency[Browser], robot_id: RobotId, session_id: SessionId) -> SessionWithStats:
    """One session, with what each of its streams holds."""
    return await browser.session(robot_id, session_id)


@patch(_SESSION, summary="Mark a session", tags=["browse"])
async def mark_session(
    browser: NamedDependency[Browser],
    robot_id: RobotId,
    session_id: SessionId,
    data: JSONBody[SessionMarks],
) -> SessionItem:
    """Sets a session's tags and notes."""
    return await browser.mark(robot_id, session_id, data)


@get(f"{_SESSION}/streams", summary="A session's streams", tags=["browse"])
async def list_streams(browser: NamedDependency[Browser], robot_id: RobotId, session_id: SessionId) -> Page[StreamItem]:
    """Every stream, with its kind, its channels and what it holds."""
    return await browser.streams(robot_id, session_id)


@get(f"{_SESSION}/timeline", summary="How dense a session is over time", tags=["playback"])
async def get_timeline(
    timelines: NamedDependency[TimelineReader],
    robot_id: RobotId,
    session_id: SessionId,
    bins: FromQuery[str | None] = None,
    start: Time = None,
    end: Time = None,
) -> Timeline:
    """How many samples or records of each stream lie in each bin of [start, end)."""
    count = parse_int(bins, "bins", default=_DEFAULT_BINS, most=MAX_BINS)
    return await timelines.read(robot_id, session_id, start, end, count)


@get(f"{_SESSION}/at", summary="A session at one time", tags=["playback"])
async def get_moment(
    moments: NamedDependency[MomentReader],
    robot_id: RobotId,
    session_id: SessionId,
    t: Annotated[str, QueryParameter(description="the moment; forms as for `start`")],
    streams: StreamNames = None,
) -> Page[RecordItem | SampleItem]:
    """The last record, or sample, of each stream at or before `t`."""
    return Page(items=await moments.at(robot_id, session_id, parse_list(streams), parse_moment_ns(t)))


SESSION_HANDLERS = [
    list_robots,
    list_sessions,
    get_session,
    mark_session,
    list_streams,
    get_timeline,
    get_moment,
]
