"""Takes messages in: opens sessions, tells known messages from new ones, and hands content on to be made durable."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from datamanager.clock import Clock
from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.commit import CommitItem, Committer, Stores
from datamanager.ingest.content import Content, read_content
from datamanager.ingest.letters import LetterBox
from datamanager.ingest.originals import Original, Originals
from datamanager.ingest.producer import Producer
from datamanager.ingest.repeats import same_message
from datamanager.ingest.sender import Budget, Sender
from datamanager.ingest.session import SessionState
from datamanager.ingest.stream import OpenBlock, StreamWriter
from datamanager.ingest.wire import BadMessage, Message
from datamanager.kinds.names import check_stream, kind_of, parse_time_ns
from datamanager.observability import METRICS, get_logger
from datamanager.storage.blocks import Block
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.keys import original_key, record_id
from datamanager.storage.mongo import Binary
from datamanager.storage.s3 import S3
from datamanager.storage.sessions import Streams

__all__ = ["Ingest", "Watchers"]

_log = get_logger(__name__)
_INLINE_BYTES = 16_384
_IDLE_S = 60.0
_RAW = msgspec.msgpack.Encoder(enc_hook=repr)


class Watchers(Protocol):
    """Who wants to know at once what came in."""

    def watches(self, session: SessionState) -> bool:
        """Whether anybody wants this session's messages."""

    def message(self, session: SessionState, stream: str, kind: str, message: Message) -> None:
        """A good message arrived; it is not durable yet."""

    def wants_tiers(self, session: SessionState, stream: str) -> bool:
        """Whether a frame that arrives now gets its tiers ahead of time."""

    def stored(self, document: dict[str, Any]) -> None:
        """A frame or record became durable."""


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
        clock: Clock,
    ) -> None:
        self.config = config
        self.clock = clock
        self.budget = Budget(config.max_pending_bytes)
        self._stores = stores
        self._streams = streams
        self._letters = letters
        self._watchers = watchers
        self._committer = Committer(stores, clock)
        self._originals = Originals(s3, self._committer, clock, config.s3_concurrency)
        self._letter_box = LetterBox(letters, clock, config.dead_letter_bytes)
        self._sessions: dict[str, SessionState] = {}
        self._producers: dict[tuple[str, str], Producer] = {}
        self._opening = asyncio.Lock()
        self._writer_id = uuid4().hex[:8]

    async def run(self) -> None:
        """Writes what comes in until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._committer.run())
            group.create_task(self._originals.run())
            group.create_task(self._letter_box.run())
            group.create_task(self._tick())

    async def _tick(self) -> None:
        """Writes blocks that are as old as they may get, all due ones together, and forgets idle sessions."""
        step_s = self.config.flush_interval_s / 4
        while True:
            await self.clock.sleep(step_s)
            due_s = self.clock.monotonic_s() - 3 * step_s
            for producer in list(self._producers.values()):
                for stream in producer.streams.values():
                    if stream.block is not None and stream.block.opened_s <= due_s:
                        self.seal(producer, stream)
            self._forget_idle()

    def _forget_idle(self) -> None:
        old_s = self.clock.monotonic_s() - _IDLE_S
        for key, producer in list(self._producers.items()):
            session = producer.session
            if session.users == 0 and session.used_s < old_s and producer.idle:
                del self._producers[key]
        for name in self._sessions.keys() - {p.session.id for p in self._producers.values()}:
            if self._sessions[name].users == 0 and self._sessions[name].used_s < old_s:
                del self._sessions[name]

    # Opening.

    async def open(
        self,
        robot_id: str,
        session_id: str,
        producer: str,
        *,
        fresh: dict[str, Any] | None = None,
        reload: bool = False,
    ) -> Producer:
        """A producer of a session with its ledger, opened for a connection, which later calls `release`.

        Args:
            robot_id: who sends, checked; as are the next two.
            session_id: the session.
            producer: which of its senders.
            fresh: fields of the session to set, from a `hello`.
            reload: read the ledger again from the database once nothing of the producer is under way.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        async with self._opening:
            session = await self._session(robot_id, session_id, fresh)
            found = self._producers.get((session.id, producer))
            if found is None:
                found = Producer(session, producer, self.config, self._stores, self._letters)
                self._producers[session.id, producer] = found
            session.users += 1
        try:
            async with found.lock:
                while reload or not found.loaded:
                    arrivals = found.arrivals
                    await self.drain(found)
                    reading = await found.read()
                    if found.arrivals == arrivals:  # else what came meanwhile may be missing from what was read
                        found.adopt(reading)
                        break
        except BaseException:
            self.release(found)
            raise
        return found

    async def _session(self, robot_id: str, session_id: str, fresh: dict[str, Any] | None) -> SessionState:
        session = self._sessions.get(f"{robot_id}/{session_id}")
        if session is None or session.ended or fresh:
            document = await self._stores.sessions.open(robot_id, session_id, self.clock.now_ns(), fresh=fresh)
            if session is None:
                streams = await self._streams.all_of(robot_id, session_id)
                session = SessionState(document, streams, self._streams, self.config, self.clock)
                self._sessions[session.id] = session
            session.ended = False
        return session

    def release(self, producer: Producer) -> None:
        """A connection no longer uses the producer."""
        producer.session.users -= 1
        producer.session.used_s = self.clock.monotonic_s()

    async def end(self, producer: Producer) -> None:
        """Ends the session: all that came is made durable, then it is marked."""
        await self.drain(producer)
        producer.session.ended = True
        session = producer.session
        await self._stores.sessions.end(session.robot_id, session.session_id, self.clock.now_ns())

    def flush(self, producer: Producer) -> None:
        """Hands every open block of the producer on."""
        for stream in producer.streams.values():
            if stream.block is not None:
                self.seal(producer, stream)

    async def drain(self, producer: Producer) -> None:
        """Returns when nothing of the producer is under way."""
        self.flush(producer)
        while not producer.settled:
            await producer.moved()

    async def settle(self, timeout_s: float) -> None:
        """Writes everything that came, for at most `timeout_s`: what is not durable by then was not acked either."""
        try:
            async with asyncio.timeout(timeout_s):
                for producer in list(self._producers.values()):
                    await self.drain(producer)
        except TimeoutError:
            _log.warning("stopping with messages that are not durable and not acked", bytes=self.budget.used)

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
        stream = producer.streams.get(_named(run[0]))
        if stream is None or stream.kind != "time_series" or not self._may_take(sender, producer):
            return False
        try:
            now_s = self.clock.monotonic_s()
            if kind_of(run[0].data_type) != "time_series" or not stream.add_run(
                run, from_json=text, now_s=now_s, seal=lambda s: self.seal(producer, s)
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
        return sender.closed_by is None and not producer.lock.locked() and not producer.session.ended

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
            self.refuse(sender, producer, refused, _RAW.encode(message), stream=_named(message), seq=seq)

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
            check_stream(name)
            await session.ensure_stream(name, kind)
            stream = producer.writer(name, kind)
        session.check_kind(name, kind)
        if session.ended:
            await self._session(session.robot_id, session.session_id, {})
        seq, auto = stream.number(message)
        if sender.closed_by is not None:
            return  # a newer connection speaks for this producer, and will send this again
        producer.arrivals += 1
        stream.senders.add(sender)
        if not auto and stream.ledger.standing(seq) != "new":
            await self._known(sender, producer, stream, message, seq)
            return
        if kind == "time_series":
            now_s = self.clock.monotonic_s()
            stream.add_samples(
                message, seq, auto=auto, from_json=text, now_s=now_s, seal=lambda s: self.seal(producer, s)
            )
            sender.took(1, size_bytes)
            self._gathered(sender, producer, stream, [message], size_bytes)
        else:
            await self._record(sender, producer, stream, message, seq, auto=auto, size_bytes=size_bytes)
        sender.accepted += 1
        METRICS.messages.labels(kind).inc()
        if self._watchers.watches(session):
            self._watchers.message(session, name, kind, message)

    def _gathered(
        self, sender: Sender, producer: Producer, stream: StreamWriter, run: list[Message], size_bytes: int
    ) -> None:
        block = stream.block
        if block is None:
            return
        block.wait(sender, len(run), size_bytes)
        for message in run:
            if message.metadata:
                stream.metadata.update(message.metadata)
        if block.builder.size_bytes >= self.config.block_bytes:
            self.seal(producer, stream)
        elif sender.wants_flush:
            self.flush(producer)

    async def _known(
        self, sender: Sender, producer: Producer, stream: StreamWriter, message: Message, seq: int
    ) -> None:
        """A number that is there already: the same message again, or another one that must not vanish unsaid."""
        if not message.redelivery:
            same = False
            if sender.repeats_allowed:
                await self.drain(producer)
                same = await same_message(self._stores, producer, stream, message, seq)
            if not same:
                raise Refused(
                    "seq_conflict", f"seq {seq} of stream {stream.name!r} is known and this is not marked as redelivery"
                )
        sender.accepted += 1
        sender.touch(stream)

    async def _record(
        self,
        sender: Sender,
        producer: Producer,
        stream: StreamWriter,
        message: Message,
        seq: int,
        *,
        auto: bool,
        size_bytes: int,
    ) -> None:
        t_ns = parse_time_ns(message.t_ns, message.timestamp)
        if t_ns is None:
            raise Refused("missing_field", "the message has no t_ns and no timestamp")
        content = await read_content(stream.kind, message.payload, self.config)
        if auto:
            seq = stream.ledger.next_seq()  # others may have come while the content was looked at
        elif sender.closed_by is not None or stream.ledger.standing(seq) != "new":
            return
        producer.arrivals += 1
        document = self._document(producer, stream, content, seq, t_ns, auto=auto)
        if message.metadata:
            document["metadata"] = document["metadata"] | message.metadata
        pending = stream.ledger.open()
        stream.ledger.arrive(pending, seq)
        producer.took()
        sender.took(1, size_bytes)

        def resolve(lost: str | None) -> None:
            producer.finished(item)
            stream.ledger.resolve(pending, rejected=lost is not None)
            if lost is not None:
                sender.refuse(stream.name, seq, Refused("bad_payload", f"MongoDB cannot keep it: {lost[:200]}"))
            else:
                self._watchers.stored(document)
            sender.done(1, size_bytes)
            self._tell(stream)

        item = CommitItem(producer, size_bytes, resolve, collection=content.collection, document=document)
        if "inline" in document:
            self._committer.submit(item)
        else:
            self._originals.submit(Original(document["keys"]["original"], content.data, content.mime_type, item))

    def _document(
        self, producer: Producer, stream: StreamWriter, content: Content, seq: int, t_ns: int, *, auto: bool
    ) -> dict[str, Any]:
        place = (producer.session.robot_id, producer.session.session_id)
        # What the server numbered can't be recognised again, so it must not be taken for another process's either.
        named = f"{producer.name}~{self._writer_id}" if auto else producer.name
        document: dict[str, Any] = {
            "_id": record_id(*place, stream.name, named, seq),
            "robot_id": place[0],
            "session_id": place[1],
            "stream": stream.name,
            "producer": producer.name,
            "seq": seq,
            "auto": auto,
            "prev": stream.ledger.prev_of(seq),
            "t_ns": t_ns,
            "kind": stream.kind,
            "size_bytes": len(content.data),
            "checksum": content.checksum,
            "mime_type": content.mime_type,
            "arrived_ns": self.clock.now_ns(),
            **content.fields,
        }
        if content.collection == "frames_metadata":
            ahead = self._watchers.wants_tiers(producer.session, stream.name)
            document["derived"] = (
                {"state": "pending", "since_ns": document["arrived_ns"]} if ahead else {"state": "none"}
            )
        elif len(content.data) <= _INLINE_BYTES:
            return document | {"inline": Binary(content.data)}
        return document | {
            "keys": {"original": original_key(*place, content.folder, stream.name, t_ns, named, seq, content.ending)}
        }

    # Handing on.

    def seal(self, producer: Producer, stream: StreamWriter) -> None:
        """Hands a stream's open block on to be written."""
        opened, stream.block = stream.block, None
        if opened is None or opened.pending.first is None:
            return
        built = opened.build()
        block = Block(
            robot_id=producer.session.robot_id,
            session_id=producer.session.session_id,
            stream=stream.name,
            producer=producer.name,
            t_ns=built.t_ns,
            t_end_ns=built.t_end_ns,
            n=built.n,
            seqs=list(opened.pending.seqs),
            prev=stream.ledger.prev_of(opened.pending.first),
            auto=opened.auto,
            messages=opened.messages,
            size_bytes=opened.size_bytes,
            schema=built.schema,
            schema_ipc=built.schema_ipc,
            channel_types=built.channel_types,
            data=built.data,
            statistics=built.statistics,
            extra=dict(stream.metadata),
        )
        producer.took()
        item = CommitItem(
            producer, len(built.data), lambda lost: self._sealed(item, producer, stream, opened, lost), block
        )
        self._committer.submit(item)

    def _sealed(
        self, item: CommitItem, producer: Producer, stream: StreamWriter, opened: OpenBlock, lost: str | None
    ) -> None:
        producer.finished(item)
        stream.ledger.resolve(opened.pending, rejected=lost is not None)
        METRICS.ack_s.observe(self.clock.monotonic_s() - opened.opened_s)
        if lost is None:
            METRICS.samples.inc(opened.builder.n)
        for sender, (messages, size_bytes) in opened.waiting.items():
            if lost is not None:
                for first, last in opened.pending.seqs:
                    for seq in range(first, last + 1):
                        sender.refuse(stream.name, seq, Refused("bad_payload", f"MongoDB cannot keep it: {lost[:200]}"))
            sender.done(messages, size_bytes)
        self._tell(stream)

    def _tell(self, stream: StreamWriter) -> None:
        for sender in stream.senders:
            sender.touch(stream)

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
    ) -> None:
        """Tells a sender that a message is refused, and keeps the message as a dead letter."""
        seq = seq if seq is not None and 0 <= seq < 2**63 else None
        sender.refuse(stream, seq, refused)
        writer = producer.streams.get(stream) if producer is not None and stream is not None else None
        covered: Callable[[], None] = _nothing
        prev = None
        if writer is not None and seq is not None and writer.ledger.standing(seq) == "new":
            prev = writer.ledger.prev_of(seq)
            covered = self._covered(writer, seq, sender)
        letter: dict[str, Any] = {
            "robot_id": producer.session.robot_id if producer else None,
            "session_id": producer.session.session_id if producer else None,
            "producer": producer.name if producer else None,
            "stream": stream[:512] if stream else None,
            "seq": seq,
            "prev": prev,
            "code": refused.code,
            "detail": refused.detail[:1000],
        }
        self._letter_box.put(letter, raw, covered)

    def _covered(self, writer: StreamWriter, seq: int, sender: Sender) -> Callable[[], None]:
        pending = writer.ledger.open()
        writer.ledger.hold(pending, seq)
        writer.senders.add(sender)

        def written() -> None:
            writer.ledger.resolve(pending, rejected=True)
            self._tell(writer)

        return written

    def refuse_bad(self, sender: Sender, producer: Producer | None, bad: BadMessage) -> None:
        """Refuses a message that did not fit the envelope."""
        self.refuse(sender, producer, bad.refused, bad.raw, stream=bad.stream, seq=bad.seq)


def _nothing() -> None:
    """Nobody waits for this letter: it has no number."""


def _run_from(messages: list[Message], at: int) -> list[Message]:
    """The messages from `at` on that name the same data type and stream."""
    if len(messages) == 1:
        return messages
    data_type, stream = messages[at].data_type, messages[at].stream
    end = at + 1
    while end < len(messages) and messages[end].data_type == data_type and messages[end].stream == stream:
        end += 1
    return messages[at:end]


def _named(message: Message) -> str:
    """The stream of a message: its own word, else the camera's, else the data type as sent."""
    if message.stream is not None:
        return message.stream
    payload = message.payload
    camera = payload.get("camera_id") if type(payload) is dict else None
    return camera if isinstance(camera, str) else message.data_type
