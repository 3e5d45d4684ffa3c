"""`…/stats`: aggregates in aligned windows, the same whether they were rolled up or not."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pyarrow as pa
import pytest
from support.blocks import Message, StreamOfBlocks, block_of

from datamanager.config import Config
from datamanager.storage.lod import Lod
from datamanager.storage.mongo import open_mongo
from datamanager.storage.rollup import Rollup
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry

S = 1_000_000_000
T0 = 1_700_000_400 * S  # a multiple of ten minutes
WINDOWS = {"1s": S, "10s": 10 * S, "1min": 60 * S, "10min": 600 * S}
_SESSIONS = itertools.count()


@pytest.fixture
async def stream(server: str, server_config: Config) -> AsyncIterator[StreamOfBlocks]:  # noqa: ARG001  # it makes the schema
    async with open_mongo(server_config.mongo) as mongo:
        yield StreamOfBlocks(mongo, ("aggregates", f"s{next(_SESSIONS)}", "x"))


async def ask(server: str, of: StreamOfBlocks, **params: Any) -> httpx.Response:
    robot, session, name = of.place
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.get(f"{server}/api/v1/sessions/{robot}/{session}/stats", params={"stream": name} | params)


async def stats(server: str, stream: StreamOfBlocks, **params: Any) -> dict[str, Any]:
    answer = await ask(server, stream, **params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def write(stream: StreamOfBlocks, samples: list[tuple[int, float | None]], per_block: int) -> None:
    """Samples in order, in blocks that do not reach over a full second."""
    parts = [samples[at : at + per_block] for at in range(0, len(samples), per_block)]
    messages = [Message(i, [t for t, _ in p], {"v": [v for _, v in p]}) for i, p in enumerate(parts)]
    await stream.write(*(block_of([m], stream.place, generation=1 + m.seq // 100) for m in messages))


@pytest.mark.parametrize("goal", [0, 3, 99])
async def test_windows_hold_what_the_samples_say_however_much_is_rolled_up(
    server: str, stream: StreamOfBlocks, goal: int
) -> None:
    samples: list[tuple[int, float | None]] = [
        (T0 + i * S // 4, None if i % 7 == 3 else float((i * 37) % 101)) for i in range(4000)
    ]
    await write(stream, samples, 4)
    await Rollup(Telemetry(stream.mongo), Streams(stream.mongo), Lod(stream.mongo)).run(*stream.place, goal)
    start, end = T0 + 37 * S // 2, T0 + 900 * S + 1
    for resolution, window_ns in WINDOWS.items():
        found = await stats(server, stream, resolution=resolution, start=start, end=end)
        assert (found["stream"], found["resolution"]) == ("x", resolution)
        wanted: dict[int, list[tuple[int, float | None]]] = {}
        for t, v in samples:
            if start <= t < end:
                wanted.setdefault(t // window_ns, []).append((t, v))
        first_ns = int(found["start_ns"])
        assert [first_ns + t for t in found["offset_ns"]] == [w[0][0] for w in wanted.values()]
        assert [first_ns + t for t in found["end_offset_ns"]] == [w[-1][0] for w in wanted.values()]
        assert found["count"] == [len(w) for w in wanted.values()]
        values = [[v for _, v in w if v is not None] for w in wanted.values()]
        got = found["channels"]["v"]
        assert got["count"] == [len(v) for v in values]
        assert got["min"] == [min(v, default=None) for v in values]
        assert got["max"] == [max(v, default=None) for v in values]
        assert got["first"] == [v[0] if v else None for v in values]
        assert got["last"] == [v[-1] if v else None for v in values]
        assert got["mean"] == [pytest.approx(sum(v) / len(v)) if v else None for v in values]


async def test_blocks_come_as_they_are(server: str, stream: StreamOfBlocks) -> None:
    await write(stream, [(T0 + i * S, float(i)) for i in range(10)], 4)
    found = await stats(server, stream, resolution="block", start=T0 + 1, end=T0 + 9 * S)
    assert found["count"] == [4, 2]
    assert found["channels"]["v"]["first"] == [4.0, 8.0]


async def test_the_other_formats_say_the_same(server: str, stream: StreamOfBlocks) -> None:
    await write(stream, [(T0 + i * S, float(i)) for i in range(100)], 1)
    answer = await ask(server, stream, resolution="1min", format="arrow")
    rows = pa.ipc.open_stream(answer.content).read_all().to_pylist()
    assert [row["count(v)"] for row in rows] == [60, 40]
    assert [row["last(v)"] for row in rows] == [59.0, 99.0]
    assert [row["t_end_ns"] for row in rows] == [T0 + 59 * S, T0 + 99 * S]


async def test_nothing_is_an_empty_answer(server: str, stream: StreamOfBlocks) -> None:
    await write(stream, [(T0, 1.0)], 1)
    found = await stats(server, stream, start=T0 + 1, end=T0 + 5)
    assert (found["offset_ns"], found["count"], found["channels"]["v"]["mean"]) == ([], [], [])


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"resolution": "2s"}, "malformed"),
        ({"format": "xml"}, "malformed"),
        ({"stream": ""}, "missing_field"),
        ({"channels": "w"}, "not_found"),
    ],
)
async def test_bad_questions_are_refused(
    server: str, stream: StreamOfBlocks, params: dict[str, str], code: str
) -> None:
    await write(stream, [(T0, 1.0)], 1)
    answer = await ask(server, stream, **params)
    assert answer.json()["code"] == code
