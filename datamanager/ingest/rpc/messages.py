"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification) as data: calls in, answers out. No I/O.

A call is cancelled as the Language Server Protocol does it: `{"method": "$/cancelRequest", "params": {"id": …}}`.
"""

import re
from dataclasses import dataclass
from typing import Any

from datamanager.errors import Refused

__all__ = [
    "CANCEL",
    "CANCELLED",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "ROBOT_GONE",
    "ROBOT_NOT_CONNECTED",
    "TIMED_OUT",
    "TOO_MANY_CALLS",
    "Answer",
    "Call",
    "CallId",
    "RpcError",
    "check_methods",
    "envelope",
    "parse_answer",
    "parse_call",
]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
# -32000 to -32099 are a server's own; -32800 is the Language Server Protocol's.
ROBOT_NOT_CONNECTED = -32000
TIMED_OUT = -32001
ROBOT_GONE = -32002
TOO_MANY_CALLS = -32003
CANCELLED = -32800

CANCEL = "$/cancelRequest"
CallId = str | int | float | None
Answer = dict[str, Any]
"""Either `{"result": …}` or `{"error": {"code", "message", "data"?}}`."""

_MAX_METHODS = 1000
_MAX_ID_CHARS = 256
_METHOD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}\Z")


class RpcError(Exception):
    """A call that ends in an error.

    Attributes:
        code: as JSON-RPC has it, or one of this module's own.
        call_id: whose call it is; None when that could not be read.
    """

    def __init__(self, code: int, message: str, data: Any = None, *, call_id: CallId = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.call_id = call_id

    @property
    def answer(self) -> Answer:
        """The error as an answer has it."""
        more = {} if self.data is None else {"data": self.data}
        return {"error": {"code": self.code, "message": self.message, **more}}


@dataclass(frozen=True, slots=True)
class Call:
    """A request or notification.

    Attributes:
        params: by position or by name; None where none were given.
        is_notification: whether nobody waits for an answer: it had no `id`.
    """

    method: str
    params: list[Any] | dict[str, Any] | None
    id: CallId = None
    is_notification: bool = False


def envelope(**fields: Any) -> dict[str, Any]:
    """A message as it goes over a socket."""
    return {"type": "rpc", "jsonrpc": "2.0", **fields}


def parse_call(message: object) -> Call:
    """The call that a message makes.

    Raises:
        RpcError: `INVALID_REQUEST`, or `INVALID_PARAMS` for params that are neither a list nor a map.
    """
    if not isinstance(message, dict):
        raise RpcError(INVALID_REQUEST, f"a request must be an object, not {type(message).__name__}")
    call_id = message.get("id")
    if isinstance(call_id, bool) or not isinstance(call_id, str | int | float | None):
        raise RpcError(INVALID_REQUEST, "id must be a string, a number or null")
    if isinstance(call_id, str) and len(call_id) > _MAX_ID_CHARS:
        raise RpcError(INVALID_REQUEST, f"id has {len(call_id)} characters, {_MAX_ID_CHARS} are allowed")
    if message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'jsonrpc must be "2.0"', call_id=call_id)
    method, params = message.get("method"), message.get("params")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method must be a string", call_id=call_id)
    if params is not None and not isinstance(params, list | dict):
        raise RpcError(INVALID_PARAMS, f"params must be a list or a map, not {type(params).__name__}", call_id=call_id)
    return Call(method, params, call_id, is_notification="id" not in message)


def parse_answer(message: dict[str, Any]) -> Answer:
    """The answer that a robot gives, made sound: a robot's mistake must not become the caller's."""
    error = message.get("error")
    if error is None:
        return {"result": message.get("result")}
    if isinstance(error, dict) and type(error.get("code")) is int and isinstance(error.get("message"), str):
        return {"error": {name: error[name] for name in ("code", "message", "data") if name in error}}
    return RpcError(INTERNAL_ERROR, "the robot answered with an error of no known form").answer


def check_methods(value: object) -> tuple[str, ...]:
    """The methods that a `hello` registers: names, or maps with a `name`.

    Raises:
        Refused: `wrong_type`, `bad_id` or `too_large`.
    """
    if not isinstance(value, list):
        raise Refused("wrong_type", f"methods must be a list, not {type(value).__name__}")
    if len(value) > _MAX_METHODS:
        raise Refused("too_large", f"{len(value)} methods; at most {_MAX_METHODS} are taken")
    names = []
    for item in value:
        name = item.get("name") if isinstance(item, dict) else item
        if not isinstance(name, str):
            raise Refused("wrong_type", f"a method must be a name, or a map with a name, not {type(item).__name__}")
        if _METHOD.match(name) is None:
            raise Refused("bad_id", f"method {name[:140]!r} must be 1 to 128 of A-Z a-z 0-9 _ . : / -")
        names.append(name)
    return tuple(dict.fromkeys(names))
