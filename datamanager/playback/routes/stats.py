"""`…/stats`: pre-computed aggregates of a stream."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from datamanager.playback.aggregates import AggregateQuery, AggregateReader
from datamanager.playback.params import parse_list, parse_range
from datamanager.playback.routes.parameters import Channels, Format, RobotId, SampleStream, SessionId, Time, named

__all__ = ["STATS_HANDLERS"]


@get("/sessions/{robot_id:str}/{session_id:str}/stats", summary="Aggregates of a stream", tags=["play back"])
async def get_stats(
    aggregates: NamedDependency[AggregateReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: SampleStream = None,
    resolution: Annotated[str, QueryParameter(description="1s, 10s, 1min, 10min, or block")] = "1min",
    start: Time = None,
    end: Time = None,
    channels: Channels = None,
    format_: Format = "json",
) -> Stream:
    """Count, min, max, mean, first and last of each numeric channel, in windows that lie at multiples of the resolution."""
    query = AggregateQuery(
        robot_id=robot_id,
        session_id=session_id,
        stream=named(stream),
        times=parse_range(start, end),
        channels=parse_list(channels),
        resolution=resolution,
        format=format_,
    )
    mime, body = await aggregates.read(query)
    return Stream(body, media_type=mime)


STATS_HANDLERS = [get_stats]
