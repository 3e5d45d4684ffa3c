"""What one connection has to do with calls: those it makes, and those that are made to it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from datamanager.config import IngestConfig
from datamanager.ingest.closed import Closed
from datamanager.ingest.rpc.line import RobotLine
from datamanager.ingest.rpc.messages import (
    CANCEL,
    CANCELLED,
    INVALID_REQUEST,
    TOO_MANY_CALLS,
    Call,
    CallId,
    RpcError,
    envelope,
    parse_call,
)
from datamanager.ingest.rpc.stopping import stop
from datamanager.ingest.rpc.switchboard import Switchboard

__all__ = ["Desk"]


class Desk:
    """Handles a socket's `rpc` messages; calls run beside what else the socket does.

    Args:
        tell: sends a message over the socket; raises `Closed` when it is gone.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        config: IngestConfig,
        now_ns: Callable[[], int],
        tell: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self._switchboard = switchboard
        self._config = config
        self._now_ns = now_ns
        self._tell = tell
        self._line: RobotLine | None = None
        self._calls: dict[CallId, asyncio.Task[None]] = {}
        self._unnamed: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def register(self, robot_id: str, methods: tuple[str, ...]) -> None:
        """The robot of this socket answers these methods, and no others any more."""
        await self.close_line()
        if methods:
            self._line = RobotLine(robot_id, methods, self._now_ns(), self._tell, max_calls=self._config.rpc_max_calls)
            await self._switchboard.register(self._line)

    async def handle(self, message: dict[str, Any], robot_id: str | None) -> None:
        """One `rpc` message: an answer, a call or a cancel.

        Args:
            message: as it came.
            robot_id: the socket's robot, which is called when the message names no `robot_id`.
        """
        if "method" not in message and ("result" in message or "error" in message):
            if self._line is not None:
                self._line.answered(message)
            return
        try:
            call = parse_call(message)
            if call.method == CANCEL:
                self._cancel(call)
                return
            whom = message.get("robot_id", robot_id)
            if not isinstance(whom, str):
                raise RpcError(INVALID_REQUEST, "it is not known which robot is called: say hello, or give a robot_id")  # noqa: TRY301  # answered below
            self._begin(call, whom, _timeout_s(message, self._config))
            await asyncio.sleep(0)  # a task that is cancelled before it has begun answers nothing
        except RpcError as error:
            call_id = error.call_id if error.call_id is not None else message.get("id")
            await self._tell(envelope(id=call_id, **error.answer))

    async def close(self) -> None:
        """The socket is gone: its calls are cancelled, and its robot can't be called any more."""
        self._is_closed = True
        await self.close_line()
        await asyncio.gather(*map(stop, (*self._calls.values(), *self._unnamed)))

    async def close_line(self) -> None:
        """The socket's robot answers no calls any more."""
        if self._line is not None:
            line, self._line = self._line, None
            await self._switchboard.unregister(line)

    def _begin(self, call: Call, robot_id: str, timeout_s: float) -> None:
        if len(self._calls) + len(self._unnamed) >= self._config.rpc_max_calls:
            raise RpcError(TOO_MANY_CALLS, f"{self._config.rpc_max_calls} calls of this socket wait already")
        if not call.is_notification and call.id in self._calls:
            raise RpcError(INVALID_REQUEST, f"a call with id {call.id!r} waits already")
        task = asyncio.create_task(self._call(call, robot_id, timeout_s))
        if call.is_notification:
            self._unnamed.add(task)
            task.add_done_callback(self._unnamed.discard)
        else:
            self._calls[call.id] = task
            task.add_done_callback(lambda _: self._calls.pop(call.id, None))

    async def _call(self, call: Call, robot_id: str, timeout_s: float) -> None:
        try:
            answer = await self._switchboard.call(robot_id, call, timeout_s)
        except RpcError as error:
            answer = error.answer
        except asyncio.CancelledError:
            if self._is_closed:
                raise
            answer = RpcError(CANCELLED, f"{call.method} was cancelled").answer
        if not call.is_notification:
            with suppress(Closed):  # nobody waits for it any more
                await self._tell(envelope(id=call.id, **answer))

    def _cancel(self, call: Call) -> None:
        wanted = call.params.get("id") if isinstance(call.params, dict) else None
        task = self._calls.get(wanted) if isinstance(wanted, str | int | float) else None
        if task is not None:  # one that is over needs no word
            stopping = asyncio.create_task(stop(task))
            self._unnamed.add(stopping)
            stopping.add_done_callback(self._unnamed.discard)


def _timeout_s(message: dict[str, Any], config: IngestConfig) -> float:
    value = message.get("timeout_s", config.rpc_timeout_s)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= config.rpc_max_timeout_s:
        raise RpcError(INVALID_REQUEST, f"timeout_s must be above 0 and at most {config.rpc_max_timeout_s:g}")
    return float(value)
