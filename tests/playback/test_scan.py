"""A range of samples is read in time order, each once, whatever the blocks that hold them."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from support.blocks import Message, StreamOfBlocks, block_of

from datamanager.config import Config
from datamanager.errors import NotFound
from datamanager.playback import scan as scan_module
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo

S = 1_000_000_000
T0 = 1_700_000_000 * S
HOUR = 3600 * S


@pytest.fixture(scope="module")
async def mongo(new_config: Any) -> AsyncIterator[Mongo]:
    config: Config = new_config()
    async with open_mongo(config.mongo) as found:
        await apply_migrations(found)
        yield found


@pytest.fixture
def stream(mongo: Mongo) -> StreamOfBlocks:
    return StreamOfBlocks(mongo)


def one(seq: int, *t_ns: int) -> Message:
    return Message(seq, t_ns, {"id": [f"{seq}.{i}" for i in range(len(t_ns))]})


def ids(rows: list[dict[str, Any]]) -> list[str]:
    times = [row["t_ns"] for row in rows]
    assert times == sorted(times)
    return [row["id"] for row in rows]


async def test_ranges_are_half_open(stream: StreamOfBlocks) -> None:
    await stream.write(block_of([one(0, T0, T0 + 1, T0 + 2)], stream.place), block_of([one(1, T0 + 3)], stream.place))
    cases = {
        (T0, T0 + 1): ["0.0"],
        (T0 + 1, T0 + 3): ["0.1", "0.2"],
        (T0 + 3, T0 + 4): ["1.0"],
        (T0 + 1, T0 + 1): [],
        (T0 - 9, T0): [],
        (T0 + 4, T0 + 99): [],
        (0, 2**63): ["0.0", "0.1", "0.2", "1.0"],
    }
    for (start, end), want in cases.items():
        assert ids(await stream.rows(start, end)) == want, (start - T0, end - T0)


async def test_times_at_both_ends_of_all_time_are_read(stream: StreamOfBlocks) -> None:
    await stream.write(block_of([one(0, 0)], stream.place), block_of([one(1, 2**63 - 1)], stream.place))
    assert ids(await stream.rows()) == ["0.0", "1.0"]
    assert ids(await stream.rows(2**63 - 1)) == ["1.0"]
    assert ids(await stream.rows(0, 1)) == ["0.0"]


async def test_a_block_that_spans_hours_is_found_from_within(stream: StreamOfBlocks) -> None:
    long = one(0, *(T0 + i * HOUR for i in range(5)))
    await stream.write(block_of([long], stream.place), block_of([one(1, T0 + HOUR + 1)], stream.place))
    assert ids(await stream.rows(T0 + 3 * HOUR, T0 + 4 * HOUR)) == ["0.3"]
    assert ids(await stream.rows(T0 + HOUR, T0 + 3 * HOUR)) == ["0.1", "1.0", "0.2"]


async def test_overlapping_late_and_unordered_blocks_are_merged(stream: StreamOfBlocks) -> None:
    blocks = [
        block_of([one(0, T0, T0 + 10, T0 + 20)], stream.place),
        block_of([one(1, T0 + 30, T0 + 5)], stream.place),  # its samples unordered
        block_of([one(2, T0 - 5 * S)], stream.place),  # late
        block_of([one(0, T0 + 10, T0 + 15)], stream.place, producer="q"),  # another producer's same number
    ]
    await stream.write(*blocks)
    assert ids(await stream.rows()) == ["2.0", "0.0", "1.1", "0.1", "0.0", "0.1", "0.2", "1.0"]


async def test_what_stands_in_two_blocks_is_seen_once(stream: StreamOfBlocks) -> None:
    messages = [one(i, T0 + 2 * i, T0 + 2 * i + 1) for i in range(10)]
    await stream.write(
        block_of(messages[:5], stream.place),
        block_of(messages[3:8], stream.place, generation=2),  # the same again, with other edges
        block_of(messages[4:10], stream.place, generation=3),
        block_of([messages[0], messages[9]], stream.place, generation=4),
    )
    assert ids(await stream.rows()) == [f"{i}.{k}" for i in range(10) for k in range(2)]
    assert ids(await stream.rows(T0 + 7, T0 + 10)) == ["3.1", "4.0", "4.1"]


async def test_a_block_that_was_written_twice_is_seen_once(stream: StreamOfBlocks) -> None:
    block = block_of([one(0, T0, T0 + 1)], stream.place)
    numbered_here = block_of([one(5, T0 + 2)], stream.place, auto=True)
    await stream.write(block, numbered_here)
    await stream.write(block, numbered_here)
    assert ids(await stream.rows()) == ["0.0", "0.1", "5.0"]


async def test_numbers_that_two_servers_gave_out_hide_nothing(stream: StreamOfBlocks) -> None:
    await stream.write(*(block_of([one(0, T0 + i)], stream.place, auto=True) for i in range(3)))
    assert len(await stream.rows()) == 3


async def test_a_channel_that_widened_or_came_late_reads_as_one_type(stream: StreamOfBlocks) -> None:
    parts: list[dict[str, list[Any]]] = [{"x": [1]}, {"x": [0.5], "y": [True]}, {"x": ["on"]}, {"y": [None]}]
    blocks = [block_of([Message(i, [T0 + i], part)], stream.place) for i, part in enumerate(parts)]
    await stream.write(*blocks)
    assert [(row["x"], row["y"]) for row in await stream.rows()] == [
        ("1", None),
        ("0.5", True),
        ("on", None),
        (None, None),
    ]


async def test_channels_may_bear_the_names_of_columns(stream: StreamOfBlocks) -> None:
    channels = {name: [i] for i, name in enumerate(("count", "seq", "t_end_ns", "t_ns"))}
    await stream.write(block_of([Message(0, [T0], channels)], stream.place))
    scan = await stream.scan(0, 2**63)
    [table] = [t async for t in scan.tables(await scan.index())]
    assert table.schema.names == ["t_ns", "count", "seq", "t_end_ns", "t_ns"]
    assert [column[0].as_py() for column in table.columns] == [T0, 0, 1, 2, 3]
    with pytest.raises(NotFound):
        await stream.scan(0, 1, ["nope"])


@pytest.mark.parametrize("seed", range(6))
async def test_any_blocks_in_windows_of_any_size_give_what_they_hold(
    stream: StreamOfBlocks, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    # Small windows: a block or two each, so that samples wait for those that come between them.
    monkeypatch.setattr(scan_module, "_WINDOW_BYTES", rng.choice([0, 100, 2000]))
    messages = [
        one(seq, *(T0 + rng.randrange(3000) * 1_000_000 for _ in range(rng.randrange(1, 5)))) for seq in range(80)
    ]
    blocks = []
    for at in range(0, 80, 4):
        chosen = messages[at : at + rng.randrange(4, 8)]  # neighbours are often doubled
        blocks.append(block_of(chosen, stream.place, generation=rng.randrange(1, 4)))
    blocks.append(replace(blocks[3], id="another"))
    rng.shuffle(blocks)
    await stream.write(*blocks)
    for _ in range(8):
        start, end = sorted(T0 + rng.randrange(-5, 3005) * 1_000_000 for _ in range(2))
        want = sorted((t, f"{m.seq}.{i}") for m in messages for i, t in enumerate(m.t_ns) if start <= t < end)
        rows = await stream.rows(start, end)
        assert sorted((row["t_ns"], row["id"]) for row in rows) == want
        ids(rows)


async def test_closing_the_iterator_stops_the_reading(stream: StreamOfBlocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_WINDOW_BYTES", 0)
    await stream.write(*(block_of([one(i, T0 + i * S)], stream.place) for i in range(20)))
    scan = await stream.scan(0, 2**63)
    tables = scan.tables(await scan.index())
    assert (await anext(tables)).num_rows == 1
    await tables.aclose()
    assert [t async for t in tables] == []
