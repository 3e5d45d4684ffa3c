"""One producer of one session, at work: intake → pump → holder → link."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from datamanager.client.errors import ClientError
from datamanager.client.holder import Holder
from datamanager.client.intake import Intake
from datamanager.client.link import Link
from datamanager.client.methods import Methods
from datamanager.client.numbering import Numbering
from datamanager.client.settings import ClientSettings
from datamanager.client.spool import Spool
from datamanager.client.stats import Reject, Stats
from datamanager.client.waiting import wait_for

__all__ = ["Sender", "Target"]

_SAVE_EVERY = 10  # syncs of the spool between two writings of what is acked
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to send, and as whom.

    Attributes:
        url: the server's address, like `http://host:8080`.
        tls: for a server whose certificate the system does not trust by itself.
    """

    url: str
    robot_id: str
    session_id: str
    token: str | None = None
    tls: ssl.SSLContext | None = None

    def hello(self, producer: str, config: dict[str, Any] | None, metadata: dict[str, Any] | None) -> dict[str, Any]:
        """The hello message."""
        fields = {"token": self.token, "config": config, "metadata": metadata}
        return {
            "type": "hello",
            "robot_id": self.robot_id,
            "session_id": self.session_id,
            "producer": producer,
            **{name: value for name, value in fields.items() if value is not None},
        }


class Sender:
    """Takes messages and sees to it that the server gets each; belongs to one event loop, but for `intake`."""

    def __init__(
        self,
        target: Target,
        hello: dict[str, Any],
        numbering: Numbering,
        spool: Spool | None,
        settings: ClientSettings,
        on_reject: Callable[[Reject], None] | None = None,
        methods: Methods | None = None,
    ) -> None:
        self.holder = Holder(numbering, spool, settings, on_reject)
        self.link = Link(target.url, hello, self.holder, settings, target.tls, methods)
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()
        self.intake = Intake(settings, self.holder.room, self._wake_from_anywhere)
        self._spool = spool
        self._settings = settings
        self._pumping = asyncio.Lock()
        self._stopping = False
        self._failure: ClientError | None = None
        self._due_s: float | None = None

    def start(self) -> None:
        """Begins to pump, to sync the spool, and to connect."""
        self._pump_task = self._begin(self._pump(), "pump")
        self._link_task = self._begin(self.link.run(), "link")
        self._sync_task = self._begin(self._sync(), "sync")

    def renew(self) -> None:
        """Says hello anew; from any thread."""
        self._loop.call_soon_threadsafe(self.link.renew)

    async def flush(self) -> None:
        """Waits until all that was taken before is acked or rejected.

        Raises:
            ClientError: the server refuses this robot for good.
        """
        order = await self._fetch(everything=True)
        while not self.holder.settled_below(order):
            self._raise_failure()
            await self.holder.change()

    async def wait_for_room(self) -> None:
        """Waits until less is held than half of what may be.

        Raises:
            ClientError: the server refuses this robot for good.
        """
        while not self.holder.half_empty(self.intake.pending_bytes):
            self._raise_failure()
            await self.holder.change()

    async def drain(self) -> None:
        """Waits until all that is held is acked, with no end of its own."""
        await asyncio.wait({self._link_task})

    async def close(self, *, bye: bool, timeout_s: float, remove: bool = False) -> None:
        """Takes no more, sends what is held for up to `timeout_s`, and ends.

        What is spooled stays on disk, unless it is all acked and `remove` is set.
        """
        self.intake.close()
        self._stopping = True
        self._came.set()
        try:
            await asyncio.wait({self._pump_task})
            self.link.leave(bye=bye)
            await asyncio.wait({self._link_task}, timeout=timeout_s)
        finally:
            await _end(self._link_task, self._sync_task, self._pump_task)
            if self._spool:
                await asyncio.to_thread(self._spool.close, remove=remove and self.holder.empty())

    def fill(self, stats: Stats) -> None:
        """Writes what is known here into `stats`."""
        self.link.fill(stats)
        stats.samples = self.intake.samples
        stats.dropped = self.intake.dropped
        stats.pending_bytes = self.intake.pending_bytes
        self.holder.fill(stats)
        stats.pending += self.intake.waiting()

    def _wake_from_anywhere(self) -> None:
        self._loop.call_soon_threadsafe(self._came.set)

    async def _pump(self) -> None:
        """Moves what is ready from the intake to the holder."""
        while not self._stopping:
            self._came.clear()
            await self._fetch(everything=False)
            if self._due_s is None:
                await self._came.wait()
            else:
                await wait_for(self._came, self._due_s)
        await self._fetch(everything=True)

    async def _fetch(self, *, everything: bool) -> int:
        """Hands on what is ready; returns the order that the next message will have."""
        async with self._pumping:
            drafts, self._due_s = self.intake.take(everything=everything)
            if drafts:
                await self.holder.add(drafts)
                self.holder.tell()
                self.link.wake()
            return self.holder.next_order()

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part has ended: if it failed, nothing more is taken, and whoever calls is told why."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ClientError):
            self._fail(error)
            _log.error("sending stopped: %s", error.detail)
        elif error is not None:
            self._fail(ClientError(f"the client's {task.get_name()} failed: {error!r}"))
            _log.error("the client's %s failed", task.get_name(), exc_info=error)
        self.holder.tell()

    def _fail(self, error: ClientError) -> None:
        self._failure = self._failure or error
        self.intake.fail(error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _sync(self) -> None:
        """Brings the spool to the disk, again and again, and now and then notes what is acked."""
        if self._spool is None:
            return
        rounds = 0
        acked: dict[str, int] = {}
        while True:
            await asyncio.sleep(self._settings.spool_sync_s)
            rounds += 1
            try:
                await asyncio.to_thread(self._spool.sync)
                if rounds % _SAVE_EVERY == 0 and acked != self._spool.state.acked:
                    state = self._spool.snapshot()
                    await asyncio.to_thread(self._spool.save, state)
                    acked = state.acked
            except OSError as error:
                self.holder.error = f"the spool cannot be brought to the disk: {error}"
                _log.warning("%s", self.holder.error)


async def _end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
