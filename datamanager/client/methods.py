"""Remote calls that a robot answers: functions by name, called as the server asks for them."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, overload

import msgspec

from datamanager.client.errors import RpcError
from datamanager.client.wire import Control

__all__ = ["Methods"]

METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR, CANCELLED = -32601, -32602, -32603, -32800
_CANCEL = "$/cancelRequest"
_log = logging.getLogger(__name__)
_encoder = msgspec.msgpack.Encoder()

P = ParamSpec("P")
R = TypeVar("R")
Send = Callable[[bytes], Awaitable[None]]


class Methods:
    """The functions of one robot.

    A coroutine function is run in the event loop and cancelled when its caller cancels; any other function is run in a
    thread, which cannot be: its result is dropped then. Calls run at the same time.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}
        self._running: dict[Any, asyncio.Task[None]] = {}
        self._changed = changed

    @overload
    def register(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def register(self, name: str, /) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def register(self, function_or_name: Any, /) -> Any:
        """Registers a function under its own name, or under a name that is given; as a decorator."""
        if isinstance(function_or_name, str):
            return lambda function: self._add(function_or_name, function)
        return self._add(function_or_name.__name__, function_or_name)

    def _add(self, name: str, function: Callable[P, R]) -> Callable[P, R]:
        self._functions[name] = function
        self._changed()
        return function

    @property
    def names(self) -> list[str]:
        """What can be called."""
        return sorted(self._functions)

    def hear(self, said: Control, send: Send) -> None:
        """The server calls, or cancels a call."""
        if said.method == _CANCEL:
            call_id = said.params.get("id") if isinstance(said.params, dict) else None
            task = self._running.get(call_id)
            if task is not None:
                task.cancel()
        elif said.method is not None:
            call_id = said.id
            task = asyncio.create_task(self._answer(call_id, said.method, said.params, send))
            self._running[call_id] = task
            task.add_done_callback(lambda _: self._running.pop(call_id, None))

    def hang_up(self) -> None:
        """The connection is gone, and with it whoever waits: what runs is cancelled."""
        for task in self._running.values():
            task.cancel()

    async def _answer(self, call_id: Any, method: str, params: Any, send: Send) -> None:
        try:
            said = _message(call_id, {"result": await self._call(method, params)})
        except asyncio.CancelledError:
            said = _message(call_id, {"error": RpcError(CANCELLED, f"{method} was cancelled").fields})
        except Exception as exc:  # noqa: BLE001  # whatever a robot's function raises is the caller's answer
            said = _message(call_id, {"error": _told(exc, method).fields})
        try:
            await send(said)
        except OSError as error:
            _log.info("the answer to %s was not sent: %s", method, error)

    async def _call(self, method: str, params: Any) -> Any:
        function = self._functions.get(method)
        if function is None:
            raise RpcError(METHOD_NOT_FOUND, f"there is no method {method!r}")
        by_place, by_name = (params, {}) if isinstance(params, list) else ([], params or {})
        try:
            inspect.signature(function).bind(*by_place, **by_name)
        except TypeError as exc:
            raise RpcError(INVALID_PARAMS, f"{method}: {exc}") from exc
        if inspect.iscoroutinefunction(function):
            return await function(*by_place, **by_name)
        return await asyncio.to_thread(function, *by_place, **by_name)


def _told(error: Exception, method: str) -> RpcError:
    if isinstance(error, RpcError):
        return error
    _log.warning("%s failed", method, exc_info=error)
    return RpcError(INTERNAL_ERROR, f"{type(error).__name__}: {error}")


def _message(call_id: Any, answer: dict[str, Any]) -> bytes:
    return _encoder.encode({"type": "rpc", "jsonrpc": "2.0", "id": call_id, **answer})
