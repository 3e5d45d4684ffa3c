"""`max_points`: at most so many buckets, true to the samples in them, and no spike is lost."""

import itertools
import math
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from support.blocks import Message, StreamOfBlocks, block_of

from datamanager.config import Config
from datamanager.storage.mongo import open_mongo

S = 1_000_000_000
T0 = 1_700_000_000 * S
_SESSIONS = itertools.count()
Samples = list[tuple[int, dict[str, Any]]]


@pytest.fixture
async def stream(server: str, server_config: Config) -> AsyncIterator[StreamOfBlocks]:  # noqa: ARG001  # it makes the schema
    async with open_mongo(server_config.mongo) as mongo:
        yield StreamOfBlocks(mongo, ("buckets", f"s{next(_SESSIONS)}", "x"))


async def buckets(
    server: str, stream: StreamOfBlocks, n: int, start: int, end: int, **more: str
) -> list[dict[str, Any]]:
    robot, session, name = stream.place
    params = {"stream": name, "start": start, "end": end, "max_points": n, "format": "arrow", **more}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        answer = await http.get(f"{server}/api/v1/sessions/{robot}/{session}/range", params=params)
    assert answer.status_code == 200, answer.text
    table = pa.ipc.open_stream(answer.content).read_all()
    names = table.schema.names
    assert names[:3] == ["t_ns", "t_end_ns", "count"]
    assert names[3:] == sorted(names[3:])
    rows: list[dict[str, Any]] = table.to_pylist()
    assert len(rows) <= n
    assert [row["t_ns"] for row in rows] == sorted(row["t_ns"] for row in rows)
    assert all(row["t_ns"] <= row["t_end_ns"] for row in rows)
    return rows


def numbers(samples: Samples, name: str) -> list[float]:
    values = [values.get(name) for _, values in samples]
    return [float(v) for v in values if v is not None and not math.isnan(v)]


def true_as_a_whole(rows: list[dict[str, Any]], samples: Samples, name: str) -> None:
    """The buckets together say of a channel what its samples say."""
    assert sum(row["count"] for row in rows) == len(samples)
    for field, function in (("min", min), ("max", max)):
        found = [row[f"{field}({name})"] for row in rows if row[f"{field}({name})"] is not None]
        assert (function(found) if found else None) == (
            function(numbers(samples, name) or [math.nan]) if found else None
        )
    assert any(row[f"min({name})"] is not None for row in rows) == bool(numbers(samples, name))


def true_each(rows: list[dict[str, Any]], samples: Samples, names: str) -> None:
    """Each bucket is exact, where blocks follow each other so that it holds all samples between its times."""
    assert sum(row["count"] for row in rows) == len(samples)
    for row in rows:
        inside = [s for s in samples if row["t_ns"] <= s[0] <= row["t_end_ns"]]
        assert row["count"] == len(inside)
        assert (row["t_ns"], row["t_end_ns"]) == (inside[0][0], inside[-1][0])
        for name in names:
            found = numbers(inside, name)
            got = [row[f"{field}({name})"] for field in ("min", "max", "mean")]
            if found:
                assert got == pytest.approx([min(found), max(found), sum(found) / len(found)])
            else:
                assert got == [None, None, None]


def sample(rng: random.Random, i: int) -> dict[str, Any]:
    return {
        "f": rng.choice([None, math.nan, rng.gauss(0, 1), 1e6 * rng.random()]),
        "i": rng.randrange(-5, 5),
        "b": rng.random() < 0.5,
        "text": "x",
        **({"late": float(i)} if i > 30 else {}),
    }


def message(seq: int, samples: Samples) -> Message:
    names = sorted({name for _, values in samples for name in values})
    return Message(seq, [t for t, _ in samples], {n: [values.get(n) for _, values in samples] for n in names})


@pytest.mark.parametrize("seed", range(4))
async def test_buckets_of_blocks_in_order_are_exact(server: str, stream: StreamOfBlocks, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    times = sorted(T0 + t * S // 10 for t in rng.sample(range(3000), 300))
    samples = [(t, sample(rng, i)) for i, t in enumerate(times)]
    edges = sorted({0, 300, *rng.sample(range(300), 20)})
    parts = [samples[a:b] for a, b in itertools.pairwise(edges)]
    await stream.write(*(block_of([message(i, part)], stream.place) for i, part in enumerate(parts)))
    for n in (1, 3, 50, 1000):
        start, end = sorted(T0 + rng.randrange(-10, 3010) * S // 10 for _ in range(2))
        wanted = [s for s in samples if start <= s[0] < end]
        true_each(await buckets(server, stream, n, start, end), wanted, ["f", "i", "b", "late"])
        true_each(await buckets(server, stream, n, 0, 2**63), samples, ["f", "i", "b", "late"])


@pytest.mark.parametrize("seed", range(4))
async def test_buckets_of_late_overlapping_and_doubled_blocks_are_true(
    server: str, stream: StreamOfBlocks, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311  # no secret
    samples = {i: [(T0 + rng.randrange(3000) * S // 10, sample(rng, i)) for _ in range(4)] for i in range(60)}
    for part in samples.values():
        part.sort(key=lambda s: s[0])
    messages = [message(i, part) for i, part in samples.items()]
    blocks = [
        block_of(messages[at : at + rng.randrange(3, 7)], stream.place, generation=rng.randrange(1, 4))
        for at in range(0, 60, 3)
    ]
    rng.shuffle(blocks)
    await stream.write(*blocks)
    everything = [s for part in samples.values() for s in part]
    for n in (1, 7, 100):
        start, end = sorted(T0 + rng.randrange(3000) * S // 10 for _ in range(2))
        wanted = [s for s in everything if start <= s[0] < end]
        for name in ("f", "i", "b", "late"):
            true_as_a_whole(await buckets(server, stream, n, start, end, channels=name), wanted, name)


async def test_no_spike_is_lost_whatever_the_number_of_buckets(server: str, stream: StreamOfBlocks) -> None:
    values = np.sin(np.arange(5000) / 50)
    places = list(range(17, 5000, 500))
    values[places] = 1000 + np.arange(len(places))
    samples: Samples = [(T0 + i * S // 100, {"v": float(v)}) for i, v in enumerate(values)]
    parts = [samples[at : at + 100] for at in range(0, 5000, 100)]
    await stream.write(*(block_of([message(i, part)], stream.place) for i, part in enumerate(parts)))
    for n in (20, 200, 4000):
        kept = {row["max(v)"] for row in await buckets(server, stream, n, T0, T0 + 100 * S)}
        assert {1000.0 + k for k in range(len(places))} <= kept


async def test_nothing_and_one_sample_and_times_at_the_end_of_all_time(server: str, stream: StreamOfBlocks) -> None:
    await stream.write(block_of([message(0, [(0, {"v": 1})])], stream.place))
    assert await buckets(server, stream, 5, T0, T0 + 1) == []
    [row] = await buckets(server, stream, 5, 0, 2**63)
    assert (row["count"], row["min(v)"], row["mean(v)"]) == (1, 1.0, 1.0)
    await stream.write(block_of([message(1, [(2**63 - 1, {"v": 3})])], stream.place))
    rows = await buckets(server, stream, 2, 0, 2**63)
    assert [(row["t_ns"], row["max(v)"]) for row in rows] == [(0, 1.0), (2**63 - 1, 3.0)]


async def test_a_stream_of_texts_alone_has_counts(server: str, stream: StreamOfBlocks) -> None:
    await stream.write(block_of([message(0, [(T0, {"v": "a"}), (T0 + 1, {"v": "b"})])], stream.place))
    rows = await buckets(server, stream, 5, T0, T0 + 10)
    assert sum(row["count"] for row in rows) == 2
    assert all(set(row) == {"t_ns", "t_end_ns", "count"} for row in rows)


async def test_channels_may_bear_the_names_of_columns(server: str, stream: StreamOfBlocks) -> None:
    channels = ("count", "t_end_ns", "t_ns")
    samples: Samples = [(T0 + i, {name: i + k for k, name in enumerate(channels)}) for i in range(10)]
    await stream.write(block_of([message(0, samples)], stream.place))
    [row] = await buckets(server, stream, 1, T0 + 1, T0 + 9)  # an edge within the block, so that its samples are read
    assert [row[f"min({name})"] for name in channels] == [1.0, 2.0, 3.0]
