"""Takes in messages whose content is bytes: frames, logs, files."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from datamanager.clock import Clock
from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.commit import CommitItem, Committer
from datamanager.ingest.content import Content, read_content
from datamanager.ingest.metadata import check_map
from datamanager.ingest.originals import Original, Originals
from datamanager.ingest.producer import Producer
from datamanager.ingest.sender import Sender
from datamanager.ingest.stream import StreamWriter
from datamanager.ingest.watchers import Watchers
from datamanager.ingest.wire import Message
from datamanager.kinds.examiner import Examiner
from datamanager.kinds.names import parse_time_ns
from datamanager.storage.keys import original_key, record_id
from datamanager.storage.mongo import Binary

__all__ = ["RecordIntake"]

_INLINE_BYTES = 16_384


class RecordIntake:
    """Checks content and hands it on: small content into its document, the rest to S3 first."""

    def __init__(
        self,
        config: IngestConfig,
        committer: Committer,
        originals: Originals,
        watchers: Watchers,
        examiner: Examiner,
        clock: Clock,
    ) -> None:
        self._config = config
        self._examiner = examiner
        self._committer = committer
        self._originals = originals
        self._watchers = watchers
        self._clock = clock
        self._writer_id = uuid4().hex[:8]

    async def take(
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
        """Takes one message in; it is handed on when this returns, and durable some time later.

        Raises:
            Refused: its time or content is bad.
        """
        t_ns, content = await self.read(stream.kind, message)
        if auto:
            seq = stream.ledger.next_seq()  # others may have come while the content was looked at
        elif sender.closed_by is not None or stream.ledger.standing(seq) != "new":
            return
        if message.metadata:
            content.fields["metadata"] |= message.metadata
        self.keep(sender, producer, stream, content, seq, t_ns, auto=auto, size_bytes=size_bytes)

    def keep(
        self,
        sender: Sender,
        producer: Producer,
        stream: StreamWriter,
        content: Content,
        seq: int,
        t_ns: int,
        *,
        auto: bool,
        size_bytes: int,
    ) -> None:
        """Hands content on under a new number; `size_bytes` is what it takes of memory until it is durable."""
        producer.arrivals += 1
        document = self._document(producer, stream, content, seq, t_ns, auto=auto)
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
            stream.tell()

        item = CommitItem(producer, size_bytes, resolve, collection=content.collection, document=document)
        if content.data is None or "inline" in document:
            self._committer.submit(item)
        else:
            self._originals.submit(Original(document["keys"]["original"], content.data, content.mime_type, item))

    async def read(self, kind: str, message: Message) -> tuple[int, Content]:
        """A message's time, and its content.

        Raises:
            Refused: either is bad, or its metadata.
        """
        t_ns = parse_time_ns(message.t_ns, message.timestamp)
        if t_ns is None:
            raise Refused("missing_field", "the message has no t_ns and no timestamp")
        if message.metadata:
            limits = self._config
            check_map(message.metadata, "metadata", max_bytes=limits.max_metadata_bytes, max_depth=limits.max_depth)
        return t_ns, await read_content(kind, message.payload, self._config, self._examiner)

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
            "size_bytes": content.size_bytes,
            "checksum": content.checksum,
            "mime_type": content.mime_type,
            "arrived_ns": self._clock.now_ns(),
            **content.fields,
        }
        if content.wants:
            document["derived"] = self._derived(producer, stream, content.wants, document["arrived_ns"])
        if must := self._watchers.must_enrich(document):
            document["enrich"] = {"pending": must, "since_ns": document["arrived_ns"]}
        if content.data is None:
            return document | {"keys": {"original": content.key}}
        if content.collection == "records" and len(content.data) <= _INLINE_BYTES:
            return document | {"inline": Binary(content.data)}
        return document | {
            "keys": {"original": original_key(*place, content.folder, stream.name, t_ns, named, seq, content.ending)}
        }

    def _derived(self, producer: Producer, stream: StreamWriter, wants: Sequence[str], now_ns: int) -> dict[str, Any]:
        """What is to be derived ahead of time: of pictures and sounds, which may be many, of some a second."""
        is_ahead = stream.kind == "video" or self._watchers.wants_tiers(producer.session, stream.name)
        if not is_ahead:
            return {"state": "none"}
        return {"state": "pending", "since_ns": now_ns} | ({} if stream.kind == "images" else {"wants": list(wants)})
