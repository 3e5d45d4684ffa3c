"""`…/logs` and `WS …/logs/tail`."""

from typing import Annotated, Any

from litestar import WebSocket, get, websocket
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from datamanager.errors import DatamanagerError
from datamanager.kinds.names import check_id
from datamanager.playback.log_tail import LogTail, TailQuery
from datamanager.playback.logs import LogPage, LogReader, parse_filter
from datamanager.playback.params import parse_int, parse_list
from datamanager.playback.problems import problem_of
from datamanager.playback.routes.parameters import Cursor, Limit, RobotId, SessionId, StreamNames, Time
from datamanager.playback.routes.sockets import first_of, send_frame, until_gone

__all__ = ["LOG_HANDLERS"]

_LOGS = "/sessions/{robot_id:str}/{session_id:str}/logs"
_LAST, _MOST_LAST = 20, 1000


@get(_LOGS, summary="Entries of logs", tags=["playback"])
async def list_entries(
    log_reader: NamedDependency[LogReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: StreamNames = None,
    level: Annotated[str | None, QueryParameter(description="of this level at least: trace to fatal")] = None,
    text: Annotated[
        str | None, QueryParameter(description="with this text in their message, in upper or lower case")
    ] = None,
    logger: Annotated[str | None, QueryParameter(description="of this logger or one below it, by `.` or `/`")] = None,
    start: Time = None,
    end: Time = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> LogPage:
    """Entries of [start, end), ascending.

    A page may be short, or empty, and still have a `next_cursor`: one call looks into 20,000 records, 64 MB, or for a second.
    """
    return await log_reader.page(
        robot_id,
        session_id,
        parse_filter(level, text, logger),
        streams=stream,
        start=start,
        end=end,
        limit=limit,
        cursor=cursor,
    )


@websocket(f"{_LOGS}/tail")
async def tail_logs(
    socket: WebSocket[Any, Any, Any], log_tail: NamedDependency[LogTail], robot_id: RobotId, session_id: SessionId
) -> None:
    """Sends the last entries, then what comes, until the viewer goes; the same filters as for `…/logs`, and `last`."""
    await socket.accept()
    query = socket.query_params
    try:
        wanted = parse_filter(query.get("level"), query.get("text"), query.get("logger"))
        last = parse_int(query.get("last"), "last", default=_LAST, most=_MOST_LAST, least=0)
        streams = parse_list(query.getall("stream", []))
        asked = TailQuery(check_id(robot_id, "robot_id"), check_id(session_id, "session_id"), streams, wanted, last)
    except DatamanagerError as error:
        await socket.send_text(problem_of(error).encode().decode())
        await socket.close(error.close_code, error.detail[:120])
        return
    await first_of(_pump(socket, log_tail, asked), until_gone(socket))


async def _pump(socket: WebSocket[Any, Any, Any], log_tail: LogTail, asked: TailQuery) -> None:
    try:
        async for message in log_tail.follow(asked):
            await send_frame(socket, message.decode())
    except DatamanagerError as error:
        await send_frame(socket, problem_of(error).encode().decode())
        await socket.close(error.close_code, error.detail[:120])


LOG_HANDLERS = [list_entries, tail_logs]
