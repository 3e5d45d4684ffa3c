"""A connection as the rest of ingest sees it: what it may have un-acked, and what it has to be told."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.observability import METRICS

if TYPE_CHECKING:
    from datamanager.ingest.stream import StreamWriter

__all__ = ["Budget", "Sender"]

_MAX_TOLD = 1000


class Budget:
    """Bytes that all senders of this process together may have un-acked."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used = 0
        self._freed: set[asyncio.Event] = set()
        METRICS.pending_bytes.set_function(lambda: self.used)  # asked for by a scrape, not told with each message

    def take(self, size_bytes: int) -> None:
        """Counts bytes that arrived."""
        self.used += size_bytes

    def give(self, size_bytes: int) -> None:
        """Counts bytes that became durable, and wakes who waits."""
        self.used -= size_bytes
        if self.used < self.max_bytes:
            for event in self._freed:
                event.set()

    def watch(self, event: asyncio.Event) -> None:
        """Sets `event` whenever bytes are freed."""
        self._freed.add(event)

    def unwatch(self, event: asyncio.Event) -> None:
        """Ends `watch`."""
        self._freed.discard(event)


class Sender:
    """One connection.

    Attributes:
        pending_messages, pending_bytes: taken in and not yet durable.
        open_messages, open_bytes: of these, what stands in blocks that are not handed on yet.
        rejects: what is refused and not told yet; over HTTP only the first of them are told, and at the end.
        repeats_allowed: whether a known message that is not marked as redelivery may be the same one sent again: over
            HTTP, where a whole body is repeated by whoever got no answer.
        changed: set whenever there is something to tell.
    """

    def __init__(
        self, config: IngestConfig, budget: Budget, *, repeats_allowed: bool, most_rejects: int | None = None
    ) -> None:
        self.pending_messages = 0
        self.pending_bytes = 0
        self.open_messages = 0
        self.open_bytes = 0
        self.repeats_allowed = repeats_allowed
        self.accepted = 0
        self.rejected = 0
        self.rejects: deque[dict[str, Any]] = deque()
        self.changed = asyncio.Event()
        self._room = asyncio.Event()
        self.closed_by: str | None = None
        self._touched: set[StreamWriter] = set()
        self._most_rejects = most_rejects
        self._config = config
        self._budget = budget
        budget.watch(self._room)

    def close(self) -> None:
        """The connection is gone; what it sent is still written."""
        self._budget.unwatch(self._room)

    def supersede(self, why: str) -> None:
        """A newer connection of the same producer takes over: this one is to close."""
        self.closed_by = why
        self.changed.set()

    def took(self, messages: int, size_bytes: int) -> None:
        """Messages were taken in."""
        self.pending_messages += messages
        self.pending_bytes += size_bytes
        self._budget.take(size_bytes)

    def done(self, messages: int, size_bytes: int) -> None:
        """Messages became durable or were rejected."""
        self.pending_messages -= messages
        self.pending_bytes -= size_bytes
        self._budget.give(size_bytes)
        self._room.set()
        self.changed.set()

    def touch(self, stream: "StreamWriter") -> None:
        """The stream's ack is to be told, also when it has not moved."""
        self._touched.add(stream)
        self.changed.set()

    def refuse(self, stream: str | None, seq: int | None, refused: Refused) -> None:
        """Notes a reject to be told."""
        self.rejected += 1
        METRICS.rejects.labels(refused.code).inc()
        if self._most_rejects is None or len(self.rejects) < self._most_rejects:
            reject = {"type": "reject", "stream": stream, "seq": seq, "code": refused.code, "detail": refused.detail}
            more = {"kind": refused.kind, "offset": refused.offset}
            self.rejects.append(reject | {name: value for name, value in more.items() if value is not None})
        self.changed.set()

    def take_acks(self) -> dict[str, dict[str, int]]:
        """Producer to stream to seq, of every ack that is due now."""
        touched, self._touched = self._touched, set()
        acks: dict[str, dict[str, int]] = {}
        for stream in touched:
            seq = stream.ledger.ackable()
            if seq is not None:
                acks.setdefault(stream.producer, {})[stream.name] = seq
        return acks

    async def room(self) -> None:
        """Returns when another message may be taken in: until then nothing more is read, and the sender has to wait."""
        while not self.has_room:
            self._room.clear()
            await self._room.wait()

    def take_rejects(self) -> list[dict[str, Any]]:
        """The rejects that are due now."""
        rejects = list(self.rejects)
        self.rejects.clear()
        self._room.set()
        return rejects

    @property
    def window(self) -> tuple[int, int]:
        """What the sender may have un-acked now, in messages and bytes: less while the process has much to write."""
        share = 4 if self._budget.used * 4 > self._budget.max_bytes * 3 else 1
        return max(1, self._config.window // share), max(1024, self._config.window_bytes // share)

    @property
    def has_room(self) -> bool:
        """Whether another message may be taken in."""
        return (
            self.pending_messages < self._config.window
            and self.pending_bytes < self._config.window_bytes
            and self._budget.used < self._budget.max_bytes
            and (self._most_rejects is not None or len(self.rejects) < _MAX_TOLD)
        )

    @property
    def wants_flush(self) -> bool:
        """Whether so much waits in open blocks that they are better written before they are full or old."""
        return self.open_messages * 2 >= self._config.window or self.open_bytes * 2 >= self._config.window_bytes
