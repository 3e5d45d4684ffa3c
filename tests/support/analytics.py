"""Streams of made telemetry, what looks at them step by step, and a way to kill that anywhere."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from support.blocks import Message, StreamOfBlocks, block_of

from datamanager.clock import Clock
from datamanager.storage.analytics import Analyses
from datamanager.storage.blocks import Block
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.floors import Floors
from datamanager.storage.follow import Follower
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.results import ResultStore
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Sessions, Streams
from datamanager.storage.telemetry import Telemetry
from datamanager.worker.analytics.checkpoints import Checkpoint, Checkpoints
from datamanager.worker.analytics.steps import Steps, Stores

__all__ = ["SECRET", "T0_NS", "Bench", "Killed", "Killer", "made_blocks", "rule"]

S_NS = 1_000_000_000
T0_NS = 1_700_000_000 * S_NS
SECRET = b"s" * 32


class Killed(BaseException):
    """The process died here."""


class Killer:
    """Counts the calls of what it wraps, and dies at one of them, before or after it is done."""

    def __init__(self, at: int | None, *, after: bool = False) -> None:
        self.calls = 0
        self._at = at
        self._after = after

    def wrap(self, thing: Any) -> Any:
        return _Mortal(thing, self)

    async def call(self, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
        self.calls += 1
        is_here = self.calls == self._at
        if is_here and not self._after:
            raise Killed
        answer = await function(*args, **kwargs)
        if is_here:
            raise Killed
        return answer


class _Mortal:
    def __init__(self, thing: Any, killer: Killer) -> None:
        self._thing = thing
        self._killer = killer

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._thing, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._killer.call(function, args, kwargs)

        return call


def rule(**options: Any) -> Enrichment:
    """A rule that looks at all of history too."""
    return Enrichment(name="odd", kind="time_series", options={"history": True, **options})


@dataclass
class Bench:
    """Real stores, and steps over them."""

    mongo: Mongo
    redis: Redis
    s3: S3
    clock: Clock
    rule: Enrichment = field(default_factory=rule)

    @property
    def analyses(self) -> Analyses:
        return Analyses(self.mongo, self.clock)

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.s3, SECRET)

    def steps(self, killer: Killer | None = None) -> Steps:
        """As a worker has them that has just started."""
        killer = killer or Killer(None)
        follower = Follower(Telemetry(self.mongo), Streams(self.mongo), Floors(self.mongo), self.clock)
        parts = (self.analyses, follower, self.checkpoints, ResultStore(self.mongo, self.redis, self.clock))
        return Steps(Stores(*map(killer.wrap, parts)), self.clock)

    async def run(self, steps: Steps, place: tuple[str, str, str], **more: bool) -> None:
        """Steps until nothing is new."""
        while await steps.step(self.rule, place, **more):
            pass

    async def results(self, place: tuple[str, str, str]) -> dict[str, Any]:
        """All results of a stream by what they are of; session left out of names, so that two can be compared."""
        query = {"robot_id": place[0], "session_id": place[1]}
        found = self.mongo.durable("results").find(query)
        return {d["of"].replace(place[1], "S"): [d["output"], d["task"], d["values"]] async for d in found}

    async def checkpoint(self, place: tuple[str, str, str]) -> Checkpoint:
        """The present one."""
        document = await self.analyses.get(self.rule.name, *place)
        assert document is not None
        return await self.checkpoints.get(document["key"])

    async def stream(self) -> StreamOfBlocks:
        """A stream in a session of its own."""
        stream = StreamOfBlocks(self.mongo)
        await Sessions(self.mongo).open(*stream.place[:2], 1)
        return stream


def made_blocks(
    place: tuple[str, str, str], count: int, *, first: int = 0, rate_hz: int = 20, seed: int = 1, **fields: Any
) -> list[Block]:
    """Blocks of one second each: three channels of numbers and one of words."""
    blocks = []
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number])
        t = number + np.arange(rate_hz) / rate_hz
        channels: Mapping[str, Any] = {
            "a": (np.sin(t) + rng.normal(0, 0.1, rate_hz)).tolist(),
            "b": (2 * np.sin(t) + rng.normal(0, 0.01, rate_hz)).tolist(),
            "c": rng.normal(5, 1, rate_hz).tolist(),
            "mode": ["up" if value > 0 else "down" for value in np.sin(t)],
        }
        times = (T0_NS + t * S_NS).astype(np.int64).tolist()
        blocks.append(block_of([Message(number, times, dict(channels))], place, **fields))
    return blocks
