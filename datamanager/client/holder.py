"""All that is not acked yet: in memory, and on disk when there is a spool."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from datamanager.client.numbering import Numbering
from datamanager.client.outbox import Entry, Outbox
from datamanager.client.settings import ClientSettings
from datamanager.client.spool import Draft, Spool
from datamanager.client.stats import Reject, Stats

__all__ = ["Holder"]

_READ_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)


class Holder:
    """Keeps messages until they are acked or rejected; belongs to one event loop.

    Attributes:
        rejects: the latest rejects.
        dropped: samples and records that the disk did not take.
        error: why it did not.
    """

    def __init__(
        self,
        numbering: Numbering,
        spool: Spool | None,
        settings: ClientSettings,
        on_reject: Callable[[Reject], None] | None = None,
    ) -> None:
        self.outbox = Outbox(numbering, settings.max_message_bytes)
        self.rejects: deque[Reject] = deque(maxlen=settings.max_rejects)
        self.dropped = 0
        self.error: str | None = None
        self._spool = spool
        self._settings = settings
        self._on_reject = on_reject
        self._numbering = numbering
        # With a spool, what waits to be written takes the other half.
        self._memory_bytes = settings.memory_bytes // 2 if spool else settings.memory_bytes
        self._storing_bytes = 0
        self._orders = 0
        self._acked = 0
        self._rejected = 0
        self._waiters: list[asyncio.Future[None]] = []

    def room(self, nbytes: int) -> bool:
        """Whether `nbytes`, counted with all that has not come here yet, may be taken. May be asked from any thread."""
        if self._spool is None:
            return self.outbox.held_bytes + nbytes <= self._memory_bytes
        nbytes += self._storing_bytes
        return nbytes <= self._memory_bytes and self._spool.nbytes + nbytes <= self._settings.spool_bytes

    def half_empty(self, nbytes: int) -> bool:
        """Whether less is held than half of what may be; `nbytes` is all that has not come here yet."""
        if self._spool is None:
            return self.outbox.held_bytes + nbytes <= self._memory_bytes // 2
        nbytes += self._storing_bytes
        return nbytes <= self._memory_bytes // 2 and self._spool.nbytes + nbytes <= self._settings.spool_bytes // 2

    async def add(self, drafts: list[Draft]) -> None:
        """Takes messages: onto the disk first, where there is a spool; what it cannot take is dropped and counted."""
        if self._spool is None:
            for draft in drafts:
                place = self._numbering.take(draft.stream)
                self.outbox.add(Entry(self._orders, draft.stream, place, draft.body, draft.samples))
                self._orders += 1
            return
        self._storing_bytes = sum(len(draft.body) for draft in drafts)
        while drafts:
            part, drafts = _cut(drafts, self._settings.segment_bytes)
            await self._store(self._spool, part)

    def take(self) -> list[Entry]:
        """What goes into the next frame."""
        self._refill()
        taken = self.outbox.take(self._settings.frame_bytes)
        while self.outbox.oversize:
            entry = self.outbox.oversize.pop()
            detail = f"larger than the {self.outbox.max_message_bytes} bytes that the server takes"
            self._reject(Reject(stream=entry.stream, seq=entry.seq, code="too_large", detail=detail), entry)
        return taken

    def all_sent(self) -> bool:
        """Whether nothing waits to be sent on this connection."""
        return self.outbox.nothing_waits() and not (self._spool and self._spool.behind)

    def empty(self) -> bool:
        """Whether nothing is held."""
        return not self.outbox.held and not (self._spool and self._spool.behind)

    async def welcomed(self, acked: Mapping[str, int], limits: Mapping[str, Any]) -> None:
        """The server's welcome; when this returns, the numbers that it fixed outlive the process."""
        self.outbox.max_message_bytes = _limit(limits, "max_message_bytes", self._settings.max_message_bytes)
        self.flow(
            _limit(limits, "window", self.outbox.window), _limit(limits, "window_bytes", self.outbox.window_bytes)
        )
        released, renumbered = self.outbox.welcomed(acked)
        self._settle(released)
        if self._spool and (renumbered or not self._spool.state.settled):
            self._spool.state.settled = True
            await asyncio.to_thread(self._spool.save, self._spool.snapshot())

    def flow(self, window: int | None, window_bytes: int | None) -> None:
        """How much may be un-acked from now on."""
        self.outbox.window = max(1, window or self.outbox.window)
        self.outbox.window_bytes = max(1, window_bytes or self.outbox.window_bytes)

    def acked(self, acked: Mapping[str, int]) -> bool:
        """An ack; returns whether it released anything."""
        released = self.outbox.acked(acked)
        self._settle(released)
        return bool(released)

    def rejected(self, reject: Reject) -> None:
        """A reject from the server."""
        entry = None
        if reject.stream is not None and reject.seq is not None:
            entry = self.outbox.rejected(reject.stream, reject.seq)
        self._reject(reject, entry)

    def disconnected(self) -> None:
        """The socket is gone."""
        self.outbox.disconnected()

    def next_order(self) -> int:
        """The order that the next message will have."""
        return self._spool.known if self._spool else self._orders

    def settled_below(self, order: int) -> bool:
        """Whether every message of a lower order is acked or rejected."""
        lowest = self.outbox.lowest_order()
        if lowest is not None and lowest < order:
            return False
        return not (self._spool and self._spool.behind and self._spool.next_order < order)

    async def change(self) -> None:
        """Waits until something is released, or `tell` is called."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def tell(self) -> None:
        """Wakes all who wait for a change."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def fill(self, stats: Stats) -> None:
        """Writes what is known here into `stats`."""
        behind = self._spool.behind if self._spool else 0
        stats.acked = self._acked
        stats.rejected = self._rejected
        stats.dropped += self.dropped
        stats.pending = self.outbox.held + behind
        stats.in_flight = self.outbox.in_flight
        stats.spooled = behind
        stats.pending_bytes += self.outbox.held_bytes + self._storing_bytes
        stats.spool_bytes = self._spool.nbytes if self._spool else 0

    async def _store(self, spool: Spool, drafts: list[Draft]) -> None:
        size = sum(len(draft.body) for draft in drafts)
        written = spool.number(drafts)
        try:
            await asyncio.shield(asyncio.to_thread(spool.store, written))
        except OSError as error:
            spool.forget(written)
            self.dropped += sum(draft.samples for draft in drafts)
            self.error = f"the spool cannot be written: {error}"
            return
        finally:
            self._storing_bytes -= size
        in_memory = not spool.behind and self.outbox.held_bytes + size <= self._memory_bytes
        spool.commit(written, in_memory=in_memory)
        for entry in written.entries if in_memory else ():
            self.outbox.add(entry)

    def _refill(self) -> None:
        """Brings in from the disk what memory has room for again."""
        spool = self._spool
        while spool and spool.behind and self.outbox.held_bytes < self._memory_bytes:
            for entry in spool.read(min(_READ_BYTES, self._memory_bytes)):
                if not self.outbox.add(entry):
                    self._settle([entry])

    def _settle(self, released: list[Entry]) -> None:
        self._acked += len(released)
        if self._spool:
            self._spool.release(released, acked=True)
        if released:
            self.tell()

    def _reject(self, reject: Reject, entry: Entry | None) -> None:
        self._rejected += 1
        self.rejects.append(reject)
        if entry is not None and self._spool:
            self._spool.release([entry], acked=False)
        self.tell()
        if self._on_reject is not None:
            _call(self._on_reject, reject)


def _cut(drafts: list[Draft], most_bytes: int) -> tuple[list[Draft], list[Draft]]:
    """The first drafts, of `most_bytes` together but at least one, and the rest."""
    size = 0
    for count, draft in enumerate(drafts):
        size += len(draft.body)
        if size > most_bytes and count:
            return drafts[:count], drafts[count:]
    return drafts, []


def _call(on_reject: Callable[[Reject], None], reject: Reject) -> None:
    """The caller's own code: what it raises must not end the connection."""
    try:
        on_reject(reject)
    except Exception:  # noqa: BLE001 - whatever a robot's own code raises, it is told in the log
        _log.exception("on_reject failed for %s", reject)


def _limit(limits: Mapping[str, Any], name: str, default: int) -> int:
    value = limits.get(name)
    return value if isinstance(value, int) and value > 0 else default
