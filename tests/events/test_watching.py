"""Who watches events gets those it wants, in order, and can go on where it was."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import websockets

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.playback.events import EventFilter, EventViewer, _Shown
from datamanager.storage.events import Event, EventLog, StoredEvent, Topic
from datamanager.storage.redis import Redis, open_redis


@pytest.fixture
async def redis(server_config: Config) -> AsyncIterator[Redis]:
    async with open_redis(server_config.redis) as opened:
        yield opened


@pytest.fixture
def log(redis: Redis) -> EventLog:
    return EventLog(redis, SystemClock(), kept=10_000)


@pytest.fixture
def robot() -> str:
    return f"e{uuid.uuid4().hex[:8]}"


def event(robot: str, n: int, topic: Topic = "detection_events", **more: Any) -> Event:
    return Event(topic=topic, event_type="detection", t_ns=n, robot_id=robot, data={"n": n}, **more)


def watch(server: str, query: str) -> Any:
    return websockets.connect(f"ws{server[4:]}/api/v1/events?{query}", proxy=None, max_size=None, max_queue=None)


async def received(socket: Any) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), 10))


async def test_viewers_see_the_envelope_of_what_comes_after_their_welcome(
    server: str, log: EventLog, robot: str
) -> None:
    async with watch(server, f"robot_id={robot}") as one, watch(server, f"robot_id={robot}") as other:
        assert [(await received(socket))["type"] for socket in (one, other)] == ["welcome", "welcome"]
        await log.publish([event(robot, 1_500_000_000, camera_id="front", frame_id="f")])
        for socket in (one, other):
            found = await received(socket)
            assert found == {
                "event_type": "detection",
                "timestamp": 1.5,
                "camera_id": "front",
                "frame_id": "f",
                "data": {"n": 1_500_000_000},
                "robot_id": robot,
                "session_id": "",
                "t_ns": "1500000000",
                "event_id": found["event_id"],
                "topic": "detection_events",
            }


async def test_a_viewer_goes_on_behind_any_event_without_loss_or_doubling(
    server: str, log: EventLog, robot: str
) -> None:
    async def publish() -> None:
        for n in range(1, 301):
            await log.publish([event(robot, n, ("detection_events", "alert_events", "analytics_events")[n % 3])])

    publishing = asyncio.create_task(publish())
    after, seen = "0", []
    while len(seen) < 300:
        async with watch(server, f"robot_id={robot}&after={after}") as socket:
            assert (await received(socket))["type"] == "welcome"
            for _ in range(min(37, 300 - len(seen))):
                found = await received(socket)
                after = found["event_id"]
                seen.append(found["data"]["n"])
    await publishing
    assert sorted(seen) == list(range(1, 301))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("types=alert_events", [2]),
        ("types=alert_events,detection", [1, 2, 3, 4]),
        ("types=drift", [5]),
        ("types=nothing", []),
        ("session_id=s", [3]),
        ("camera_id=front/left", [4]),
    ],
)
async def test_events_are_chosen_by_type_session_and_camera(
    server: str, log: EventLog, robot: str, query: str, wanted: list[int]
) -> None:
    await log.publish(
        [
            event(robot, 1),
            event(robot, 2, "alert_events"),
            event(robot, 3, session_id="s"),
            event(robot, 4, camera_id="front/left"),
            Event(topic="analytics_events", event_type="drift", t_ns=5, robot_id=robot, data={"n": 5}),
        ]
    )
    await asyncio.sleep(0.01)
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        page = (await http.get(f"/api/v1/events?robot_id={robot}&{query}")).json()
    assert sorted(item["data"]["n"] for item in page["items"]) == wanted
    async with watch(server, f"robot_id={robot}&{query}&after=0") as socket:
        assert (await received(socket))["type"] == "welcome"
        assert sorted([(await received(socket))["data"]["n"] for _ in wanted]) == wanted


async def test_pages_add_up_and_the_last_tells_where_to_ask_later(server: str, log: EventLog, robot: str) -> None:
    await log.publish([event(robot, n) for n in range(25)])
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        after, found = "0", []
        while True:
            page = (await http.get("/api/v1/events", params={"robot_id": robot, "after": after, "limit": 10})).json()
            after = page["after"]
            if not page["items"] and len(found) >= 25:
                break
            found += [item["data"]["n"] for item in page["items"]]
        assert found == list(range(25))
        await log.publish([event(robot, 99)])
        await asyncio.sleep(0.01)
        page = (await http.get("/api/v1/events", params={"robot_id": robot, "after": after})).json()
        assert [item["data"]["n"] for item in page["items"]] == [99]


@pytest.mark.parametrize("query", ["after=x", "robot_id=a%20b", "camera_id=a//b", "session_id=..", f"types={'x' * 65}"])
async def test_a_bad_query_is_told_and_closed(server: str, query: str) -> None:
    async with watch(server, query) as socket:
        assert (await received(socket))["status"] == 400
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 5)
        assert socket.close_code == 1008
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        assert (await http.get(f"/api/v1/events?{query}")).status_code == 400


async def test_a_slow_viewer_loses_the_oldest_is_told_how_many_and_nobody_else_feels_it(
    server: str, log: EventLog, robot: str
) -> None:
    async with watch(server, f"robot_id={robot}") as slow, watch(server, f"robot_id={robot}") as quick:
        await received(slow)
        await received(quick)
        slow.transport.pause_reading()
        total = 1200
        for n in range(0, total, 20):
            await log.publish([event(robot, n + i, camera_id="c", frame_id="x" * 20_000) for i in range(20)])
            assert [(await received(quick))["data"]["n"] for _ in range(20)] == list(range(n, n + 20))
        slow.transport.resume_reading()
        lost = came = 0
        last = -1
        while last < total - 1:
            found = await received(slow)
            lost += found.get("count", 0)
            if "data" in found:
                assert found["data"]["n"] > last
                last, came = found["data"]["n"], came + 1
        assert lost > 0
        assert lost + came == total


def _shown(n: int, size: int = 10) -> _Shown:
    said = {"event_type": "x", "timestamp": 0.0, "camera_id": "", "robot_id": "", "session_id": "", "t_ns": "0"}
    stored = StoredEvent(
        **said, frame_id="f" * size, data=msgspec.Raw(str(n).encode()), topic="alert_events", event_id=f"{n}-0-3"
    )
    return _Shown((n, 0, 3), stored)


async def test_a_queue_keeps_the_newest_by_count_and_by_bytes() -> None:
    for most, size, kept in ((3, 10, [3, 4, 5]), (1000, 3_000_000, [4, 5])):
        viewer = EventViewer(EventFilter(), (0, 0, 0), max_events=most)
        for n in range(1, 6):
            viewer.offer(_shown(n, size))
        assert json.loads(await viewer.next()) == {"type": "dropped", "count": 5 - len(kept)}
        assert [json.loads(await viewer.next())["data"] for _ in kept] == kept


async def test_what_was_sent_is_not_sent_again() -> None:
    viewer = EventViewer(EventFilter(), (2, 0, 3), max_events=10)
    for n in (1, 2, 3):
        viewer.offer(_shown(n))
    assert json.loads(await viewer.next())["data"] == 3
