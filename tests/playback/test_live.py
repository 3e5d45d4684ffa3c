"""What sessions publish reaches who watches, soon, and a slow viewer hurts nobody."""

import asyncio
import base64
import json
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgpack
import numpy as np
import pytest
import websockets

from datamanager.config import Config
from datamanager.playback.live_text import live_text
from datamanager.playback.viewer import LiveMessage, Viewer
from datamanager.storage.redis import Redis, open_redis


@pytest.fixture
async def redis(browse_config: Config) -> AsyncIterator[Redis]:
    async with open_redis(browse_config.redis) as found:
        yield found


def watch(browse_url: str, query: str) -> Any:
    return websockets.connect(f"ws{browse_url[4:]}/api/v1/live?{query}", proxy=None, max_size=None)


async def publish(redis: Redis, robot_id: str, session_id: str, stream: str, **envelope: Any) -> None:
    packed = msgpack.packb({"robot_id": robot_id, "session_id": session_id, "stream": stream} | envelope)
    await redis.client.publish(f"live:{robot_id}:{session_id}", msgpack.packb([stream, packed]))


async def received(socket: Any) -> Any:
    data = await asyncio.wait_for(socket.recv(), 5)
    return json.loads(data) if isinstance(data, str) else msgpack.unpackb(data)


async def subscribers(redis: Redis, channel: str) -> int:
    return int((await redis.client.pubsub_numsub(channel))[0][1])


async def eventually(ask: Callable[[], Awaitable[int]], want: int) -> None:
    until = time.monotonic() + 10
    while (found := await ask()) != want:
        assert time.monotonic() < until, f"{found}, not {want}"
        await asyncio.sleep(0.02)  # Redis has to be asked


async def test_a_viewer_sees_what_is_published_after_its_welcome(browse_url: str, redis: Redis) -> None:
    async with watch(browse_url, "robot_id=l1&session_id=s") as socket:
        assert (await received(socket))["type"] == "welcome"
        await publish(redis, "l1", "s", "pose", data_type="time_series", t_ns=7, payload={"t_ns": [7], "channels": {}})
        found = await received(socket)
        assert (found["stream"], found["t_ns"]) == ("pose", "7")


async def test_msgpack_viewers_get_the_envelope_untouched(browse_url: str, redis: Redis) -> None:
    async with watch(browse_url, "robot_id=l2&session_id=s&format=msgpack") as socket:
        assert (await received(socket))["type"] == "welcome"
        packed = msgpack.packb({"payload": {"data": b"\xff"}, "t_ns": 2**62})
        await redis.client.publish("live:l2:s", msgpack.packb(["cam", packed]))
        assert await asyncio.wait_for(socket.recv(), 5) == packed


async def test_streams_are_chosen_and_without_a_session_all_are_watched(browse_url: str, redis: Redis) -> None:
    async with (
        watch(browse_url, "robot_id=l3&session_id=a&streams=x,y&streams=z") as chosen,
        watch(browse_url, "robot_id=l3") as whole,
    ):
        assert (await received(chosen))["streams"] == ["x", "y", "z"]
        await received(whole)
        for session, stream in (("a", "w"), ("b", "x"), ("a", "z"), ("a", "x")):
            await publish(redis, "l3", session, stream)
        assert [(await received(chosen))["stream"] for _ in range(2)] == ["z", "x"]
        found = [await received(whole) for _ in range(4)]
        assert [(x["session_id"], x["stream"]) for x in found] == [("a", "w"), ("b", "x"), ("a", "z"), ("a", "x")]


async def test_who_begins_to_watch_says_so(browse_url: str, redis: Redis) -> None:
    async with redis.client.pubsub() as pubsub:
        await pubsub.subscribe("live:watch")
        await pubsub.get_message(timeout=1)
        async with watch(browse_url, "robot_id=l4&session_id=s"):
            message = await pubsub.get_message(timeout=5, ignore_subscribe_messages=True)
            assert message is not None
            assert message["data"] == b"l4:s"


@pytest.mark.parametrize("query", ["", "robot_id=a%20b", "robot_id=r&session_id=..", "robot_id=r&format=xml"])
async def test_a_bad_query_is_told_and_closed(browse_url: str, query: str) -> None:
    async with watch(browse_url, query) as socket:
        assert (await received(socket))["status"] == 400
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 5)
        assert socket.close_code == 1008


async def test_viewers_stay_when_redis_drops_their_connections(browse_url: str, redis: Redis) -> None:
    async with watch(browse_url, "robot_id=l5&session_id=s") as socket, watch(browse_url, "robot_id=l5") as whole:
        await received(socket)
        await received(whole)
        await redis.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: subscribers(redis, "live:l5:s"), 1)
        await eventually(redis.client.pubsub_numpat, 1)
        await publish(redis, "l5", "s", "after")
        assert (await received(socket))["stream"] == "after"
        assert (await received(whole))["stream"] == "after"


async def test_a_session_that_nobody_watches_any_more_is_left(browse_url: str, redis: Redis) -> None:
    async with watch(browse_url, "robot_id=l6&session_id=s") as socket:
        await received(socket)
        assert await subscribers(redis, "live:l6:s") == 1
    await eventually(lambda: subscribers(redis, "live:l6:s"), 0)


async def test_a_viewer_that_does_not_read_is_told_what_it_lost(browse_url: str, redis: Redis) -> None:
    async with (
        watch(browse_url, "robot_id=l7&session_id=s&format=msgpack") as slow,
        watch(browse_url, "robot_id=l7&session_id=s&format=msgpack") as quick,
    ):
        await received(slow)
        await received(quick)
        slow.transport.pause_reading()
        seen, noise = 0, os.urandom(60_000)
        for _ in range(40):
            for _ in range(10):
                await publish(redis, "l7", "s", "cam", payload={"data": noise})
            seen += sum([(await received(quick))["stream"] == "cam" for _ in range(10)])
        assert seen == 400
        await publish(redis, "l7", "s", "cam", payload={"data": b"last"})
        slow.transport.resume_reading()
        lost = came = 0
        while True:
            found = await received(slow)
            lost += found.get("count", 0)
            came += "payload" in found
            if found.get("payload", {}).get("data") == b"last":
                break
        assert lost > 0
        assert lost + came == 401


async def test_a_queue_keeps_the_newest_by_count_and_by_bytes() -> None:
    for limits in ({"max_messages": 3}, {"max_bytes": 3 * 3}):
        viewer = Viewer(**limits)
        for i in range(5):
            viewer.offer("s", LiveMessage(msgpack.packb([i, 0])))
        assert msgpack.unpackb(await viewer.next()) == {"type": "dropped", "count": 2}
        assert [msgpack.unpackb(await viewer.next())[0] for _ in range(3)] == [2, 3, 4]


def test_columns_become_lists_and_what_json_lacks_becomes_text() -> None:
    payload = {
        "t_ns": np.array([2**60, 2**60 + 1], "<i8").tobytes(),
        "channels": {
            "f": np.array([math.nan, -0.5], "<f8").tobytes(),
            "i": np.array([1, 2], "<i2").tobytes(),
            "s": ["a", None],
        },
        "dtypes": {"i": "int16"},
    }
    found = json.loads(live_text(msgpack.packb({"t_ns": 2**60, "payload": payload})))
    assert found["t_ns"] == str(2**60)
    assert found["payload"] == {
        "start_ns": str(2**60),
        "offset_ns": [0, 1],
        "channels": {"f": ["NaN", -0.5], "i": [1, 2], "s": ["a", None]},
    }


def test_media_become_base64() -> None:
    found = json.loads(live_text(msgpack.packb({"payload": {"data": b"\xff\xd8", "format": "jpeg"}})))
    assert found["payload"] == {
        "data": base64.b64encode(b"\xff\xd8").decode(),
        "encoding": "base64",
        "format": "jpeg",
    }
