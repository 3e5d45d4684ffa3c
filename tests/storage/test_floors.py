"""Floors: nothing is written below the goal of a rollup, whoever writes, begins, ends or dies meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from datamanager.config import Config
from datamanager.storage.floors import DEAD_S, Floors
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.sessions import Sessions

NOW_S = 1_700_000_000
PLACE = ("r", "s")


@pytest.fixture
async def mongo(config: Config) -> AsyncIterator[Mongo]:
    async with open_mongo(config.mongo) as found:
        await Sessions(found).open(*PLACE, NOW_S * 10**9)
        yield found


async def goal_of(floors: Floors, now_s: int = NOW_S) -> int | None:
    goal = await floors.goal(*PLACE, now_s)
    return None if goal is None else goal.generation


async def test_where_nobody_writes_all_is_taken_in_and_who_comes_then_writes_later(mongo: Mongo) -> None:
    floors = Floors(mongo)
    assert await goal_of(floors) == NOW_S
    _, lowest = await floors.enter(*PLACE)
    assert lowest >= NOW_S


async def test_who_has_just_entered_holds_rollups_back(mongo: Mongo) -> None:
    floors = Floors(mongo)
    floor_id, _ = await floors.enter(*PLACE)
    assert not await goal_of(floors)
    await floors.publish({floor_id: 500})
    assert await goal_of(floors) == 500
    _, lowest = await floors.enter(*PLACE)
    assert lowest >= 500
    assert not await goal_of(floors)


async def test_the_lowest_floor_counts_and_one_that_is_left_does_not(mongo: Mongo) -> None:
    floors = Floors(mongo)
    first, _ = await floors.enter(*PLACE)
    second, _ = await floors.enter(*PLACE)
    await floors.publish({first: 500, second: 700})
    assert await goal_of(floors) == 500
    await floors.leave({first: ("r/s", 900)})
    assert await goal_of(floors) == 700
    await floors.leave({second: ("r/s", 800)})
    assert (
        await goal_of(floors, now_s=100) == 900
    )  # whatever the clock of the rollup says, all that was written is taken in


async def test_a_writer_that_renews_its_floor_no_more_is_dead(mongo: Mongo) -> None:
    floors = Floors(mongo)
    floor_id, _ = await floors.enter(*PLACE)
    old = datetime.now(UTC) - timedelta(seconds=DEAD_S + 5)
    await mongo.durable("floors").update_one({"_id": floor_id}, {"$set": {"seen": old}})
    await floors.renew([floor_id])
    assert not await goal_of(floors)
    await mongo.durable("floors").update_one({"_id": floor_id}, {"$set": {"seen": old}})
    assert await goal_of(floors) == NOW_S
    assert await mongo.durable("floors").count_documents({}) == 0


async def test_sessions_are_due_until_they_are_rolled_up_and_nobody_writes(mongo: Mongo) -> None:
    floors = Floors(mongo)

    async def due(older_than_s: float) -> list[tuple[str, str]]:
        return [place async for place in floors.due(older_than_s, 10)]

    assert await due(0) == []
    floor_id, _ = await floors.enter(*PLACE)
    assert await due(300) == [PLACE]
    await floors.publish({floor_id: 500})
    goal = await floors.goal(*PLACE, NOW_S)
    assert goal is not None
    await floors.rolled(*PLACE, goal)
    assert await due(300) == []
    assert await due(0) == [PLACE]
    await floors.leave({floor_id: ("r/s", 600)})
    goal = await floors.goal(*PLACE, NOW_S)
    assert goal is not None
    await floors.enter(*PLACE)
    await floors.rolled(*PLACE, goal)  # of before somebody entered again
    assert await due(0) == [PLACE]


async def test_with_clocks_that_differ_nobody_ever_writes_below_a_goal(mongo: Mongo) -> None:
    """Writers come, write, raise their floors and go, while rollups ask for goals; the clocks are minutes apart."""
    rng = random.Random(1)  # noqa: S311  # no secret
    floors = Floors(mongo)
    highest = 0
    writing: set[tuple[int, int]] = set()

    async def writer(number: int) -> None:
        for _ in range(3):
            floor_id, lowest = await floors.enter(*PLACE)
            generation = lowest
            for _ in range(rng.randrange(1, 4)):
                generation = max(generation, NOW_S + rng.randrange(-300, 300))
                assert generation >= highest
                writing.add((number, generation))
                await asyncio.sleep(rng.random() / 50)
                await floors.publish({floor_id: generation})  # it goes on in this one
                await asyncio.sleep(rng.random() / 50)
                writing.discard((number, generation))
                generation += 1
                await floors.publish({floor_id: generation})
            await floors.leave({floor_id: ("r/s", generation)})

    async def roller() -> None:
        nonlocal highest
        while True:
            goal = await goal_of(floors, NOW_S + rng.randrange(-300, 300))
            if goal is not None:
                assert all(goal <= generation for _, generation in writing)
                highest = max(highest, goal)
            await asyncio.sleep(rng.random() / 100)

    rollers = [asyncio.create_task(roller()) for _ in range(2)]
    await asyncio.gather(*(writer(number) for number in range(6)))
    for task in rollers:
        assert not task.done()
        task.cancel()
