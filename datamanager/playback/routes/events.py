"""`/events` and `WS /events`: what models, analytics and alert rules have to say."""

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from datamanager.errors import DatamanagerError
from datamanager.kinds.names import check_id, check_stream
from datamanager.playback.events import EventFilter, EventHub, EventPage, EventPages, parse_types
from datamanager.playback.params import parse_list
from datamanager.playback.problems import problem_of
from datamanager.playback.routes.parameters import Limit
from datamanager.playback.routes.sockets import first_of, send_frame, until_gone
from datamanager.storage.events import parse_event_id

__all__ = ["EVENT_HANDLERS"]


@get("/events", summary="Events, by when they were told", tags=["events"])
async def list_events(
    event_pages: NamedDependency[EventPages],
    types: Annotated[
        list[str] | None,
        QueryParameter(description="event streams (`alert_events`) or types of events (`alert_fired`)"),
    ] = None,
    robot_id: Annotated[str | None, QueryParameter(description="whose")] = None,
    session_id: Annotated[str | None, QueryParameter(description="of which session")] = None,
    camera_id: Annotated[str | None, QueryParameter(description="about which stream")] = None,
    after: Annotated[str | None, QueryParameter(description="behind which event; `0`: all that are kept")] = None,
    limit: Limit = None,
) -> EventPage:
    """Ascending. One call looks at 20,000 events: a page may be short and still have more behind its `after`."""
    wanted = _filter(types or (), robot_id, session_id, camera_id)
    return await event_pages.page(wanted, after=after, limit=limit)


@websocket("/events")
async def watch_events(socket: WebSocket[Any, Any, Any], event_hub: NamedDependency[EventHub]) -> None:
    """Sends events until the viewer goes: from now on, or those behind `after`; `types` and the rest as for `GET /events`.

    The first message is `{"type": "welcome"}`; `{"type": "dropped", "count": n}` tells a slow viewer of what it lost, and
    `{"type": "gap"}` that events behind `after` were not kept any more.
    """
    await socket.accept()
    query = socket.query_params
    try:
        ids = (query.get("robot_id"), query.get("session_id"), query.get("camera_id"))
        wanted = _filter(query.getall("types", []), *ids)
        after = parse_event_id(query["after"]) if "after" in query else None
    except DatamanagerError as error:
        await socket.send_text(problem_of(error).encode().decode())
        await socket.close(error.close_code, error.detail[:120])
        return
    async with event_hub.watch(wanted, after) as texts:
        await first_of(_pump(socket, texts), until_gone(socket))


async def _pump(socket: WebSocket[Any, Any, Any], texts: Any) -> None:
    async for text in texts:
        await send_frame(socket, text)


def _filter(types: Sequence[str], robot_id: str | None, session_id: str | None, camera_id: str | None) -> EventFilter:
    topics, event_types = parse_types(parse_list(types))
    return EventFilter(
        topics=topics,
        event_types=event_types,
        robot_id=check_id(robot_id, "robot_id") if robot_id else None,
        session_id=check_id(session_id, "session_id") if session_id else None,
        camera_id=check_stream(camera_id) if camera_id else None,
    )


EVENT_HANDLERS = [list_events, watch_events]
