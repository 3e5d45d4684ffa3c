"""Takes messages in: opens sessions, tells known messages from new ones, and hands content on to be made durable."""

import asyncio
from typing import Any

from datamanager.clock import Clock
from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.commit import Committer, Stores
from datamanager.ingest.content import Content
from datamanager.ingest.floors import FloorKeeper
from datamanager.ingest.ledger import StreamLedger
from datamanager.ingest.letters import LetterBox
from datamanager.ingest.originals import Originals
from datamanager.ingest.producer import Producer
from datamanager.ingest.protocol import Refusal
from datamanager.ingest.record_intake import RecordIntake
from datamanager.ingest.registry import Registry
from datamanager.ingest.repeats import same_message
from datamanager.ingest.sealer import Sealer
from datamanager.ingest.sender import Budget, Sender
from datamanager.ingest.stream import StreamWriter
from datamanager.ingest.watchers import Watchers
from datamanager.ingest.wire import Message, raw_of
from datamanager.kinds.examiner import Examiner
from datamanager.kinds.names import check_stream, kind_of
from datamanager.observability import METRICS
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Streams

__all__ = ["Ingest"]

_LETTER_BYTES = 1000  # what a dead letter takes beside the message's bytes


class Ingest:
    """The service. Run `run` as a task; connections call the rest."""

    def __init__(
        self,
        config: IngestConfig,
        stores: Stores,
        streams: Streams,
        letters: DeadLetters,
        s3: S3,
        watchers: Watchers,
        examiner: Examiner,
        floors: FloorKeeper,
        clock: Clock,
    ) -> None:
        self.config = config
        self.clock = clock
        self.budget = Budget(config.max_pending_bytes)
        self._stores = stores
        self._watchers = watchers
        self._committer = Committer(stores, clock)
        self._originals = Originals(s3, self._committer, clock, config.s3_concurrency)
        self._records = RecordIntake(config, self._committer, self._originals, watchers, examiner, clock)
        self._letter_box = LetterBox(letters, clock, config.dead_letter_bytes)
        self.sealer = Sealer(self._committer, watchers, clock)
        self.registry = Registry(config, stores, streams, letters, self.sealer, floors, clock)

    async def run(self) -> None:
        """Writes what comes in until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._committer.run())
            group.create_task(self._originals.run())
            group.create_task(self._letter_box.run())
            group.create_task(self.registry.run())
            group.create_task(self.registry.keep_floors())

    # Taking in.

    async def accept(
        self, sender: Sender, producer: Producer, messages: list[Message], *, text: bool, size_bytes: int
    ) -> None:
        """Takes messages in, in order; each that is refused is told to the sender and kept as a dead letter.

        Raises:
            MongoUnavailable: MongoDB does not answer, so that nothing can be told of the rest yet.
        """
        at = 0
        while at < len(messages):
            run = _run_from(messages, at)
            if len(run) == 1 or not self._accept_run(sender, producer, run, text=text, size_bytes=size_bytes):
                for message in run:
                    await sender.room()
                    await self._accept_one(sender, producer, message, text=text, size_bytes=size_bytes)
            at += len(run)

    def _accept_run(
        self, sender: Sender, producer: Producer, run: list[Message], *, text: bool, size_bytes: int
    ) -> bool:
        """Takes samples of one stream in together, when they are so alike that nothing is to be said of any."""
        stream = None if _by_camera(run[0]) else producer.streams.get(_named(run[0]))
        kind = None if stream is None else producer.session.kinds.get(stream.name)
        if stream is None or kind != "time_series" or not self._may_take(sender, producer):
            return False
        try:
            now_s = self.clock.monotonic_s()
            for message in run:
                if message.metadata:
                    stream.learn_metadata(message.metadata)
            if kind_of(run[0].data_type) != "time_series" or not stream.add_run(
                run, from_json=text, now_s=now_s, seal=lambda s: self.sealer.seal(producer, s)
            ):
                return False
        except Refused:
            return False  # which of them it is shows when each is taken by itself
        producer.arrivals += 1
        stream.senders.add(sender)
        sender.accepted += len(run)
        sender.took(len(run), size_bytes * len(run))
        self._gathered(sender, producer, stream, run, size_bytes * len(run))
        METRICS.messages.labels("time_series").inc(len(run))
        if self._watchers.watches(producer.session):
            for message in run:
                self._watchers.message(producer.session, stream.name, "time_series", message)
        return True

    def _may_take(self, sender: Sender, producer: Producer) -> bool:
        is_open = not (producer.session.ended and producer.reopens)
        return sender.closed_by is None and not producer.lock.locked() and is_open

    async def _accept_one(
        self, sender: Sender, producer: Producer, message: Message, *, text: bool, size_bytes: int
    ) -> None:
        """Takes one message in, or refuses it: then the sender is told and the message is kept as a dead letter.

        Raises:
            MongoUnavailable: MongoDB does not answer, so that nothing can be told of the message yet.
        """
        try:
            await self._accept(sender, producer, message, text=text, size_bytes=size_bytes)
        except Refused as refused:
            seq = message.seq if message.seq is not None else message.sequence_number
            self.refuse(sender, producer, refused, raw_of(message, text=text), stream=_named(message), seq=seq)

    async def _accept(
        self, sender: Sender, producer: Producer, message: Message, *, text: bool, size_bytes: int
    ) -> None:
        kind = kind_of(message.data_type)
        name = _named(message)
        session = producer.session
        if producer.lock.locked():
            async with producer.lock:  # its ledger is being read again
                pass
        stream = producer.streams.get(name)
        if stream is None:
            stream = producer.writer(check_stream(name), kind)
        if name not in session.kinds:
            await self._check_first(stream, kind, message, text=text)
            await session.ensure_stream(name, kind)
            stream.kind = session.kinds[name]
        session.check_kind(name, kind)
        if session.ended and producer.reopens:
            await self.registry.session(session.robot_id, session.session_id, {})
        seq, auto = stream.number(message)
        if sender.closed_by is not None:
            return  # a newer connection speaks for this producer, and will send this again
        producer.arrivals += 1
        stream.senders.add(sender)
        if not auto and stream.ledger.standing(seq) != "new":
            await self._known(sender, producer, stream, message, seq)
            return
        if kind == "time_series":
            if message.metadata:
                stream.learn_metadata(message.metadata)
            now_s = self.clock.monotonic_s()
            stream.add_samples(
                message, seq, auto=auto, from_json=text, now_s=now_s, seal=lambda s: self.sealer.seal(producer, s)
            )
            sender.took(1, size_bytes)
            self._gathered(sender, producer, stream, [message], size_bytes)
        else:
            await self._records.take(sender, producer, stream, message, seq, auto=auto, size_bytes=size_bytes)
        sender.accepted += 1
        METRICS.messages.labels(kind).inc()
        if self._watchers.watches(session):
            self._watchers.message(session, name, kind, message)

    async def keep_stored(
        self,
        sender: Sender,
        producer: Producer,
        kind: str,
        name: str,
        t_ns: int,
        content: Content,
        *,
        size_bytes: int,
    ) -> None:
        """Takes in content that S3 has already, as number 0 of a producer that sends nothing else.

        It is durable once nothing of `sender` is pending.

        Raises:
            Refused: `kind_mismatch` when the stream is of another kind, `too_large` when the session has too many.
            MongoUnavailable: MongoDB does not answer.
        """
        session = producer.session
        stream = producer.writer(check_stream(name), kind)
        await session.ensure_stream(name, kind)
        if session.ended:
            await self.registry.session(session.robot_id, session.session_id, {})
        if stream.ledger.standing(0) == "pending":
            await self._no_longer_pending(producer, stream, 0)
        if stream.ledger.standing(0) == "new":
            self._records.keep(sender, producer, stream, content, 0, t_ns, auto=False, size_bytes=size_bytes)
            METRICS.messages.labels(kind).inc()

    async def _check_first(self, stream: StreamWriter, kind: str, message: Message, *, text: bool) -> None:
        """Refuses a bad message before it makes a stream, whose kind it would set for ever."""
        stream.number(message)
        if kind == "time_series":
            trial = StreamWriter(stream.producer, stream.name, kind, StreamLedger(), self.config, ())
            trial.add_samples(message, 0, auto=True, from_json=text, now_s=0, seal=_never)
        else:
            await self._records.read(kind, message)

    def _gathered(
        self, sender: Sender, producer: Producer, stream: StreamWriter, run: list[Message], size_bytes: int
    ) -> None:
        block = stream.block
        if block is None:
            return
        block.wait(sender, len(run), size_bytes)
        if block.builder.size_bytes >= self.config.block_bytes:
            self.sealer.seal(producer, stream)
        elif sender.wants_flush:
            self.sealer.flush(producer)

    async def _known(
        self, sender: Sender, producer: Producer, stream: StreamWriter, message: Message, seq: int
    ) -> None:
        """A number that is there already: the same message again, or another one that must not vanish unsaid."""
        if sender.repeats_allowed:  # its answer says that all is durable
            await self._no_longer_pending(producer, stream, seq)
        if not message.redelivery and not (
            sender.repeats_allowed and await same_message(self._stores, producer, stream, message, seq)
        ):
            raise Refused(
                "seq_conflict", f"seq {seq} of stream {stream.name!r} is known and this is not marked as redelivery"
            )
        sender.accepted += 1
        sender.touch(stream)

    async def _no_longer_pending(self, producer: Producer, stream: StreamWriter, seq: int) -> None:
        if stream.ledger.standing(seq) == "pending":
            self.sealer.flush(producer)
        while stream.ledger.standing(seq) == "pending":
            await producer.moved()

    # Refusing.

    def refuse(
        self,
        sender: Sender,
        producer: Producer | None,
        refused: Refused,
        raw: bytes,
        *,
        stream: str | None = None,
        seq: int | None = None,
        numbered: bool = True,
    ) -> None:
        """Tells a sender that a message is refused, and keeps the message as a dead letter.

        Args:
            sender: who sent it.
            producer: whose session keeps the letter.
            refused: why.
            raw: the message.
            stream: its stream, as far as that could be read; as could the next.
            seq: its number.
            numbered: whether that is a number of `producer`, so that acks go past it once the letter is kept.
        """
        seq = seq if seq is not None and 0 <= seq < 2**63 else None
        sender.refuse(stream, seq, refused)
        size_bytes = _LETTER_BYTES + min(len(raw), self.config.dead_letter_bytes)
        sender.took(1, size_bytes)
        writer = producer.streams.get(stream) if producer is not None and stream is not None and numbered else None
        pending, prev = None, None
        # A number that is known is the other message's: this letter says nothing of it.
        if writer is not None and seq is not None and writer.ledger.standing(seq) == "new":
            prev = writer.ledger.prev_of(seq)
            pending = writer.ledger.open()
            writer.ledger.hold(pending, seq)
            writer.senders.add(sender)
        letter: dict[str, Any] = {
            "robot_id": producer.session.robot_id if producer else None,
            "session_id": producer.session.session_id if producer else None,
            "producer": producer.name if producer else None,
            "stream": stream[:512] if stream else None,
            "seq": seq,
            "prev": prev,
            "covers": pending is not None,
            "code": refused.code,
            "detail": refused.detail[:1000],
        }

        def written() -> None:
            if writer is not None and pending is not None:
                writer.ledger.resolve(pending, rejected=True)
                writer.tell()
            sender.done(1, size_bytes)

        self._letter_box.put(letter, raw, written)

    def refuse_unread(self, sender: Sender, producers: dict[str, Producer], refusal: Refusal) -> None:
        """Refuses what did not get as far as to be a message of a producer.

        Args:
            sender: who sent it.
            producers: those that the sender speaks for, by name. The letter goes to the session that they share.
            refusal: what, and why.
        """
        owner = None if refusal.producer is None else producers.get(refusal.producer)
        self.refuse(
            sender,
            owner or next(iter(producers.values()), None),
            refusal.refused,
            refusal.raw,
            stream=refusal.stream,
            seq=refusal.seq,
            numbered=owner is not None,
        )


def _never(stream: StreamWriter) -> None:
    raise AssertionError(f"the first message of {stream.name} stands in no block")


def _run_from(messages: list[Message], at: int) -> list[Message]:
    """The messages from `at` on that name the same data type and stream."""
    if len(messages) == 1:
        return messages
    data_type, stream = messages[at].data_type, messages[at].stream
    end = at + 1
    while end < len(messages) and messages[end].data_type == data_type and messages[end].stream == stream:
        end += 1
    return messages[at:end]


def _by_camera(message: Message) -> bool:
    """Whether the message's own payload names its stream, and those of its neighbours may name others."""
    return message.stream is None and type(message.payload) is dict and "camera_id" in message.payload


def _named(message: Message) -> str:
    """The stream of a message: its own word, else the camera's, else the data type as sent."""
    if message.stream is not None:
        return message.stream
    payload = message.payload
    camera = payload.get("camera_id") if type(payload) is dict else None
    return camera if isinstance(camera, str) else message.data_type
