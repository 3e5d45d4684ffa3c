"""One WebSocket connection: reads frames while there is room, tells rejects and acks as they become due."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from datamanager.errors import DatamanagerError
from datamanager.ingest.closed import Closed
from datamanager.ingest.owners import Owners
from datamanager.ingest.producer import Producer
from datamanager.ingest.protocol import Bye, Data, Event, Hello, IngestProtocol, Refusal, Rpc
from datamanager.ingest.rpc.desk import Desk
from datamanager.ingest.rpc.switchboard import Switchboard
from datamanager.ingest.sender import Sender
from datamanager.ingest.service import Ingest
from datamanager.ingest.wire import encode
from datamanager.observability import METRICS, get_logger

__all__ = ["Connection"]

_log = get_logger(__name__)
Receive = Callable[[], Awaitable[bytes | str]]
Send = Callable[[bytes | str], Awaitable[None]]
Close = Callable[[int, str], Awaitable[None]]
SUPERSEDED = 4001


class Connection:
    """A robot's socket.

    Args:
        receive, send, close: the socket; the first two raise `Closed` when the peer is gone.
    """

    def __init__(
        self, ingest: Ingest, owners: Owners, switchboard: Switchboard, receive: Receive, send: Send, close: Close
    ) -> None:
        self._ingest = ingest
        self._owners = owners
        self._receive = receive
        self._send = send
        self._close = close
        self._protocol = IngestProtocol(ingest.config)
        self._sender = Sender(ingest.config, ingest.budget, repeats_allowed=False)
        self._producers: dict[str, Producer] = {}
        self._told_window = self._sender.window
        self._telling = asyncio.Lock()
        self._desk = Desk(switchboard, ingest.config, ingest.clock.now_ns, self._answer)

    async def run(self) -> None:
        """Serves the connection until either side ends it. What was taken in is written all the same."""
        METRICS.connections.labels("ingest").inc()
        reading = asyncio.create_task(self._read())
        telling = asyncio.create_task(self._tell())
        try:
            await asyncio.wait({reading, telling}, return_when=asyncio.FIRST_COMPLETED)
            await self._finish(reading, telling)
        finally:
            for task in (reading, telling):
                task.cancel()
            await asyncio.gather(reading, telling, return_exceptions=True)
            self._leave()
            await self._desk.close()
            METRICS.connections.labels("ingest").dec()

    async def _finish(self, reading: asyncio.Task[None], telling: asyncio.Task[None]) -> None:
        done = reading if reading.done() else telling
        error = done.exception()
        with suppress(Closed):
            if isinstance(error, DatamanagerError):
                _log.warning("a connection is closed", error=error.detail, code=error.code)
                await self._close(error.close_code, error.detail[:120])
            elif error is not None and not isinstance(error, Closed):
                _log.error("a connection failed", error=repr(error), exc_info=error)
                await self._close(1011, "internal error")
            elif error is None and done is reading:
                await self._close(1000, "")
            elif error is None:
                await self._close(SUPERSEDED, self._sender.closed_by or "")

    def _leave(self) -> None:
        self._sender.close()
        self._owners.leave(self._sender)
        for producer in self._producers.values():
            for stream in producer.streams.values():
                stream.senders.discard(self._sender)
            self._ingest.registry.release(producer)

    async def _read(self) -> None:
        while True:
            await self._sender.room()
            data = await self._receive()
            METRICS.ingest_bytes.inc(len(data))
            for event in self._protocol.receive(data, text=isinstance(data, str)):
                if self._sender.closed_by is not None or await self._handle(event):
                    return

    async def _handle(self, event: Event) -> bool:
        """Handles one event; True when the connection ends with it."""
        match event:
            case Data():
                producer = self._producers.get(event.producer) or await self._open(event)
                await self._ingest.accept(
                    self._sender, producer, event.messages, text=self._protocol.text, size_bytes=event.size_bytes
                )
            case Hello():
                await self._welcome(event)
            case Refusal():
                self._ingest.refuse_unread(self._sender, self._producers, event)
            case Rpc():
                await self._desk.handle(event.message, self._protocol.robot_id)
            case Bye():
                for producer in self._producers.values():
                    await self._ingest.registry.end(producer)
                await self._tell_now()
                return True
        return False

    async def _open(
        self, event: Data | Hello, *, reload: bool = False, fresh: dict[str, Any] | None = None
    ) -> Producer:
        producer = await self._ingest.registry.open(
            event.robot_id, event.session_id, event.producer, fresh=fresh, reload=reload
        )
        if event.producer in self._producers:
            self._ingest.registry.release(producer)  # it was counted before
        self._producers[event.producer] = producer
        return producer

    async def _welcome(self, hello: Hello) -> None:
        name = f"{hello.robot_id}/{hello.session_id}/{hello.producer}"
        await self._owners.take_over(name, self._sender)
        producer = await self._open(hello, reload=True, fresh=hello.fresh)
        producer.speaker = self._sender
        await self._desk.register(hello.robot_id, hello.methods)
        await self._answer({"type": "welcome", "acked": producer.acked(), "limits": self._protocol.limits()})

    async def _answer(self, answer: dict[str, Any]) -> None:
        await self._send(encode(answer, text=self._protocol.text))

    async def _tell(self) -> None:
        sender = self._sender
        while sender.closed_by is None:
            await sender.changed.wait()
            sender.changed.clear()
            if sender.closed_by is None:  # else acks are for who came after it
                await self._tell_now()

    async def _tell_now(self) -> None:
        """Rejects first: each comes before the ack that covers it."""
        async with self._telling:  # `bye` tells too
            acks = self._sender.take_acks()  # what is refused from here on is covered by the next
            for reject in self._sender.take_rejects():
                await self._answer(reject)
            for producer, acked in acks.items():
                whose = {} if producer == self._protocol.producer else {"producer": producer}
                await self._answer({"type": "ack", "acked": acked, **whose})
            window = self._sender.window
            if window != self._told_window:
                self._told_window = window
                await self._answer({"type": "flow", "window": window[0], "window_bytes": window[1]})
