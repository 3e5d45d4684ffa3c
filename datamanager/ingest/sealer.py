"""Hands blocks on to be written, and tells who waited for them."""

from datamanager.clock import Clock
from datamanager.errors import Refused
from datamanager.ingest.commit import CommitItem, Committer
from datamanager.ingest.producer import Producer
from datamanager.ingest.stream import OpenBlock, StreamWriter
from datamanager.ingest.watchers import Watchers
from datamanager.observability import METRICS
from datamanager.storage.blocks import Block

__all__ = ["Sealer"]


class Sealer:
    """Closes open blocks."""

    def __init__(self, committer: Committer, watchers: Watchers, clock: Clock) -> None:
        self._committer = committer
        self._watchers = watchers
        self._clock = clock

    def seal(self, producer: Producer, stream: StreamWriter) -> None:
        """Hands a stream's open block on to be written."""
        opened, stream.block = stream.block, None
        if opened is None or opened.pending.first is None:
            return
        built = opened.build(producer.session.layout(stream.name))
        block = Block(
            robot_id=producer.session.robot_id,
            session_id=producer.session.session_id,
            stream=stream.name,
            producer=producer.name,
            t_ns=built.t_ns,
            t_end_ns=built.t_end_ns,
            n=built.n,
            seqs=list(opened.pending.seqs),
            prevs=[stream.ledger.prev_of(first) for first, _ in opened.pending.seqs],
            auto=opened.auto,
            messages=opened.messages,
            size_bytes=len(built.data),
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
        METRICS.ack_s.observe(self._clock.monotonic_s() - opened.opened_s)
        if lost is None and item.block is not None:
            self._watchers.block_stored(item.block)
            METRICS.samples.inc(opened.builder.n)
        for sender, (messages, size_bytes) in opened.waiting.items():
            if lost is not None:
                for first, last in opened.pending.seqs:
                    for seq in range(first, last + 1):
                        sender.refuse(stream.name, seq, Refused("bad_payload", f"MongoDB cannot keep it: {lost[:200]}"))
            sender.done(messages, size_bytes)
        stream.tell()

    def flush(self, producer: Producer) -> None:
        """Hands every open block of a producer on."""
        for stream in producer.streams.values():
            if stream.block is not None:
                self.seal(producer, stream)

    def seal_due(self, producer: Producer, opened_before_s: float) -> None:
        """Hands on the blocks that were opened by then."""
        for stream in producer.streams.values():
            if stream.block is not None and stream.block.opened_s <= opened_before_s:
                self.seal(producer, stream)
