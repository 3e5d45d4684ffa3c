"""One HTTP body of any length, parsed as it arrives; answered once all of it is durable."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from datamanager.errors import Refused
from datamanager.ingest.closed import Closed
from datamanager.ingest.framing import Framer, MsgpackFramer, NdjsonFramer
from datamanager.ingest.producer import Producer
from datamanager.ingest.protocol import Bye, Data, Event, Hello, IngestProtocol, Refusal, Rpc
from datamanager.ingest.sender import Sender
from datamanager.ingest.service import Ingest
from datamanager.observability import METRICS, get_logger

__all__ = ["BodyIngest"]

_log = get_logger(__name__)
_MAX_REJECTS = 1000
_FRAMERS: dict[str, Callable[[int], Framer]] = {
    "application/x-ndjson": NdjsonFramer,
    "application/json": NdjsonFramer,
    "application/msgpack": MsgpackFramer,
}


class BodyIngest:
    """Takes one body in."""

    def __init__(self, ingest: Ingest, content_type: str) -> None:
        mime = content_type.partition(";")[0].strip().lower()
        framer = _FRAMERS.get(mime)
        if framer is None:
            raise Refused(
                "malformed", f"content-type {mime[:80]!r} must be application/x-ndjson or application/msgpack"
            )
        self._framer: Framer = framer(ingest.config.max_message_bytes)
        self._ingest = ingest
        self._protocol = IngestProtocol(ingest.config)
        self._sender = Sender(ingest.config, ingest.budget, repeats_allowed=True, most_rejects=_MAX_REJECTS)
        self._producers: dict[str, Producer] = {}
        self._whole = 0  # messages so far

    async def run(self, pieces: AsyncIterator[bytes]) -> dict[str, Any]:
        """Takes the body in.

        Args:
            pieces: the body as it arrives; raises `Closed` where the sender breaks it off.

        Returns:
            The answer: `accepted`, `rejected`, the first of the `rejects`, and `acked` by stream.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        sender = self._sender
        try:
            await self._read(pieces)
            for producer in self._producers.values():
                self._ingest.sealer.flush(producer)
            acked: dict[str, int] = {}
            while sender.pending_messages:
                await sender.changed.wait()
                sender.changed.clear()
                self._learn(acked)
            self._learn(acked)
        finally:
            self._leave()
        rejects = [{name: value for name, value in r.items() if name != "type"} for r in sender.take_rejects()]
        return {"accepted": sender.accepted, "rejected": sender.rejected, "rejects": rejects, "acked": acked}

    def _learn(self, acked: dict[str, int]) -> None:
        for streams in self._sender.take_acks().values():
            acked |= streams

    def _leave(self) -> None:
        self._sender.close()
        for producer in self._producers.values():
            self._ingest.sealer.flush(producer)
            for stream in producer.streams.values():
                stream.senders.discard(self._sender)
            self._ingest.registry.release(producer)

    async def _read(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            async for piece in self._timed(pieces):
                METRICS.ingest_bytes.inc(len(piece))
                for found in self._framer.feed(piece):
                    await self._take(found)
            for found in self._framer.end():
                await self._take(found)
        except Refused as refused:
            # Where the next message begins can't be known: what came is kept, the rest of the body is not read.
            self._refuse(Refusal(refused, b""))
        except Closed:
            _log.info("a sender broke its body off: what came whole is kept", messages=self._whole)

    async def _timed(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces; a message that has begun has to be whole in time, while a pause between messages may be long."""
        limit_s = self._ingest.config.message_timeout_s
        # Only waiting for the sender counts: while a slow database holds us back, the sender can't help it.
        waited_s, whole = 0.0, self._whole
        loop = asyncio.get_running_loop()
        iterator = aiter(pieces)
        while True:
            partial = self._framer.partial
            if whole != self._whole or not partial:
                waited_s, whole = 0.0, self._whole
            began_s = loop.time()
            try:
                async with asyncio.timeout(limit_s - waited_s if partial else None):
                    piece = await anext(iterator)
            except StopAsyncIteration:
                return
            except TimeoutError as exc:
                raise Refused("malformed", f"a message was not whole after {limit_s} s") from exc
            waited_s += loop.time() - began_s if partial else 0.0
            yield piece

    async def _take(self, found: bytes | Refused) -> None:
        self._whole += 1
        await self._sender.room()
        if isinstance(found, Refused):
            self._refuse(Refusal(found, b""))
            return
        for event in self._protocol.receive(found, text=self._framer.text):
            await self._handle(event)

    async def _handle(self, event: Event) -> None:
        match event:
            case Data():
                producer = self._producers.get(event.producer) or await self._open(event)
                await self._ingest.accept(
                    self._sender, producer, event.messages, text=self._framer.text, size_bytes=event.size_bytes
                )
            case Hello():
                await self._open(event, fresh=event.fresh)
            case Refusal():
                self._refuse(event)
            case Rpc():
                self._refuse(Refusal(Refused("malformed", "remote calls need a WebSocket"), b""))
            case Bye():
                for producer in self._producers.values():
                    await self._ingest.registry.end(producer)

    async def _open(self, event: Data | Hello, *, fresh: dict[str, Any] | None = None) -> Producer:
        producer = await self._ingest.registry.open(event.robot_id, event.session_id, event.producer, fresh=fresh)
        if event.producer in self._producers:
            self._ingest.registry.release(producer)
        self._producers[event.producer] = producer
        return producer

    def _refuse(self, refusal: Refusal) -> None:
        self._ingest.refuse_unread(self._sender, self._producers, refusal)
