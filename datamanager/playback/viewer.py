"""One live viewer's queue: bounded, so that a slow viewer loses the oldest, is told how many, and nobody else feels it."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import cached_property

import msgspec

from datamanager.observability import METRICS
from datamanager.playback.live_text import live_text

__all__ = ["MAX_QUEUED_BYTES", "LiveMessage", "Viewer"]

MAX_QUEUED_BYTES = 8 * 1024 * 1024


class LiveMessage:
    """One envelope on its way to viewers: as it came, and as JSON, made once for all who want it."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed

    @cached_property
    def text(self) -> str:
        """The envelope as JSON."""
        return live_text(self.packed)


class Viewer:
    """What waits for one viewer.

    Args:
        streams: which streams it wants; all when empty.
        as_json: whether it wants JSON text instead of MessagePack.
        max_messages: how many may wait.
        max_bytes: how many bytes they may have together.
        wanted: which messages, of those streams; all when None.
    """

    def __init__(
        self,
        streams: Collection[str] = (),
        *,
        as_json: bool = False,
        max_messages: int = 1024,
        max_bytes: int = MAX_QUEUED_BYTES,
        wanted: Callable[[LiveMessage], bool] | None = None,
    ) -> None:
        self.as_json = as_json
        self._streams = frozenset(streams)
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._wanted = wanted
        self._waiting: deque[LiveMessage] = deque()
        self._bytes = 0
        self._dropped = 0
        self._fresh = asyncio.Event()

    def offer(self, stream: str, message: LiveMessage) -> None:
        """Takes a message, if it is of a stream that is wanted; where there is no room, the oldest go."""
        if (self._streams and stream not in self._streams) or (self._wanted and not self._wanted(message)):
            return
        self._waiting.append(message)
        self._bytes += len(message.packed)
        while len(self._waiting) > self._max_messages or self._bytes > self._max_bytes:
            self._bytes -= len(self._waiting.popleft().packed)
            self._dropped += 1
            METRICS.live_dropped.inc()
        self._fresh.set()

    async def next(self) -> bytes | str:
        """What to send next: the loss, if there was one, before what came after it. Cancelling loses nothing."""
        while not self._waiting and not self._dropped:
            self._fresh.clear()
            await self._fresh.wait()
        if self._dropped:
            notice = {"type": "dropped", "count": self._dropped}
            self._dropped = 0
            return self.encode(notice)
        message = self._waiting.popleft()
        self._bytes -= len(message.packed)
        return message.text if self.as_json else message.packed

    def encode(self, value: Mapping[str, object]) -> bytes | str:
        """A message of our own, in the viewer's format."""
        return msgspec.json.encode(value).decode() if self.as_json else msgspec.msgpack.encode(value)
