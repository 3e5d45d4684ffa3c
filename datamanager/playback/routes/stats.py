"""`…/stats`: pre-computed aggregates of a stream."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from datamanager.errors import Refused
from datamanager.playback.aggregates import AggregateQuery, AggregateReader
from datamanager.playback.params import parse_list, parse_range
from datamanager.playback.routes.parameters import RobotId, SessionId, Time

__all__ = ["STATS_HANDLERS"]


@get("/sessions/{robot_id:str}/{session_id:str}/stats", summary="Aggregates of a stream", tags=["play back"])
async def get_stats(
    aggregates: NamedDependency[AggregateReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: Annotated[str | None, QueryParameter(description="a time_series stream")] = None,
    resolution: Annotated[str, QueryParameter(description="1s, 10s, 1min, 10min, or block")] = "1min",
    start: Time = None,
    end: Time = None,
    channels: Annotated[list[str] | None, QueryParameter(description="channels; all when none is named")] = None,
    format_: Annotated[str, QueryParameter(name="format", description="json, ndjson, msgpack, arrow or csv")] = "json",
) -> Stream:
    """Count, min, max, mean, first and last of each numeric channel, in windows that lie at multiples of the resolution."""
    if not stream:
        raise Refused("missing_field", "the query names no stream")
    query = AggregateQuery(
        robot_id=robot_id,
        session_id=session_id,
        stream=stream,
        times=parse_range(start, end),
        channels=parse_list(channels),
        resolution=resolution,
        format=format_,
    )
    mime, body = await aggregates.read(query)
    return Stream(body, media_type=mime)


STATS_HANDLERS = [get_stats]
