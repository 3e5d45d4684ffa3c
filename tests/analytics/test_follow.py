"""A stream is followed from a position on: each sample is handed out once, whatever came late, twice, or of whom."""

import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from support.blocks import Message, StreamOfBlocks, block_of
from support.manual_clock import ManualClock

from datamanager.config import Config
from datamanager.storage import follow
from datamanager.storage.floors import Floors
from datamanager.storage.follow import Follower, NewBlock, Position, begin_at
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.sessions import Sessions, Streams
from datamanager.storage.telemetry import Telemetry

S = 1_000_000_000
T0 = 1_700_000_000 * S


@pytest.fixture(scope="module")
async def mongo(new_config: Any) -> AsyncIterator[Mongo]:
    config: Config = new_config()
    async with open_mongo(config.mongo) as found:
        await apply_migrations(found)
        yield found


@pytest.fixture
def stream(mongo: Mongo) -> StreamOfBlocks:
    return StreamOfBlocks(mongo)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now_ns=1000 * S)


@pytest.fixture
def follower(mongo: Mongo, clock: ManualClock) -> Follower:
    return Follower(Telemetry(mongo), Streams(mongo), Floors(mongo), clock)


def one(seq: int, *t_ns: int, name: str = "") -> Message:
    return Message(seq, t_ns, {"id": [f"{name}{seq}.{i}" for i in range(len(t_ns))]})


def ids(blocks: list[NewBlock]) -> list[str]:
    return [value for block in blocks for value in block.batch.column(2).to_pylist()]


async def rest(follower: Follower, stream: StreamOfBlocks, position: Position | None) -> tuple[list[str], Position]:
    """All that is new, and the position after it; each position goes through MessagePack, as those that are kept do."""
    found: list[str] = []
    while True:
        blocks, after = await follower.new_blocks(*stream.place, position, 3)
        found += ids(blocks)
        if after == position:
            return found, after
        position = msgspec.msgpack.decode(msgspec.msgpack.encode(after))


async def test_a_stream_that_is_not_there_has_no_blocks(follower: Follower) -> None:
    blocks, position = await follower.new_blocks("r", "none", "x", None, 5)
    assert blocks == []
    assert await follower.new_blocks("r", "none", "x", position, 5) == ([], position)


async def test_blocks_come_once_and_ascend_in_time(follower: Follower, stream: StreamOfBlocks) -> None:
    await stream.write(block_of([one(1, T0 + 5)], stream.place), block_of([one(0, T0, T0 + 1)], stream.place))
    found, position = await rest(follower, stream, None)
    assert found == ["0.0", "0.1", "1.0"]
    await stream.write(block_of([one(2, T0 + 9)], stream.place))
    assert (await rest(follower, stream, position))[0] == ["2.0"]


async def test_late_blocks_filled_gaps_and_second_producers_are_handed_out(
    follower: Follower, stream: StreamOfBlocks
) -> None:
    await stream.write(block_of([one(0, T0)], stream.place), block_of([one(9, T0 + 9)], stream.place))
    _, position = await rest(follower, stream, None)
    await stream.write(
        block_of([one(4, T0 + 4)], stream.place),
        block_of([one(0, T0 - 4 * 3600 * S, name="b")], stream.place, producer="b"),
    )
    assert sorted((await rest(follower, stream, position))[0]) == ["4.0", "b0.0"]


async def test_what_was_sent_again_in_other_blocks_comes_once(follower: Follower, stream: StreamOfBlocks) -> None:
    await stream.write(block_of([one(0, T0), one(1, T0 + 1)], stream.place, generation=7))
    found, position = await rest(follower, stream, None)
    again = block_of([one(1, T0 + 1), one(2, T0 + 2)], stream.place, generation=5)
    await stream.write(again)
    more, position = await rest(follower, stream, position)
    assert (found, more) == (["0.0", "1.0"], ["2.0"])
    await stream.write(block_of([one(2, T0 + 2)], stream.place, generation=8))
    assert (await rest(follower, stream, position))[0] == []


async def test_what_the_server_numbered_is_never_taken_for_doubled(follower: Follower, stream: StreamOfBlocks) -> None:
    await stream.write(block_of([one(0, T0)], stream.place, auto=True))
    _, position = await rest(follower, stream, None)
    await stream.write(block_of([one(0, T0, name="b")], stream.place, auto=True))
    assert (await rest(follower, stream, position))[0] == ["b0.0"]


async def test_statistics_written_twice_are_one_block(
    follower: Follower, stream: StreamOfBlocks, mongo: Mongo, clock: ManualClock
) -> None:
    await Sessions(mongo).open(*stream.place[:2], 1)
    block = block_of([one(0, T0)], stream.place, generation=5)
    await stream.write(block)
    block.statistics_generation = 2000
    await Telemetry(mongo).insert_statistics([block])
    found, position = await rest(follower, stream, None)
    assert found == ["0.0"]
    settled = await follower.settle(*stream.place, position)
    assert (settled["upto"], settled["seen"]) == (1001, [])
    clock.advance(2000)
    assert (await rest(follower, stream, settled))[0] == []


async def test_a_position_begins_at_a_second(follower: Follower, stream: StreamOfBlocks) -> None:
    await stream.write(
        block_of([one(0, T0)], stream.place, generation=9), block_of([one(1, T0 + 1)], stream.place, generation=10)
    )
    assert (await rest(follower, stream, begin_at(10)))[0] == ["1.0"]


async def test_a_position_is_small_again_once_generations_have_closed(
    follower: Follower, stream: StreamOfBlocks, mongo: Mongo
) -> None:
    floors = Floors(mongo)
    await Sessions(mongo).open(*stream.place[:2], 1)
    floor_id, _ = await floors.enter(*stream.place[:2])
    await floors.publish({floor_id: 20})
    await stream.write(*(block_of([one(i, T0 + i)], stream.place, generation=10 + i // 20) for i in range(100)))
    _, position = await rest(follower, stream, None)
    assert position["upto"] > 10
    assert len(follow._ids(position)) < 2 * follow._WORTH
    settled = await follower.settle(*stream.place, position)
    assert (settled["upto"], settled["seen"], settled["entries"]) == (20, [], -1)
    await stream.write(block_of([one(100, T0 + 100)], stream.place, generation=20))
    found, position = await rest(follower, stream, settled)
    assert found == ["100.0"]
    await floors.leave({floor_id: ("/".join(stream.place[:2]), 21)})
    settled = await follower.settle(*stream.place, position)
    assert (settled["upto"], settled["seen"], settled["entries"]) == (1001, [], 1)


@pytest.mark.parametrize("seed", range(4))
async def test_each_sample_comes_once_whatever_came_when(
    seed: int, follower: Follower, stream: StreamOfBlocks, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three producers send, late, again and in any cuts, while generations close; few blocks are listed at once."""
    monkeypatch.setattr(follow, "_LISTED", 12)
    monkeypatch.setattr(follow, "_WORTH", 4)
    rng = random.Random(seed)  # noqa: S311  # guards nothing
    floors = Floors(mongo)
    await Sessions(mongo).open(*stream.place[:2], 1)
    floor_id, _ = await floors.enter(*stream.place[:2])
    await floors.publish({floor_id: 10})
    sent: set[str] = set()
    found: list[str] = []
    position: Position | None = None
    floor = generation = 10
    for _ in range(25):
        producer = rng.choice("abc")
        first = rng.randrange(40)
        numbers = range(first, first + rng.randrange(1, 5))
        messages = [one(n, T0 + n * S, T0 + n * S + 1, name=producer) for n in numbers]
        at = rng.randrange(floor, generation + 1)
        await stream.write(block_of(messages, stream.place, producer=producer, generation=at))
        sent |= {f"{producer}{n}.{i}" for n in numbers for i in range(2)}
        if rng.random() < 0.4:
            generation += rng.randrange(1, 3)
            floor = max(floor, generation - 2)
            await floors.publish({floor_id: floor})
        if rng.random() < 0.5:
            blocks, position = await follower.new_blocks(*stream.place, position, rng.randrange(1, 6))
            found += ids(blocks)
        if position is not None and rng.random() < 0.2:
            position = await follower.settle(*stream.place, position)
    more, _ = await rest(follower, stream, position)
    assert sorted(found + more) == sorted(sent)
