"""`…/range`: the samples of a stream."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from datamanager.playback.newest import NewestItem, NewestReader
from datamanager.playback.params import parse_int, parse_list, parse_range
from datamanager.playback.ranges import RangeQuery, RangeReader
from datamanager.playback.routes.parameters import (
    Channels,
    Format,
    Limit,
    RobotId,
    SampleStream,
    SessionId,
    StreamNames,
    Time,
    named,
)
from datamanager.storage.latest import LATEST_SAMPLES

__all__ = ["RANGE_HANDLERS"]


@get("/sessions/{robot_id:str}/{session_id:str}/range", summary="Samples of a stream", tags=["play back"])
async def get_range(
    ranges: NamedDependency[RangeReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: SampleStream = None,
    start: Time = None,
    end: Time = None,
    channels: Channels = None,
    max_points: Annotated[
        str | None, QueryParameter(description="at most so many buckets of min, max and mean")
    ] = None,
    format_: Format = "json",
) -> Stream:
    """The samples in [start, end), in ascending time, streamed; with `max_points`, buckets of them."""
    query = RangeQuery(
        robot_id=robot_id,
        session_id=session_id,
        stream=named(stream),
        times=parse_range(start, end),
        channels=parse_list(channels),
        max_points=max_points,
        format=format_,
    )
    mime, body = await ranges.read(query)
    return Stream(body, media_type=mime)


@get("/sessions/{robot_id:str}/{session_id:str}/latest", summary="Newest samples of streams", tags=["play back"])
async def get_latest(
    newest: NamedDependency[NewestReader],
    robot_id: RobotId,
    session_id: SessionId,
    streams: StreamNames = None,
    limit: Limit = None,
) -> dict[str, list[NewestItem]]:
    """The last samples of what is being recorded, from Redis: up to a second late; nothing when Redis lost them."""
    count = parse_int(limit, "limit", default=1, most=LATEST_SAMPLES)
    return {"items": await newest.read(robot_id, session_id, parse_list(streams), count)}


RANGE_HANDLERS = [get_range, get_latest]
