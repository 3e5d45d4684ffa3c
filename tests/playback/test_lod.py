"""Overviews from rollups say what the samples say: whenever rollups ran, wherever they died, whoever else ran one."""

import asyncio
import itertools
import math
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.blocks import Message, StreamOfBlocks, block_of

from datamanager.config import Config
from datamanager.playback.buckets import bucketed
from datamanager.playback.lod import find
from datamanager.playback.samples import Samples
from datamanager.playback.samples_port import SampleReader
from datamanager.storage.blocks import Block
from datamanager.storage.lod import LEVELS_NS, Lod
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.rollup import Rollup
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

S = 1_000_000_000
T0 = 1_700_000_000 * S
SPAN_S = 2000
Rows = list[tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
async def mongo(new_config: Any) -> AsyncIterator[Mongo]:
    config: Config = new_config()
    async with open_mongo(config.mongo) as found:
        await apply_migrations(found)
        yield found


@pytest.fixture
def stream(mongo: Mongo) -> StreamOfBlocks:
    return StreamOfBlocks(mongo)


def rollup_of(mongo: Mongo) -> Rollup:
    return Rollup(Telemetry(mongo), Streams(mongo), Lod(mongo))


def samples_of(stream: StreamOfBlocks) -> SampleReader:
    return Samples(Streams(stream.mongo), Telemetry(stream.mongo), Lod(stream.mongo))


async def rows_of(stream: StreamOfBlocks, n: int, start: int = 0, end: int = 2**63) -> list[dict[str, Any]]:
    scan = await stream.scan(start, end)
    rows: list[dict[str, Any]] = (await bucketed(scan, Lod(stream.mongo), n)).to_pylist()
    assert len(rows) <= n
    assert [row["t_ns"] for row in rows] == sorted(row["t_ns"] for row in rows)
    return rows


def true_as_a_whole(rows: list[dict[str, Any]], samples: Rows) -> None:
    """The buckets together say what the samples say."""
    assert sum(row["count"] for row in rows) == len(samples)
    if samples:
        assert rows[0]["t_ns"] == min(t for t, _ in samples)
        assert max(row["t_end_ns"] for row in rows) == max(t for t, _ in samples)
    for name in ("f", "i"):
        values = [v[name] for _, v in samples if v.get(name) is not None and not math.isnan(v[name])]
        for field, function in (("min", min), ("max", max)):
            found = [row[f"{field}({name})"] for row in rows if row[f"{field}({name})"] is not None]
            assert (function(found) if found else None) == (function(values) if values else None)


def sample(rng: random.Random) -> dict[str, Any]:
    return {"f": rng.choice([None, math.nan, rng.gauss(0, 1), 1e6 * rng.random()]), "i": float(rng.randrange(-5, 5))}


def message(seq: int, samples: Rows) -> Message:
    return Message(seq, [t for t, _ in samples], {n: [v.get(n) for _, v in samples] for n in ("f", "i")})


def recording(rng: random.Random, stream: StreamOfBlocks, *, auto: bool = False) -> tuple[Rows, list[Block]]:
    """Samples of some messages, and blocks that hold each: late, overlapping, in some generation, and unless `auto` doubled."""
    late = set(rng.sample(range(150), 25))
    parts: dict[int, Rows] = {}
    for i in range(150):
        begin = rng.randrange(SPAN_S * 10) if i in late else i * SPAN_S * 10 // 150
        parts[i] = [(T0 + (begin + k * rng.choice((1, 3))) * S // 10, sample(rng)) for k in range(4)]
        parts[i].sort(key=lambda s: s[0])
    blocks = []
    for first in (0, 75):
        runs = [[i] for i in range(first, first + 75) if i in late]
        rest = [i for i in range(first, first + 75) if i not in late]
        # Some reach into the next block: their numbers are doubled.
        runs += [rest[at : at + rng.choice((1, 1, 1, 1 if auto else 2))] for at in range(len(rest))]
        for run in runs:
            messages = [message(i, parts[i]) for i in run]
            more = {"generation": rng.randrange(1, 30), "producer": f"p{first}", "auto": auto}
            blocks.append(block_of(messages, stream.place, **more))
    return [s for part in parts.values() for s in part], blocks


async def written_until(stream: StreamOfBlocks, blocks: list[Block], generation: int) -> list[Block]:
    """Writes the blocks of generations before one; gives the rest."""
    now = [b for b in blocks if b.generation < generation]
    if now:
        await stream.write(*now)
    return [b for b in blocks if b.generation >= generation]


async def looks_true(stream: StreamOfBlocks, rng: random.Random, samples: Rows) -> None:
    for n in rng.sample([1, 3, 20, 150, 1500], 3):
        start, end = sorted(T0 + rng.randrange(-10, SPAN_S * 10 + 10) * S // 10 for _ in range(2))
        true_as_a_whole(await rows_of(stream, n, start, end), [s for s in samples if start <= s[0] < end])
        true_as_a_whole(await rows_of(stream, n), samples)
    counts = await samples_of(stream).counts(*stream.place[:2], T0, T0 + 2 * SPAN_S * S, rng.choice((3, 50, 400)))
    assert sum(counts[stream.place[2]]) == len(samples)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_was_rolled_up_when_the_answer_is_that_of_the_samples(stream: StreamOfBlocks, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    samples, blocks = recording(rng, stream)
    rollup = rollup_of(stream.mongo)
    for goal in sorted(rng.sample(range(2, 30), 4)):
        blocks = await written_until(stream, blocks, goal + rng.randrange(3))
        if rng.random() < 0.7:
            await rollup.run(*stream.place, goal)
    await written_until(stream, blocks, 30)
    await looks_true(stream, rng, samples)
    await rollup.run(*stream.place, 30)
    await looks_true(stream, rng, samples)


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_a_rollup_that_dies_anywhere_leaves_answers_right(stream: StreamOfBlocks, seed: int, auto: bool) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    samples, blocks = recording(rng, stream, auto=auto)
    await stream.write(*blocks)
    rollup, lod = rollup_of(stream.mongo), Lod(stream.mongo)
    await rollup.run(*stream.place, rng.randrange(1, 15))
    for goal in sorted(rng.sample(range(15, 30), 2)):
        state = await lod.state(*stream.place)
        assert state is not None
        part = await rollup.part(stream.place, state, goal)
        assert part is not None
        for level_ns in LEVELS_NS[: rng.randrange(4)]:
            await rollup.merge(stream.place, part, level_ns)
        await looks_true(stream, rng, samples)
    await rollup.run(*stream.place, 30)
    await looks_true(stream, rng, samples)


@pytest.mark.parametrize("seed", range(4))
async def test_two_rollups_at_once_lose_and_double_nothing(stream: StreamOfBlocks, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    samples, blocks = recording(rng, stream)
    await stream.write(*blocks)
    rollup = rollup_of(stream.mongo)
    for goals in ((10, 12, 8), (20, 20, 25), (30, 30, 30)):
        await asyncio.gather(*(rollup.run(*stream.place, goal) for goal in goals))
        await looks_true(stream, rng, samples)


async def test_rollups_and_readers_and_a_writer_at_once(stream: StreamOfBlocks) -> None:
    rng = random.Random(7)  # noqa: S311  # no secret
    samples: Rows = []
    rollup = rollup_of(stream.mongo)
    for generation in range(1, 9):
        part = [(T0 + generation * 100 * S + k * S, sample(rng)) for k in range(100)]
        await stream.write(
            *(
                block_of([message(100 * generation + k, part[k : k + 4])], stream.place, generation=generation)
                for k in range(0, 100, 4)
            )
        )
        samples += part
        rolling = asyncio.create_task(rollup.run(*stream.place, generation))
        while not rolling.done():
            true_as_a_whole(await rows_of(stream, 10), samples)
            await asyncio.sleep(0)
        await rolling


async def test_each_bucket_is_exact_where_blocks_follow_each_other(stream: StreamOfBlocks) -> None:
    rng = random.Random(3)  # noqa: S311  # no secret
    samples: Rows = [(T0 + i * S // 5, sample(rng)) for i in range(10_000)]
    edges = sorted({0, 10_000, *rng.sample(range(10_000), 900)})
    parts = [samples[a:b] for a, b in itertools.pairwise(edges)]
    await stream.write(*(block_of([message(i, p)], stream.place, generation=1 + i // 300) for i, p in enumerate(parts)))
    await rollup_of(stream.mongo).run(*stream.place, 3)
    for n in (30, 150, 1900):
        start, end = T0 + 3 * S + 7, T0 + 1990 * S + 1
        found = await find(await stream.scan(start, end), Lod(stream.mongo), (end - start) // n)
        assert bool(found.parts) is (n < 1900)  # the rollups are used
        for row in await rows_of(stream, n, start, end):
            inside = [v for t, v in samples if row["t_ns"] <= t <= row["t_end_ns"]]
            assert row["count"] == len(inside)
            assert row["mean(i)"] == pytest.approx(sum(v["i"] for v in inside) / len(inside))
            assert row["min(i)"] == min(v["i"] for v in inside)


async def test_a_stream_that_gets_more_channels_keeps_its_rollups(stream: StreamOfBlocks) -> None:
    first = Message(0, [T0, T0 + S], {"b": [1.0, 2.0]})
    then = Message(1, [T0 + 2 * S, T0 + 3 * S], {"a": [5.0, None], "b": [None, 7.0], "text": ["x", "y"]})
    rollup = rollup_of(stream.mongo)
    await stream.write(block_of([first], stream.place, generation=1))
    await rollup.run(*stream.place, 2)
    await stream.write(block_of([then], stream.place, generation=2))
    await rollup.run(*stream.place, 3)
    scan = await stream.scan(0, 2**63, ["a", "b"])
    [row] = (await bucketed(scan, Lod(stream.mongo), 1)).to_pylist()
    found = await find(scan, Lod(stream.mongo), 10 * S)
    assert [len(part) for part in found.parts] == [1]
    assert not found.counted
    assert (row["count"], row["min(a)"], row["max(a)"], row["min(b)"], row["max(b)"]) == (4, 5.0, 5.0, 1.0, 7.0)
    assert row["mean(b)"] == pytest.approx(10 / 3)


async def test_a_statistic_that_was_written_twice_counts_once(stream: StreamOfBlocks) -> None:
    block = block_of([Message(0, [T0, T0 + 1], {"v": [1.0, 2.0]})], stream.place, generation=1)
    await stream.write(block)
    await rollup_of(stream.mongo).run(*stream.place, 2)
    block.statistics_generation = 5
    await Telemetry(stream.mongo).insert_statistics([block])
    assert [row["count"] for row in await rows_of(stream, 1)] == [2]
    await rollup_of(stream.mongo).run(*stream.place, 9)
    assert [row["count"] for row in await rows_of(stream, 1)] == [2]


async def test_a_cell_that_is_opened_counts_no_number_that_a_neighbour_has(stream: StreamOfBlocks) -> None:
    def message_at(seq: int, *seconds: float) -> Message:
        return Message(seq, [T0 + int(t * S) for t in seconds], {"v": [float(seq)] * len(seconds)})

    first, then, third = message_at(0, 1), message_at(1, 8), message_at(2, 10.5, 11)
    await stream.write(
        block_of([third], stream.place, generation=1),
        block_of([first], stream.place, generation=1),
        block_of([then, third], stream.place, generation=2),  # begins in the cell before the one of its double
        *(block_of([message_at(i, 10 * i)], stream.place, generation=1) for i in range(3, 12)),
    )
    await rollup_of(stream.mongo).run(*stream.place, 3)
    start, end = T0 + 5 * S, T0 + 100 * S
    found = await find(await stream.scan(start, end), Lod(stream.mongo), 10 * S)
    assert sum(int(part.count.sum()) for part in found.parts) == 9
    assert sum(row["count"] for row in await rows_of(stream, 9, start, end)) == 10


async def test_a_chunk_is_only_written_in_the_place_of_the_one_that_was_read(stream: StreamOfBlocks) -> None:
    await stream.write(*(block_of([message(i, [(T0 + i * S, {"f": 1.0})])], stream.place) for i in range(5)))
    rollup, lod = rollup_of(stream.mongo), Lod(stream.mongo)
    await rollup.run(*stream.place, 2)
    [chunk] = await lod.between(*stream.place, S, T0, T0 + 1)
    chunk.upto = 7
    assert await lod.put(*stream.place, [(chunk, 2)])
    chunk.upto = 5
    assert not await lod.put(*stream.place, [(chunk, 2)])
    assert not await lod.put(*stream.place, [(chunk, None)])
    [found] = await lod.between(*stream.place, S, T0, T0 + 1)
    assert found.upto == 7
    state = await lod.state(*stream.place)
    assert state is not None
    assert await lod.advance(*stream.place, state, 9, None)
    assert not await lod.advance(*stream.place, state, 8, None)
