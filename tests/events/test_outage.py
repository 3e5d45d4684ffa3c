"""Viewers of events outlive Redis: stopped, started, wiped."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis as driver
from support.processes import wait_until

from datamanager.clock import SystemClock
from datamanager.config import RedisConfig
from datamanager.local.binaries import REDIS, find_program
from datamanager.local.ports import HeldPorts
from datamanager.playback.events import EventFilter, EventHub
from datamanager.storage.events import Event, EventLog, parse_event_id
from datamanager.storage.redis import Redis, open_redis


class Server:
    """A Redis of this test alone, that comes and goes; what it held is gone with it."""

    def __init__(self, program: Path, port: int, folder: Path) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = [str(program), "--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603  # a real server

        def answers() -> bool:
            try:
                return bool(driver.Redis.from_url(self.url).ping())
            except driver.RedisError:
                return False

        wait_until(answers)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    program = await find_program(REDIS)
    with HeldPorts() as held, ExitStack() as stack:
        found = Server(program, held.choose(), tmp_path)
        stack.callback(found.kill)
        await asyncio.to_thread(found.start)
        yield found


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[Redis]:
    async with open_redis(RedisConfig(url=server.url)) as opened:
        yield opened


@pytest.fixture
def log(redis: Redis) -> EventLog:
    return EventLog(redis, SystemClock(), kept=1000)


@pytest.fixture
async def hub(log: EventLog) -> AsyncIterator[EventHub]:
    found = EventHub(log, SystemClock(), viewer_queue=100)
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    await asyncio.wait({task})


def numbers(count: int, first: int = 0) -> list[Event]:
    return [Event(topic="alert_events", event_type="x", t_ns=n, data={"n": n}) for n in range(first, first + count)]


async def told(texts: Any) -> Any:
    return json.loads(await asyncio.wait_for(anext(texts), 20))


async def test_viewers_stay_while_redis_is_away_and_get_what_comes_after_it_was_wiped(
    server: Server, log: EventLog, hub: EventHub
) -> None:
    async with hub.watch(EventFilter(), None) as texts, hub.watch(EventFilter(), (0, 0, 0)) as whole:
        assert [(await told(t))["type"] for t in (texts, whole)] == ["welcome", "welcome"]
        await log.publish(numbers(2))
        assert [(await told(texts))["data"]["n"] for _ in range(2)] == [0, 1]
        last = [(await told(whole))["event_id"] for _ in range(2)][-1]
        for first in (10, 20):
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.start)
            await log.publish(numbers(2, first))
            assert [(await told(texts))["data"]["n"] for _ in range(2)] == [first, first + 1]
            assert [(await told(whole))["data"]["n"] for _ in range(2)] == [first, first + 1]
        async with hub.watch(EventFilter(), parse_event_id(last)) as later:  # behind what the wiped one held
            assert (await told(later))["type"] == "welcome"
            assert [(await told(later))["data"]["n"] for _ in range(2)] == [20, 21]


async def test_a_viewer_that_comes_while_redis_is_away_is_let_in(server: Server, log: EventLog, hub: EventHub) -> None:
    await asyncio.to_thread(server.kill)
    async with hub.watch(EventFilter(), None) as texts, hub.watch(EventFilter(), (0, 0, 0)) as whole:
        assert (await told(texts))["type"] == "welcome"
        assert (await told(whole))["type"] == "welcome"
        await asyncio.to_thread(server.start)
        reading = asyncio.ensure_future(told(whole))
        await asyncio.sleep(1.5)  # both have found it again
        await log.publish(numbers(1, 7))
        assert (await told(texts))["data"]["n"] == 7
        assert (await reading)["data"]["n"] == 7


async def test_a_process_that_nobody_watches_reads_nothing(hub: EventHub, redis: Redis) -> None:
    async def commands() -> int:
        return int((await redis.client.info("commandstats")).get("cmdstat_xrange", {"calls": 0})["calls"])

    async with hub.watch(EventFilter(), None) as texts:
        await told(texts)
        await asyncio.sleep(0.3)
        assert await commands() > 0
        await texts.aclose()  # type: ignore[attr-defined]  # a generator is what it is
    await asyncio.sleep(0.8)
    before = await commands()
    await asyncio.sleep(0.5)
    assert await commands() == before


async def test_who_reads_on_behind_what_was_trimmed_is_told_of_a_gap(redis: Redis) -> None:
    few = EventLog(redis, SystemClock(), kept=100)
    own = EventHub(few, SystemClock(), viewer_queue=100)
    await few.publish(numbers(1))
    await asyncio.sleep(0.01)
    first = (await few.page(["alert_events"], (0, 0, 0), 1)).after
    await few.publish(numbers(1000, 1))
    async with own.watch(EventFilter(), first) as texts:
        assert (await told(texts))["type"] == "welcome"
        assert (await told(texts)) == {"type": "gap"}
        seen = [(await told(texts))["data"]["n"] for _ in range(100)]
    assert seen == list(range(seen[0], seen[0] + 100))
    assert seen[0] > 1
