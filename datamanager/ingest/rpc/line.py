"""One robot's socket as callers see it: calls go out, answers come back, each to its own caller."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from datamanager.ingest.closed import Closed
from datamanager.ingest.rpc.messages import (
    CANCEL,
    ROBOT_GONE,
    TIMED_OUT,
    TOO_MANY_CALLS,
    Answer,
    Call,
    RpcError,
    envelope,
    parse_answer,
)
from datamanager.observability import get_logger

__all__ = ["RobotLine"]

_log = get_logger(__name__)
_CANCEL_S = 1.0  # a robot that takes nothing more off its socket does not hold its caller up

Tell = Callable[[dict[str, Any]], Awaitable[None]]


class RobotLine:
    """The calls to one connected robot.

    Args:
        robot_id: whose it is.
        methods: what it answers.
        since_ns: when they were registered: of several, the newest is called.
        tell: sends a message to the robot; raises `Closed` when it is gone.
        max_calls: how many may wait for an answer.
    """

    def __init__(self, robot_id: str, methods: tuple[str, ...], since_ns: int, tell: Tell, *, max_calls: int) -> None:
        self.robot_id = robot_id
        self.methods = frozenset(methods)
        self.since_ns = since_ns
        self._tell = tell
        self._max_calls = max_calls
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._is_open = True

    async def call(self, call: Call, timeout_s: float) -> Answer:
        """Makes a call and waits for its answer. Cancelled, it tells the robot so.

        Raises:
            RpcError: `TIMED_OUT`, `ROBOT_GONE`, `TOO_MANY_CALLS`.
        """
        if not self._is_open:
            raise RpcError(ROBOT_GONE, f"robot {self.robot_id} has left")
        if len(self._waiting) >= self._max_calls:
            raise RpcError(TOO_MANY_CALLS, f"{self._max_calls} calls wait for robot {self.robot_id} already")
        params = {} if call.params is None else {"params": call.params}
        number = f"s-{next(self._numbers)}"
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._tell(envelope(id=number, method=call.method, **params))
                return await answer
        except Closed as exc:
            raise RpcError(ROBOT_GONE, f"robot {self.robot_id} left before it was asked") from exc
        except TimeoutError as exc:
            await self._cancel(number)
            raise RpcError(TIMED_OUT, f"{call.method} was not answered within {timeout_s:g} s") from exc
        except asyncio.CancelledError:
            await self._cancel(number)
            raise
        finally:
            del self._waiting[number]

    def answered(self, message: dict[str, Any]) -> None:
        """The robot answered. An answer that nobody waits for any more is dropped."""
        number = message.get("id")
        waiting = self._waiting.get(number) if isinstance(number, str) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(parse_answer(message))

    def close(self) -> None:
        """The connection is gone: who still waits is told so."""
        self._is_open = False
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(RpcError(ROBOT_GONE, f"robot {self.robot_id} left before it answered"))

    async def _cancel(self, number: str) -> None:
        if not self._is_open:
            return
        try:
            async with asyncio.timeout(_CANCEL_S):
                await self._tell(envelope(method=CANCEL, params={"id": number}))
        except (Closed, TimeoutError) as error:
            _log.info("a robot was not told of a cancelled call", robot_id=self.robot_id, error=repr(error))
