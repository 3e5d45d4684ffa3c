"""The parameters that routes share, as the OpenAPI document describes them."""

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

__all__ = ["Cursor", "Limit", "RobotId", "SessionId", "StreamNames", "Time"]

RobotId = Annotated[str, PathParameter(description="who recorded")]
SessionId = Annotated[str, PathParameter(description="which recording run")]
Limit = Annotated[str | None, QueryParameter(description="how many items at most")]
Cursor = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before")]
Time = Annotated[str | None, QueryParameter(description="RFC 3339, seconds, or nanoseconds (integers from 1e14 on)")]
StreamNames = Annotated[list[str] | None, QueryParameter(description="by repeated keys or with commas; all when none")]
