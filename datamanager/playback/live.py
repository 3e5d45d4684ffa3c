"""Live fan-out: one Redis subscription for each watched session of this process, handed out to all its viewers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable
from datamanager.observability import METRICS, get_logger
from datamanager.playback.viewer import LiveMessage, Viewer
from datamanager.storage.keys import live_channel
from datamanager.storage.redis import PubSub, Redis, redis_translated

__all__ = ["LiveHub"]

_log = get_logger(__name__)
_OWN_CHANNEL = "hub"  # there is always one subscription, so that the connection always listens
_WATCH_CHANNEL = "live:watch"  # tells ingest at once which session is watched
_SUBSCRIBE_S = 2.0  # a viewer is let in after that even without Redis: what comes later reaches it
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.05, 1.0
_PAYLOAD = msgspec.msgpack.Decoder(tuple[str, bytes])  # stream, and the envelope as MessagePack


class LiveHub:
    """Brings what sessions publish to who watches. Run `run` as a task.

    Args:
        redis: carries it between processes.
        clock: paces the attempts to reach Redis again.
        viewer_queue: how many messages may wait for one viewer.
    """

    def __init__(self, redis: Redis, clock: Clock, *, viewer_queue: int) -> None:
        self._redis = redis
        self._clock = clock
        self._viewer_queue = viewer_queue
        self._viewers: dict[str, set[Viewer]] = {}
        self._standing: dict[str, asyncio.Event] = {}  # set while Redis has confirmed that subscription
        self._pubsub: PubSub | None = None
        self._changing = asyncio.Lock()

    async def run(self) -> None:
        """Hands out until cancelled. While Redis is away viewers stay, and get what comes afterwards."""
        pause_s = _LEAST_PAUSE_S
        while True:
            try:
                await self._listen()
            except RedisUnavailable as error:
                if pause_s == _LEAST_PAUSE_S:
                    _log.warning("live waits for Redis", error=error.detail)
            if self._standing.get(_OWN_CHANNEL):
                pause_s = _LEAST_PAUSE_S
            self._standing.clear()
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _MOST_PAUSE_S)

    @asynccontextmanager
    async def watch(
        self,
        robot_id: str,
        session_id: str | None,
        streams: Collection[str],
        *,
        as_json: bool,
        wanted: Callable[[LiveMessage], bool] | None = None,
    ) -> AsyncIterator[Viewer]:
        """A viewer for as long as the block lasts. On entry the subscription stands, unless Redis is away.

        Args:
            robot_id: whose.
            session_id: which recording run; all of the robot's, present and coming, when None.
            streams: which streams; all when empty.
            as_json: whether the viewer wants JSON text instead of MessagePack.
            wanted: which messages of these streams; all when None.
        """
        channel = live_channel(robot_id, session_id or "*")  # ids have no character that means something in a pattern
        viewer = Viewer(streams, as_json=as_json, max_messages=self._viewer_queue, wanted=wanted)
        self._viewers.setdefault(channel, set()).add(viewer)
        METRICS.connections.labels("live").inc()
        try:
            await self._subscribe(channel)
            yield viewer
        finally:
            METRICS.connections.labels("live").dec()
            self._viewers[channel].discard(viewer)
            if not self._viewers[channel]:
                del self._viewers[channel]
                await self._unsubscribe(channel)

    async def _listen(self) -> None:
        with redis_translated():
            async with self._redis.client.pubsub() as pubsub:
                await pubsub.subscribe(_OWN_CHANNEL)
                async with self._changing:
                    self._pubsub = pubsub
                    for channel in list(self._viewers):
                        await self._send(pubsub, channel)
                try:
                    async for message in pubsub.listen():
                        await self._take(message)
                finally:
                    self._pubsub = None

    async def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "message":
                self._hand_out(message["channel"], message["data"])
            case "pmessage":
                self._hand_out(message["pattern"], message["data"])
            case "subscribe" | "psubscribe":
                channel = message["channel"].decode()
                self._event(channel).set()
                if channel != _OWN_CHANNEL:
                    await self._redis.client.publish(_WATCH_CHANNEL, channel.removeprefix("live:"))

    def _hand_out(self, channel: bytes, data: bytes) -> None:
        viewers = self._viewers.get(channel.decode())
        if viewers:
            stream, packed = _PAYLOAD.decode(data)
            message = LiveMessage(packed)
            for viewer in viewers:
                viewer.offer(stream, message)

    async def _subscribe(self, channel: str) -> None:
        try:
            async with asyncio.timeout(_SUBSCRIBE_S):
                async with self._changing:
                    if self._pubsub is not None and channel not in self._standing:
                        with redis_translated():
                            await self._send(self._pubsub, channel)
                await self._event(channel).wait()
        except (TimeoutError, RedisUnavailable) as error:
            _log.warning("a viewer waits for Redis", channel=channel, error=repr(error))

    async def _send(self, pubsub: PubSub, channel: str) -> None:
        self._event(channel)
        await (pubsub.psubscribe(channel) if channel.endswith("*") else pubsub.subscribe(channel))

    async def _unsubscribe(self, channel: str) -> None:
        try:
            async with self._changing:
                if self._pubsub is not None and channel not in self._viewers:
                    self._standing.pop(channel, None)
                    with redis_translated():
                        pubsub = self._pubsub
                        await (pubsub.punsubscribe(channel) if channel.endswith("*") else pubsub.unsubscribe(channel))
        except RedisUnavailable as error:
            _log.info("the subscription ends with its connection", channel=channel, error=error.detail)

    def _event(self, channel: str) -> asyncio.Event:
        return self._standing.setdefault(channel, asyncio.Event())
