"""The parameters that routes share, as the OpenAPI document describes them."""

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

from datamanager.errors import Refused

__all__ = [
    "Channels",
    "Cursor",
    "Format",
    "Limit",
    "RobotId",
    "SampleStream",
    "SessionId",
    "StreamNames",
    "Time",
    "named",
]

RobotId = Annotated[str, PathParameter(description="who recorded")]
SessionId = Annotated[str, PathParameter(description="which recording run")]
Limit = Annotated[str | None, QueryParameter(description="how many items at most")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")]
Time = Annotated[str | None, QueryParameter(description="RFC 3339, seconds, or nanoseconds (integers from 1e14 on)")]
StreamNames = Annotated[list[str] | None, QueryParameter(description="by repeated keys or with commas; all when none")]
SampleStream = Annotated[str | None, QueryParameter(description="a time_series stream")]
Channels = Annotated[list[str] | None, QueryParameter(description="channels; all when none is named")]
Format = Annotated[str, QueryParameter(name="format", description="json, ndjson, msgpack, arrow or csv")]


def named(stream: str | None) -> str:
    """The stream that a query must name.

    Raises:
        Refused: `missing_field`, it names none.
    """
    if not stream:
        raise Refused("missing_field", "the query names no stream")
    return stream
