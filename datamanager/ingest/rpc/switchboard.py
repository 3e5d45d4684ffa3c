"""Brings calls to robots: straight over a socket of this process, else by Redis to the process that has the robot.

A process that has a robot is subscribed to the robot's channel, and that is all the registry there is: what Redis
forgets is there again with the next subscription. A call to another process takes two steps, so that it is made once
although several may have the robot: all are asked who has the method, and the one who registered it last is called,
for the next two seconds without asking again.
"""

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.ingest.rpc.line import RobotLine
from datamanager.ingest.rpc.messages import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    ROBOT_GONE,
    ROBOT_NOT_CONNECTED,
    TIMED_OUT,
    Answer,
    Call,
    RpcError,
)
from datamanager.observability import get_logger
from datamanager.storage.redis import PubSub, Redis, redis_translated

__all__ = ["Switchboard"]

_log = get_logger(__name__)
_ASK_S = 1.0  # a process that does not say by then whether it has a method is taken not to have it
_LOOK_S = 1.0  # how often it is looked whether the process that is being called still listens
_MARGIN_S = 1.0  # the other process's own time limit comes first, so that its word is heard
_PAUSE_S = 0.5
_KNOWN_S = 2.0
_MAX_KNOWN = 10_000
_DECODER = msgspec.msgpack.Decoder(dict[str, Any])
_ENCODER = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class _Asked:
    """What processes say who were asked for a method."""

    wanted: int
    found: list[dict[str, Any]]
    enough: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Known:
    """Where a method was found, and until when that is believed."""

    process: str
    until_s: float


class Switchboard:
    """The robots that are connected here, and the way to those that are elsewhere. Run `run` as a task."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._lines: dict[str, list[RobotLine]] = {}
        self._process = uuid4().hex
        self._numbers = itertools.count(1)
        self._asked: dict[str, _Asked] = {}
        self._waiting: dict[str, asyncio.Future[Answer | None]] = {}
        self._known: dict[tuple[str, str], _Known] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._pubsub: PubSub | None = None
        self._changing = asyncio.Lock()

    # Robots.

    async def register(self, line: RobotLine) -> None:
        """A robot answers calls from now on."""
        lines = self._lines.setdefault(line.robot_id, [])
        lines.append(line)
        if len(lines) == 1:
            await self._change(line.robot_id)

    async def unregister(self, line: RobotLine) -> None:
        """The robot's connection is gone."""
        line.close()
        lines = self._lines.get(line.robot_id, [])
        if line in lines:
            lines.remove(line)
        if not lines and self._lines.pop(line.robot_id, None) is not None:
            await self._change(line.robot_id)

    # Callers.

    async def call(self, robot_id: str, call: Call, timeout_s: float) -> Answer:
        """Makes a call and waits for its answer; cancelled, it tells the robot so.

        Returns:
            What the robot answered: a result or an error of its own.

        Raises:
            RpcError: it could not be asked, or did not answer.
        """
        line = self._line(robot_id, call.method)
        if line is not None:
            return await line.call(call, timeout_s)
        try:
            async with asyncio.timeout(timeout_s + _MARGIN_S):
                return await self._call_elsewhere(robot_id, call, timeout_s)
        except TimeoutError as exc:
            raise RpcError(TIMED_OUT, f"{call.method} was not answered within {timeout_s:g} s") from exc
        except RedisUnavailable as error:
            detail = f"robot {robot_id} is not connected to this process, and others can't be asked: {error.detail}"
            raise RpcError(ROBOT_NOT_CONNECTED, detail) from error

    async def methods(self, robot_id: str) -> list[str] | None:
        """All methods that a robot has registered, in every process; None when it is not connected."""
        found = {method for line in self._lines.get(robot_id, []) for method in line.methods}
        said = await self._ask(robot_id, None)
        found.update(method for answer in said for method in answer["methods"])
        return sorted(found) if said or robot_id in self._lines else None

    def _line(self, robot_id: str, method: str) -> RobotLine | None:
        able = [line for line in self._lines.get(robot_id, []) if method in line.methods]
        return max(able, key=lambda line: line.since_ns, default=None)

    async def _call_elsewhere(self, robot_id: str, call: Call, timeout_s: float) -> Answer:
        known = self._known.get((robot_id, call.method))
        if known is not None and self._clock.monotonic_s() < known.until_s:
            answer = await self._call_there(known.process, robot_id, call, timeout_s)
            if answer is not None:
                return answer
        process = await self._find(robot_id, call.method)
        answer = await self._call_there(process, robot_id, call, timeout_s)
        if answer is None:
            raise RpcError(ROBOT_GONE, f"robot {robot_id} has left")
        return answer

    async def _find(self, robot_id: str, method: str) -> str:
        """The process to which a robot has registered a method last; it is believed for a while."""
        said = await self._ask(robot_id, method)
        able = [answer for answer in said if answer["since_ns"] is not None]
        if not able:
            if said or robot_id in self._lines:
                raise RpcError(METHOD_NOT_FOUND, f"robot {robot_id} has no method {method!r}")
            raise RpcError(ROBOT_NOT_CONNECTED, f"robot {robot_id} is not connected")
        process: str = max(able, key=lambda answer: answer["since_ns"])["process"]
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[robot_id, method] = _Known(process, self._clock.monotonic_s() + _KNOWN_S)
        return process

    async def _call_there(self, process: str, robot_id: str, call: Call, timeout_s: float) -> Answer | None:
        """Has another process make a call; None when it has not made it: the method is not there any more."""
        number = self._number()
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        order = {"do": "call", "robot_id": robot_id, "method": call.method, "params": call.params}
        try:
            if not await self._say(process, number, order | {"timeout_s": timeout_s}):
                return None
            return await self._answer_of(process, number, answer, robot_id)
        except asyncio.CancelledError:
            await self._logged(self._say(process, number, {"do": "cancel"}))
            raise
        finally:
            del self._waiting[number]

    async def _answer_of(
        self, there: str, number: str, answer: asyncio.Future[Answer | None], robot_id: str
    ) -> Answer | None:
        while True:
            done, _ = await asyncio.wait({answer}, timeout=_LOOK_S)
            if done:
                return answer.result()
            if not await self._say(there, number, {"do": "nothing"}):
                raise RpcError(ROBOT_GONE, f"the server process that had robot {robot_id} is gone")

    async def _ask(self, robot_id: str, method: str | None) -> list[dict[str, Any]]:
        """What each other process that has the robot says of a method; or, without one, of all it has."""
        number = self._number()
        asked = self._asked[number] = _Asked(0, [], asyncio.Event())
        question = {"do": "ask", "from": self._process, "number": number, "robot_id": robot_id, "method": method}
        try:
            with redis_translated():
                heard = await self._redis.client.publish(_robot_channel(robot_id), _ENCODER.encode(question))
            asked.wanted = heard - (self._pubsub is not None and robot_id in self._lines)
            if asked.wanted > len(asked.found):
                async with asyncio.timeout(_ASK_S):
                    await asked.enough.wait()
        except TimeoutError:
            _log.warning("not every process said whether it has a robot", robot_id=robot_id, asked=asked.wanted)
        finally:
            del self._asked[number]
        return asked.found

    # Between processes.

    async def run(self) -> None:
        """Listens until cancelled; while Redis is away, robots of this process can still be called here."""
        while True:
            try:
                with redis_translated():
                    await self._listen()
            except RedisUnavailable as error:
                _log.info("calls from other processes wait for Redis", error=error.detail[:200])
            await self._clock.sleep(_PAUSE_S)

    async def _listen(self) -> None:
        async with self._redis.client.pubsub() as pubsub:
            async with self._changing:
                await pubsub.subscribe(_process_channel(self._process), *map(_robot_channel, self._lines))
                self._pubsub = pubsub
            try:
                async for message in pubsub.listen():
                    if message["type"] == "message":
                        self._hear(_DECODER.decode(message["data"]))
            finally:
                self._pubsub = None

    async def _change(self, robot_id: str) -> None:
        """Subscribes to a robot's channel, or ends that: as it is by now."""
        try:
            async with self._changing:
                if self._pubsub is None:
                    return
                with redis_translated():
                    if robot_id in self._lines:
                        await self._pubsub.subscribe(_robot_channel(robot_id))
                    else:
                        await self._pubsub.unsubscribe(_robot_channel(robot_id))
        except RedisUnavailable as error:
            _log.info("a robot can be called here alone until Redis is back", robot_id=robot_id, error=error.detail)

    def _hear(self, said: dict[str, Any]) -> None:
        number = said["number"]
        match said["do"]:
            case "ask" if said["from"] != self._process:
                self._aside(self._say(said["from"], number, self._what_is_here(said["robot_id"], said["method"])))
            case "have" if number in self._asked:
                asked = self._asked[number]
                asked.found.append(said)
                if asked.wanted and len(asked.found) >= asked.wanted:
                    asked.enough.set()
            case "call":
                task = self._aside(self._serve(said))
                self._serving[number] = task
                task.add_done_callback(lambda _: self._serving.pop(number, None))
            case "cancel" if number in self._serving:
                self._serving[number].cancel()
            case "answer" if number in self._waiting and not self._waiting[number].done():
                self._waiting[number].set_result(said["answer"])

    def _what_is_here(self, robot_id: str, method: str | None) -> dict[str, Any]:
        if method is None:
            methods = [method for line in self._lines.get(robot_id, []) for method in line.methods]
            return {"do": "have", "process": self._process, "methods": methods}
        line = self._line(robot_id, method)
        return {"do": "have", "process": self._process, "since_ns": None if line is None else line.since_ns}

    async def _serve(self, said: dict[str, Any]) -> None:
        """Makes a call for another process."""
        line = self._line(said["robot_id"], said["method"])
        answer: Answer | None = None
        if line is not None:
            try:
                answer = await line.call(Call(said["method"], said["params"]), said["timeout_s"])
            except RpcError as error:
                answer = error.answer
        await self._say(said["from"], said["number"], {"do": "answer", "answer": answer})

    async def _say(self, process: str, number: str, what: dict[str, Any]) -> bool:
        """Tells another process; False when nobody listens."""
        data = {"from": self._process, "number": number, **what}
        try:
            packed = _ENCODER.encode(data)
        except (TypeError, ValueError, OverflowError) as error:  # JSON has integers that MessagePack lacks
            unsayable = RpcError(INTERNAL_ERROR, f"the values cannot be carried on: {error}")
            if what["do"] == "call":
                raise unsayable from error
            packed = _ENCODER.encode({**data, "answer": unsayable.answer})
        with redis_translated():
            return bool(await self._redis.client.publish(_process_channel(process), packed))

    def _aside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._logged(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def _logged(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except RedisUnavailable as error:
            _log.warning("another process was not answered", error=error.detail)

    def _number(self) -> str:
        return f"{self._process}-{next(self._numbers)}"


def _robot_channel(robot_id: str) -> str:
    return f"rpc:robot:{robot_id}"


def _process_channel(process: str) -> str:
    return f"rpc:process:{process}"
