"""`…/parameters` and `…/parameters/diff`."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from datamanager.errors import Refused
from datamanager.kinds.names import MAX_T_NS
from datamanager.playback.parameter_values import ParameterDifference, ParameterReader, ParameterValues, Wanted
from datamanager.playback.params import parse_moment_ns
from datamanager.playback.routes.parameters import RobotId, SessionId

__all__ = ["PARAMETER_HANDLERS"]

_PARAMETERS = "/sessions/{robot_id:str}/{session_id:str}/parameters"
Stream = Annotated[
    str | None, QueryParameter(description="a stream of parameters; may be left out where there is but one")
]
Moment = Annotated[str | None, QueryParameter(description="the moment; forms as for `start`; the latest when left out")]


@get(_PARAMETERS, summary="Parameters at one time", tags=["playback"])
async def get_parameters(
    parameter_reader: NamedDependency[ParameterReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: Stream = None,
    t: Moment = None,
) -> ParameterValues:
    """What all records at or before `t` come to: each replaces what was before, or is merged into it (RFC 7386)."""
    return await parameter_reader.at(Wanted(robot_id, session_id, stream, _moment(t, "t")))


@get(f"{_PARAMETERS}/diff", summary="What changed in parameters", tags=["playback"])
async def get_parameter_difference(
    parameter_reader: NamedDependency[ParameterReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: Stream = None,
    from_: Annotated[
        str | None, QueryParameter(name="from", description="one moment; the latest when left out")
    ] = None,
    to: Annotated[str | None, QueryParameter(description="the other moment; the latest when left out")] = None,
    robot_id2: Annotated[str | None, QueryParameter(description="whose is the other session; the same robot's")] = None,
    session_id2: Annotated[str | None, QueryParameter(description="the session that `to` is of; the same one")] = None,
    stream2: FromQuery[str | None] = None,
) -> ParameterDifference:
    """What was added, removed and changed from one moment to another, or from one session to another."""
    if from_ is None and session_id2 is None and robot_id2 is None:
        raise Refused("missing_field", "the query names neither `from` nor another session: nothing is to be compared")
    before = Wanted(robot_id, session_id, stream, _moment(from_, "from"))
    other = Wanted(robot_id2 or robot_id, session_id2 or session_id, stream2 or stream, _moment(to, "to"))
    return await parameter_reader.difference(before, other)


def _moment(text: str | None, name: str) -> int:
    return MAX_T_NS if text is None else parse_moment_ns(text, name)


PARAMETER_HANDLERS = [get_parameters, get_parameter_difference]
