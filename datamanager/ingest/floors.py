"""Keeps the promises of `storage.floors` for this process: below which generation it writes into a session no more.

A floor stands from before the first write into a session until the session has ended or is forgotten. It is raised
behind what is written, some of it held back by blocks under way and by generations that blocks may still join. A
process that could not renew its floors for a while enters anew before it writes on, with younger generations.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError
from datamanager.observability import get_logger
from datamanager.storage.floors import DEAD_S, Floors
from datamanager.storage.job_feed import JobFeed
from datamanager.storage.rollup import rollup_job

__all__ = ["Floor", "FloorKeeper", "Writer"]

_log = get_logger(__name__)
_STEP_S = 1.0
_RENEW_S = DEAD_S / 12
_FENCE_S = DEAD_S / 3
_ROLLUP_BLOCKS = 2000  # so many new ones are worth a rollup before the sweep comes to it


class Writer(Protocol):
    """A producer, as far as floors are concerned."""

    def held_generation(self) -> int | None:
        """The oldest generation that it may still write into; None when it would open a new one."""


Writers = Mapping["Floor", "Sequence[Writer] | None"]
"""The producers of each session that is known; None when it has ended and all of it is written."""


class Floor:
    """The floor of one session in this process.

    Attributes:
        value: the lowest generation that may be given to what is written from now on.
        entered: what was the lowest when the process entered; statistics of older ones must get a younger one.
        blocks: how many blocks were given a generation since a rollup was last asked for.
    """

    def __init__(self, floors: Floors, robot_id: str, session_id: str, clock: Clock) -> None:
        self.robot_id = robot_id
        self.session_id = session_id
        self.value = 0
        self.entered = 0
        self.blocks = 0
        self.id: str | None = None
        self.newest = 0
        self.published = 0
        self._floors = floors
        self._clock = clock
        self._renewed_s = (0.0, 0.0)
        self._entering = asyncio.Lock()
        self._holds: Counter[int] = Counter()

    @property
    def session_key(self) -> str:
        """The session's `_id`."""
        return f"{self.robot_id}/{self.session_id}"

    async def stand(self) -> None:
        """Returns when this process may write into the session.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        if self._stands():
            return
        async with self._entering:
            if self._stands():
                return
            asked_s = self.now()
            floor_id, goal = await self._floors.enter(self.robot_id, self.session_id)
            self.entered = self.value = max(goal, self.value, int(asked_s[1]))
            self.published = 0
            self.id = floor_id
            self.renewed(asked_s)

    def _stands(self) -> bool:
        return self.id is not None and all(
            now - renewed < _FENCE_S for now, renewed in zip(self.now(), self._renewed_s, strict=True)
        )

    def now(self) -> tuple[float, float]:
        """Two clocks in seconds: one may stand still while the machine sleeps, the other may be set."""
        return self._clock.monotonic_s(), self._clock.now_ns() / 1e9

    def renewed(self, asked_s: tuple[float, float]) -> None:
        """MongoDB has said, after it was asked at that time, that the floor stands."""
        self._renewed_s = asked_s

    def give(self, generation: int) -> None:
        """Notes that a block is written in a generation."""
        self.newest = max(self.newest, generation)
        self.blocks += 1

    @contextmanager
    def held(self) -> Iterator[int]:
        """A generation that may be written into inside the block."""
        generation = max(int(self._clock.now_ns() // 1_000_000_000), self.value, self.entered)
        self.give(generation)
        self._holds[generation] += 1
        try:
            yield generation
        finally:
            self._holds[generation] -= 1
            self._holds = +self._holds

    def raised(self, held: Iterable[int]) -> int | None:
        """To what the floor can be raised, None when there is no need. Nothing below it is given from now on.

        Args:
            held: the generations that producers may still write into.
        """
        held = [*held, *self._holds]
        if not held and self.published > self.newest:
            return None
        lowest = max(min(held), self.entered) if held else max(self.newest + 1, self.entered)
        self.value = max(self.value, lowest)
        return lowest if lowest > self.published else None


class FloorKeeper:
    """Makes, raises, renews and takes away this process's floors. Run `run` as a task."""

    def __init__(self, floors: Floors, feed: JobFeed, clock: Clock) -> None:
        self._floors = floors
        self._feed = feed
        self._clock = clock
        self._made: list[Floor] = []

    def floor(self, robot_id: str, session_id: str) -> Floor:
        """The floor of a session that this process begins to know."""
        made = Floor(self._floors, robot_id, session_id, self._clock)
        self._made.append(made)
        return made

    async def run(self, writers: Callable[[], Writers]) -> None:
        """Keeps floors until cancelled; those that `writers` does not name any more are forgotten."""
        renewed_s = self._clock.monotonic_s()
        while True:
            await self._clock.sleep(_STEP_S)
            try:
                await self.step(writers())
                if self._clock.monotonic_s() - renewed_s >= _RENEW_S:
                    renewed_s = self._clock.monotonic_s()
                    await self._renew()
            except DatamanagerError as error:
                _log.info("floors are not kept while MongoDB is away", error=error.detail[:200])

    async def step(self, writers: Writers) -> None:
        """Raises and takes away floors; asks for rollups where that is worth it.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        raised: dict[Floor, int] = {}
        left: list[Floor] = []
        quiet: list[Floor] = []
        for floor in self._made:
            producers = writers.get(floor)
            if producers is None:
                left.append(floor)
            elif floor.id is not None:
                held = [g for g in (p.held_generation() for p in producers) if g is not None]
                if (lowest := floor.raised(held)) is not None:
                    raised[floor] = lowest
                    quiet += [] if held else [floor]
        self._made = [floor for floor in self._made if floor in writers]
        await self._publish(raised)
        await self._leave(left)
        asked = [f for f in raised if f.blocks >= _ROLLUP_BLOCKS] + [f for f in (*quiet, *left) if f.blocks]
        for floor in asked:
            floor.blocks = 0
        self._feed.offer([rollup_job(f.robot_id, f.session_id) for f in asked])

    async def leave_all(self) -> None:
        """Takes all floors away: this process writes no more.

        Raises:
            MongoUnavailable: MongoDB does not answer; they are taken for dead later.
        """
        await self._leave(list(self._made))

    async def _publish(self, raised: dict[Floor, int]) -> None:
        ids = {f: f.id for f in raised}
        await self._floors.publish({name: raised[f] for f, name in ids.items() if name is not None})
        for floor, lowest in raised.items():
            if floor.id == ids[floor]:
                floor.published = max(floor.published, lowest)

    async def _leave(self, floors: list[Floor]) -> None:
        """Forgets floors at once, whatever comes of telling MongoDB: a floor that stands on there holds rollups back."""
        ids = {f.id: (f.session_key, f.newest + 1) for f in floors if f.id is not None}
        for floor in floors:
            floor.id = None
            floor.value = max(floor.value, floor.newest + 1)
        await self._floors.leave(ids)

    async def _renew(self) -> None:
        standing = {f: f.id for f in self._made if f.id is not None}
        asked_s = {f: f.now() for f in standing}
        await self._floors.renew(list(standing.values()))
        for floor, name in standing.items():
            if floor.id == name:
                floor.renewed(asked_s[floor])
