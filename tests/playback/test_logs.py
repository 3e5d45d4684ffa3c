"""Logs are searched page by page, and followed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
import pytest
import websockets
from support.raw_robot import T0, RawRobot


@pytest.fixture
async def api(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, timeout=30) as client:
        yield client


async def write(server: str, session: str, payloads: list[dict[str, Any]], stream: str = "log") -> None:
    async with RawRobot(server, session, robot="logs") as robot:
        await robot.hello(stream.replace("/", "-"))
        messages = [
            {"data_type": "log", "stream": stream, "seq": i, "t_ns": T0 + i, "payload": payload}
            for i, payload in enumerate(payloads)
        ]
        await robot.put({"batch_id": "b", "messages": messages})
        await robot.until(lambda: robot.acked.get(stream, -1) >= len(payloads) - 1)


async def searched(api: httpx.AsyncClient, session: str, **params: Any) -> list[dict[str, Any]]:
    """All pages of a search."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get(f"/sessions/logs/{session}/logs", params=params | cursor)
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return items
        cursor = {"cursor": answer.json()["next_cursor"]}


LINES = [f"line {i}" for i in range(300)]  # of 16 kB and more, so that it lies in S3
PAYLOADS: list[dict[str, Any]] = [
    {"level": "info", "message": "hello", "logger": "nav"},
    {"level": "WARN", "message": "Battery LOW", "logger": "power.cell", "volts": 10.5},
    {"lines": ["plain", {"message": "bad", "level": "error"}, "[FATAL] gone"], "logger": "sh"},
    {"lines": [f"{line} {'x' * 60}" for line in LINES], "level": "debug"},
    {"data": "2026 INFO raw text\n2026 ERROR raw battery\n"},
]


async def test_entries_are_found_by_level_text_logger_and_time(server: str, api: httpx.AsyncClient) -> None:
    await write(server, "find", PAYLOADS)
    everything = await searched(api, "find", limit=1000)
    assert len(everything) == 1 + 1 + 3 + 300 + 2
    times = [int(item["t_ns"]) for item in everything]
    assert times == sorted(times)
    assert everything[1] == everything[1] | {
        "level": "warn", "logger": "power.cell", "message": "Battery LOW", "fields": {"volts": 10.5}, "stream": "log",
        "seq": 1, "line": 0, "producer": "log", "t_ns": str(T0 + 1),
    }  # fmt: skip

    async def messages(**params: Any) -> list[str]:
        return [item["message"] for item in await searched(api, "find", **params)]

    assert await messages(level="warn") == ["Battery LOW", "bad", "[FATAL] gone", "2026 ERROR raw battery"]
    assert await messages(text="battery") == ["Battery LOW", "2026 ERROR raw battery"]
    assert await messages(logger="power") == ["Battery LOW"]
    assert await messages(text="line 29", level="debug") == [
        f"{line} {'x' * 60}" for line in LINES if "line 29" in line
    ]
    assert await messages(start=T0 + 1, end=T0 + 2) == ["Battery LOW"]
    assert await messages(stream="log", level="fatal") == ["[FATAL] gone"]


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
async def test_pages_of_any_size_come_to_the_same(server: str, api: httpx.AsyncClient, limit: int) -> None:
    await write(server, f"pages-{limit}", [*PAYLOADS[:3], {"lines": LINES[:20]}], "a")
    await write(server, f"pages-{limit}", [{"message": f"b{i}"} for i in range(10)], "b/c")
    want = await searched(api, f"pages-{limit}", limit=1000)
    assert len(want) == 5 + 20 + 10
    assert await searched(api, f"pages-{limit}", limit=limit) == want
    assert len(await searched(api, f"pages-{limit}", limit=limit, stream="b/c")) == 10


async def test_a_search_that_finds_little_says_how_far_it_looked(server: str, api: httpx.AsyncClient) -> None:
    await write(server, "far", [{"message": f"m{i}"} for i in range(3000)])
    answer = (await api.get("/sessions/logs/far/logs", params={"text": "m2999"})).json()
    assert [item["message"] for item in answer["items"]] == ["m2999"]
    assert (answer["scanned_records"], answer["scanned_to_ns"]) == (3000, str(T0 + 2999))


@pytest.mark.parametrize(
    ("path", "status"),
    [("logs/nothing/logs", 404), ("logs/bad/logs?stream=zz", 404), ("logs/bad/logs?level=loud", 400),
     ("logs/bad/logs?limit=0", 400), ("logs/bad/logs?cursor=zzz", 400), ("logs/bad/logs?start=x", 400)],
)  # fmt: skip
async def test_bad_asks_are_problems(server: str, api: httpx.AsyncClient, path: str, status: int) -> None:
    async with RawRobot(server, "bad", robot="logs") as robot:
        await robot.hello()
        answer = await api.get(f"/sessions/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


class Tail:
    """A follower, and what it was told."""

    def __init__(self, server: str, session: str, **query: Any) -> None:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        self._url = f"ws{server[4:]}/api/v1/sessions/logs/{session}/logs/tail?{asked}"

    async def __aenter__(self) -> Self:
        self.socket = await websockets.connect(self._url, proxy=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def told(self, count: int, timeout_s: float = 10) -> list[Any]:
        """The next messages; of entries the message alone."""
        async with asyncio.timeout(timeout_s):
            found = [json.loads(await self.socket.recv()) for _ in range(count)]
        return [f["message"] if f["type"] == "entry" else f for f in found]


LIVE = {"type": "live"}


async def test_a_tail_tells_the_last_entries_and_then_what_comes_each_once(server: str) -> None:
    await write(server, "tail", [{"message": f"m{i}"} for i in range(50)])
    async with Tail(server, "tail", last=3) as tail, RawRobot(server, "tail", robot="logs") as robot:
        assert await tail.told(4) == ["m47", "m48", "m49", LIVE]
        await robot.hello("q")
        await robot.put({"data_type": "log", "seq": 0, "t_ns": T0 + 100, "payload": {"lines": ["new", "newer"]}})
        await robot.put({"data_type": "time_series", "stream": "x", "seq": 0, "t_ns": T0, "payload": {"a": 1}})
        await robot.put({"data_type": "log", "stream": "log2", "t_ns": T0 + 101, "payload": {"message": "unnumbered"}})
        large = {"lines": ["large " + "x" * 70_000]}
        await robot.put({"data_type": "log", "stream": "log", "seq": 1, "t_ns": T0 + 102, "payload": large})
        assert await tail.told(3) == ["new", "newer", "unnumbered"]
        assert await tail.told(1) == [large["lines"][0]]
        await asyncio.sleep(2)  # what came is looked for again by then
        await robot.put({"data_type": "log", "seq": 2, "t_ns": T0 + 103, "payload": {"message": "end"}})
        assert await tail.told(1) == ["end"]


async def test_a_tail_is_filtered_and_may_begin_before_its_session(server: str) -> None:
    async with Tail(server, "early", level="warn", text="hot", stream="a") as tail:
        assert await tail.told(1) == [LIVE]
        entries = [
            {"message": "hot", "level": "info"},
            {"message": "cold", "level": "error"},
            {"message": "HOT", "level": "error"},
        ]
        await write(server, "early", entries, "b")
        await write(server, "early", entries, "a")
        assert await tail.told(1) == ["HOT"]


@pytest.mark.parametrize("query", [{"level": "loud"}, {"last": "x"}, {"last": "5000"}])
async def test_a_bad_tail_is_closed_with_a_problem(server: str, query: dict[str, str]) -> None:
    async with Tail(server, "tail", **query) as tail:
        assert json.loads(await tail.socket.recv())["status"] == 400
        with pytest.raises(websockets.ConnectionClosed):
            await tail.socket.recv()
        assert tail.socket.close_code == 1008
