"""`/rpc/{robot_id}`: remote calls over HTTP, as JSON-RPC 2.0."""

import asyncio
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from datamanager.errors import NotFound, Refused
from datamanager.ingest.rpc.messages import INVALID_REQUEST, PARSE_ERROR, RpcError, parse_call
from datamanager.ingest.rpc.stopping import stop
from datamanager.ingest.rpc.switchboard import Switchboard
from datamanager.ingest.service import Ingest
from datamanager.ingest.wire import decode_value
from datamanager.kinds.names import check_id

__all__ = ["RPC_HANDLERS"]

_MAX_BATCH = 100


@post("/api/v1/rpc/{robot_id:str}", summary="Call a robot", tags=["rpc"], status_code=HTTP_200_OK)
async def call_robot(
    request: Request[Any, Any, Any],
    ingest: Ingest,
    switchboard: Switchboard,
    robot_id: FromPath[str],
    timeout_s: Annotated[float | None, QueryParameter(description="how long the robot may take", gt=0)] = None,
) -> Response[Any]:
    """A JSON-RPC 2.0 request, notification or batch; what goes wrong with the call is a JSON-RPC error in the answer."""
    check_id(robot_id, "robot_id")
    limit_s = ingest.config.rpc_max_timeout_s
    wait_s = ingest.config.rpc_timeout_s if timeout_s is None else timeout_s
    if not wait_s <= limit_s:
        raise Refused("too_large", f"timeout_s is {timeout_s}, at most {limit_s:g} is allowed")
    body = await request.body()
    work = asyncio.create_task(_answer(switchboard, robot_id, body, wait_s))
    gone = asyncio.create_task(_until_gone(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await asyncio.gather(stop(gone), stop(work))
    answer = None if work.cancelled() else work.result()
    if answer is None:
        return Response(b"", status_code=HTTP_204_NO_CONTENT)
    return Response(answer, media_type="application/json")


@get("/api/v1/rpc/{robot_id:str}", summary="What can be called", tags=["rpc"])
async def list_methods(switchboard: Switchboard, robot_id: FromPath[str]) -> dict[str, Any]:
    """The methods that a connected robot has registered."""
    methods = await switchboard.methods(check_id(robot_id, "robot_id"))
    if methods is None:
        raise NotFound(f"robot {robot_id} is not connected")
    return {"robot_id": robot_id, "methods": methods}


async def _until_gone(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _answer(switchboard: Switchboard, robot_id: str, body: bytes, timeout_s: float) -> Any:
    """The answer, or answers; None where nobody waits for one."""
    try:
        value = decode_value(body, text=True)
    except Refused as refused:
        return _failed(RpcError(PARSE_ERROR, refused.detail))
    if not isinstance(value, list):
        return await _one(switchboard, robot_id, value, timeout_s)
    if not 0 < len(value) <= _MAX_BATCH:
        return _failed(RpcError(INVALID_REQUEST, f"a batch has 1 to {_MAX_BATCH} calls, not {len(value)}"))
    answers = await asyncio.gather(*(_one(switchboard, robot_id, item, timeout_s) for item in value))
    return [answer for answer in answers if answer is not None] or None


async def _one(switchboard: Switchboard, robot_id: str, value: object, timeout_s: float) -> dict[str, Any] | None:
    try:
        call = parse_call(value)
    except RpcError as error:
        return _failed(error)
    try:
        answer = await switchboard.call(robot_id, call, timeout_s)
    except RpcError as error:
        answer = error.answer
    return None if call.is_notification else {"jsonrpc": "2.0", "id": call.id, **answer}


def _failed(error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": error.call_id, **error.answer}


RPC_HANDLERS = [call_robot, list_methods]
