"""Events are kept, bounded, in one order that readers can go on in."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson.int64 import Int64

from datamanager.clock import SystemClock
from datamanager.config import Config, RedisConfig
from datamanager.errors import RedisUnavailable, Refused
from datamanager.storage.events import (
    MOST_BOXES,
    TOPICS,
    Event,
    EventLog,
    EventPlace,
    Topic,
    events_of,
    metrics_event,
    parse_event_id,
)
from datamanager.storage.redis import Redis, open_redis

START: EventPlace = (0, 0, 0)


@pytest.fixture
async def redis(config: Config) -> AsyncIterator[Redis]:
    async with open_redis(config.redis) as opened:
        yield opened


@pytest.fixture
def log(redis: Redis) -> EventLog:
    return EventLog(redis, SystemClock(), kept=100)


def event(n: int, topic: Topic = "analytics_events", **more: Any) -> Event:
    return Event(topic=topic, event_type="drift", t_ns=1_700_000_000_000_000_000 + n, data={"n": n}, **more)


async def everything(log: EventLog, after: EventPlace = START, limit: int = 1000) -> list[int]:
    await asyncio.sleep(0.003)  # what lies in the present millisecond is not given out yet
    return [json.loads(bytes(found.data))["n"] for _, found in (await log.page(TOPICS, after, limit)).events]


async def test_the_envelope_lies_in_redis_under_its_five_names(log: EventLog, redis: Redis) -> None:
    one = Event(
        topic="detection_events",
        event_type="detection",
        t_ns=1_700_000_000_123_456_789,
        camera_id="front",
        frame_id="f1",
        robot_id="r",
        session_id="s",
        data={"count": Int64(2), "x": float("nan")},
    )
    await log.publish([one])
    [(_, fields)] = await redis.client.xrange("detection_events")
    found = json.loads(fields[b"event"])
    assert {name: found[name] for name in ("event_type", "timestamp", "camera_id", "frame_id", "data")} == {
        "event_type": "detection",
        "timestamp": 1_700_000_000.123456789,
        "camera_id": "front",
        "frame_id": "f1",
        "data": {"count": 2, "x": None},
    }
    assert (found["t_ns"], found["robot_id"], found["session_id"]) == ("1700000000123456789", "r", "s")


async def test_events_of_all_streams_come_in_one_order_and_reading_goes_on_behind_any_of_them(log: EventLog) -> None:
    for n in range(60):
        await log.publish([event(n, TOPICS[n % 4])])
    whole = (await log.read(TOPICS, START, limit=1000, block_s=1)).events
    assert [place for place, _ in whole] == sorted(place for place, _ in whole)
    numbers = await everything(log)
    assert sorted(numbers) == list(range(60))
    for i, (_, found) in enumerate(whole):
        assert await everything(log, parse_event_id(found.event_id)) == numbers[i + 1 :]


async def test_pages_of_any_size_add_up(log: EventLog) -> None:
    await log.publish([event(n, TOPICS[n * n % 4]) for n in range(50)])
    await asyncio.sleep(0.003)
    for limit in (1, 3, 7, 50, 51):
        after, found = START, []
        while (page := await log.page(TOPICS, after, limit)).events:
            found += [json.loads(bytes(e.data))["n"] for _, e in page.events]
            after = page.after
        assert sorted(found) == list(range(50))


async def test_readers_that_read_on_while_others_publish_miss_nothing(log: EventLog) -> None:
    async def publish(topic: Topic) -> None:
        for n in range(100):
            await log.publish([event(n, topic)])

    async def read() -> list[EventPlace]:
        after, places = START, []
        while len(places) < 400:
            found = await asyncio.wait_for(log.read(TOPICS, after, limit=17, block_s=5), 10)
            places += [place for place, _ in found.events]
            after = found.after
        return places

    roomy = EventLog(Redis(log._client), SystemClock(), kept=10_000)
    log._kept = roomy._kept
    places, *_ = await asyncio.gather(read(), *(publish(topic) for topic in TOPICS))
    assert places == sorted(set(places))


async def test_only_so_many_are_kept_and_who_reads_on_is_told_of_a_cut(log: EventLog, redis: Redis) -> None:
    await log.publish([event(n) for n in range(10)])
    await asyncio.sleep(0.003)
    first = await log.page(TOPICS, START, 1)
    assert not (await log.page(TOPICS, first.after, 100)).is_cut
    await log.publish([event(n) for n in range(1000)])
    await asyncio.sleep(0.003)
    assert 100 <= await redis.client.xlen("analytics_events") <= 300
    assert (await log.page(TOPICS, first.after, 100)).is_cut
    assert not (
        await log.page(TOPICS, START, 100)
    ).is_cut  # who asks for all there is knows that it isn't all there was


async def test_what_is_to_be_told_once_is_told_once(log: EventLog, redis: Redis) -> None:
    for _ in range(3):
        await log.publish([event(1, once="rule/frame"), event(2, "alert_events", once="rule/frame"), event(3)])
    assert sorted(await everything(log)) == [1, 2, 3, 3, 3]
    assert 0 < await redis.client.ttl("{alert_events}:once:rule/frame") <= 3600
    await redis.client.flushdb()
    await log.publish([event(1, once="rule/frame")])
    assert await everything(log) == [1]


async def test_an_entry_that_is_no_event_is_passed_over(log: EventLog, redis: Redis) -> None:
    await log.publish([event(1)])
    for fields in ({b"event": b"{"}, {b"event": b'{"event_type": 3}'}, {b"other": b"x"}, {b"event": b"\xff"}):
        await redis.client.xadd("analytics_events", fields)
    await log.publish([event(2)])
    assert await everything(log) == [1, 2]


async def test_a_clock_that_was_set_back_holds_nothing_back(log: EventLog, redis: Redis) -> None:
    await redis.client.xadd("analytics_events", {b"event": event(0).encode()}, id="9999999999999-0")
    await log.publish([event(1)])
    assert await everything(log) == [0, 1]


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", "1-2-4", "a-b-0", "-1-0-0", "1-2-3 ", "\u0661-1-1", "9" * 17 + "-0-0"]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no id of an event"):
        parse_event_id(text)


def test_the_widest_ids_are_read() -> None:
    assert parse_event_id("0") == START
    assert parse_event_id(f"{'9' * 16}-{'9' * 16}-3") == (10**16 - 1, 10**16 - 1, 3)


async def test_without_redis_every_call_says_so() -> None:
    async with open_redis(RedisConfig(url="redis://127.0.0.1:1/0")) as nobody:
        log = EventLog(nobody, SystemClock(), kept=100)
        with pytest.raises(RedisUnavailable):
            await log.publish([event(1)])
        with pytest.raises(RedisUnavailable):
            await log.read(TOPICS, START, limit=1, block_s=1)
        with pytest.raises(RedisUnavailable):
            await log.now()


def result(**more: Any) -> dict[str, Any]:
    plain = {
        "_id": "rule/f1",
        "t_ns": Int64(5),
        "stream": "front",
        "frame_id": "f1",
        "robot_id": "r",
        "session_id": "s",
    }
    said = {"status": "ok", "task": "detect", "model": "m", "version": "1", "latency_ms": 3.5, "values": {}}
    return plain | said | more


def test_boxes_become_a_detection_the_best_first_and_only_so_many() -> None:
    boxes = [{"class": "car", "score": n / 1000, "box": [0, 0, 1, 1], "track_id": n} for n in range(MOST_BOXES + 1)]
    [told] = events_of(result(detections=boxes))
    assert (told.topic, told.event_type, told.camera_id, told.frame_id) == (
        "detection_events",
        "detection",
        "front",
        "f1",
    )
    assert (told.data["count"], len(told.data["detections"])) == (MOST_BOXES + 1, MOST_BOXES)
    assert told.data["detections"][0]["track_id"] == MOST_BOXES
    assert (told.data["model"], told.data["version"], told.data["latency_ms"]) == ("m", "1", 3.5)


@pytest.mark.parametrize(
    "more", [{"detections": []}, {}, {"values": {"flagged": 0}}, {"status": "skipped", "values": {"flagged": 1}}]
)
def test_what_says_nothing_makes_no_event(more: dict[str, Any]) -> None:
    assert events_of(result(**more)) == []


def test_what_is_flagged_becomes_an_event_of_its_task() -> None:
    [told] = events_of(result(task="quality", values={"flagged": 1, "sharpness": 2.5}))
    assert (told.topic, told.event_type, told.data["values"]["sharpness"]) == ("analytics_events", "quality", 2.5)


def test_metrics_bear_their_source() -> None:
    told = metrics_event("w1", {"window_s": 5.0}, 7)
    assert (told.topic, told.t_ns, told.data) == ("metrics_events", 7, {"source": "w1", "window_s": 5.0})
