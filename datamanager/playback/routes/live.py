"""`WS /live`: what arrives now."""

from typing import Any

from litestar import WebSocket, websocket
from litestar.di import NamedDependency

from datamanager.errors import DatamanagerError, Refused
from datamanager.kinds.names import check_id
from datamanager.playback.live import LiveHub
from datamanager.playback.params import parse_list
from datamanager.playback.problems import problem_of
from datamanager.playback.routes.sockets import first_of, send_frame, until_gone
from datamanager.playback.viewer import Viewer

__all__ = ["LIVE_HANDLERS"]

_FORMATS = ("json", "msgpack")


@websocket("/live")
async def watch_live(socket: WebSocket[Any, Any, Any], live: NamedDependency[LiveHub]) -> None:
    """Sends what a session, or every session of a robot, receives from now on, until the viewer goes.

    The first message is `{"type": "welcome", ...}`, once what comes is seen; `{"type": "dropped", "count": n}` tells
    a slow viewer of what it lost.
    """
    await socket.accept()
    query = socket.query_params
    try:
        form = query.get("format", "json")
        if form not in _FORMATS:
            raise Refused("wrong_type", f"format {form[:32]!r} is none of {', '.join(_FORMATS)}")
        robot_id = check_id(query.get("robot_id"), "robot_id")
        session_id = check_id(query["session_id"], "session_id") if query.get("session_id") else None
        streams = parse_list(query.getall("streams", []))
    except DatamanagerError as error:
        await socket.send_text(problem_of(error).encode().decode())
        await socket.close(error.close_code, error.detail[:120])
        return
    async with live.watch(robot_id, session_id, streams, as_json=form == "json") as viewer:
        welcome = {"type": "welcome", "robot_id": robot_id, "session_id": session_id, "streams": streams}
        await send_frame(socket, viewer.encode(welcome))
        await first_of(_pump(socket, viewer), until_gone(socket))


async def _pump(socket: WebSocket[Any, Any, Any], viewer: Viewer) -> None:
    while True:
        await send_frame(socket, await viewer.next())


LIVE_HANDLERS = [watch_live]
