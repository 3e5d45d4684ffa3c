"""One stream of one producer: checks each message, numbers it, and gathers samples into blocks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.builder import BlockBuilder, BuiltBlock
from datamanager.ingest.ledger import Pending, StreamLedger
from datamanager.ingest.metadata import check_map
from datamanager.ingest.runs import gather_run
from datamanager.ingest.wire import Message
from datamanager.kinds.names import parse_time_ns
from datamanager.kinds.time_series.columns import is_columnar, parse_columns
from datamanager.kinds.time_series.flatten import Flattener

if TYPE_CHECKING:
    from datamanager.ingest.sender import Sender

__all__ = ["OpenBlock", "StreamWriter"]

MAX_SEQ = 2**63 - 1
HOUR_NS = 3_600_000_000_000
_ROW_BYTES = 16  # t_ns and seq


@dataclass(slots=True, eq=False)
class OpenBlock:
    """A block under construction, and who waits for it."""

    pending: Pending
    opened_s: float
    auto: bool
    builder: BlockBuilder = field(default_factory=BlockBuilder)
    messages: int = 0
    waiting: dict["Sender", list[int]] = field(default_factory=dict)

    def wait(self, sender: "Sender", messages: int, size_bytes: int) -> None:
        """Notes that messages of a sender, of this size together, are in the block."""
        self.messages += messages
        sender.open_messages += messages
        sender.open_bytes += size_bytes
        counts = self.waiting.get(sender)
        if counts is None:
            self.waiting[sender] = [messages, size_bytes]
        else:
            counts[0] += messages
            counts[1] += size_bytes

    def build(self, layout: Mapping[str, str] | None) -> BuiltBlock:
        """The block's content; from here on it is no longer open. For `layout` see `BlockBuilder.build`."""
        for sender, (messages, size_bytes) in self.waiting.items():
            sender.open_messages -= messages
            sender.open_bytes -= size_bytes
        return self.builder.build(layout)


class StreamWriter:
    """What is known of a stream while one producer sends it.

    Args:
        channels: those that the stream has already.

    Attributes:
        producer: who sends it.
        kind: the stream's one kind.
        ledger: the producer's numbers in this stream.
        senders: who is told about acks.
        read_last: the columns `t_ns` and `seq` of the stored block that was looked into last.
    """

    def __init__(
        self, producer: str, name: str, kind: str, ledger: StreamLedger, config: IngestConfig, channels: Iterable[str]
    ) -> None:
        self.producer = producer
        self.name = name
        self.kind = kind
        self.ledger = ledger
        self.senders: set[Sender] = set()
        self.block: OpenBlock | None = None
        self.metadata: dict[str, Any] = {}
        self.read_last: tuple[Any, Any] | None = None
        self._config = config
        self._flattener = Flattener(max_channels=config.max_channels, max_depth=config.max_depth)
        self._channels = set(channels)
        self._layout: tuple[str, ...] = ()

    def tell(self) -> None:
        """Has every sender of the stream told how far it is acked."""
        for sender in self.senders:
            sender.touch(self)

    def number(self, message: Message) -> tuple[int, bool]:
        """A message's number, and whether the server gave it.

        Raises:
            Refused: `wrong_type` for a number outside [0, 2^63), or when the server has none left to give.
        """
        seq = message.seq if message.seq is not None else message.sequence_number
        auto = seq is None
        if seq is None:
            seq = self.ledger.next_seq()
        if not 0 <= seq <= MAX_SEQ:
            raise Refused("wrong_type", f"seq {seq} is outside [0, 2^63)")
        return seq, auto

    def add_samples(
        self,
        message: Message,
        seq: int,
        *,
        auto: bool,
        from_json: bool,
        now_s: float,
        seal: Callable[["StreamWriter"], None],
    ) -> tuple[int, int]:
        """Puts one `time_series` message into the open block; `seal` is called for a block that is full before it.

        Returns:
            The times of its first and last sample.

        Raises:
            Refused: the payload is bad.
        """
        payload = message.payload
        if type(payload) is not dict:
            raise Refused("wrong_type", f"the payload of time_series must be a map, not {type(payload).__name__}")
        if is_columnar(payload):
            columns = parse_columns(payload, max_channels=self._config.max_channels, from_json=from_json)
            first_ns, last_ns, size = int(columns.t_ns.min()), int(columns.t_ns.max()), columns.size_bytes
            self._check_layout(columns.names)
            block = self._block_for(
                columns.names, len(columns.t_ns), first_ns, last_ns, size, auto=auto, now_s=now_s, seal=seal
            )
            block.builder.add_columns(seq, columns, first_ns, last_ns)
        else:
            t_ns = parse_time_ns(message.t_ns, message.timestamp)
            if t_ns is None:
                raise Refused("missing_field", "the message has no t_ns and no timestamp")
            names, leaves = self._flattener.flatten(payload)
            self._check_layout(names)
            size = _ROW_BYTES + 8 * len(leaves) + sum(_text_bytes(v) for v in leaves if type(v) is str)
            block = self._block_for(names, 1, t_ns, t_ns, size, auto=auto, now_s=now_s, seal=seal)
            block.builder.add_sample(seq, t_ns, names, leaves, from_json=from_json, size_bytes=size)
            first_ns = last_ns = t_ns
        self.ledger.arrive(block.pending, seq)
        return first_ns, last_ns

    def add_run(
        self, run: list[Message], *, from_json: bool, now_s: float, seal: Callable[["StreamWriter"], None]
    ) -> bool:
        """Puts nested samples of one shape, numbered one by one, into the open block together.

        Returns:
            False, with nothing changed, when they are not that alike: then each is to be added by itself.
        """
        numbered = self._numbered(run)
        columns = None if numbered is None else gather_run(run, self._flattener, from_json=from_json)
        if numbered is None or columns is None or columns.size_bytes > self._config.block_bytes:
            return False
        first_seq, auto = numbered
        self._check_layout(columns.names)
        first_ns, last_ns = int(columns.t_ns.min()), int(columns.t_ns.max())
        if first_ns // HOUR_NS != last_ns // HOUR_NS:
            return False
        size = columns.size_bytes
        block = self._block_for(
            columns.names, len(columns.t_ns), first_ns, last_ns, size, auto=auto, now_s=now_s, seal=seal
        )
        block.builder.add_run(first_seq, columns, first_ns, last_ns)
        self.ledger.arrive_run(block.pending, first_seq, first_seq + len(run) - 1)
        return True

    def _numbered(self, run: list[Message]) -> tuple[int, bool] | None:
        """The first number of a run whose numbers are all new and without a gap, and whether the server gives them."""
        first = run[0].seq
        if first is None:
            if any(m.seq is not None or m.sequence_number is not None for m in run):
                return None
            first = self.ledger.next_seq()
            return (first, True) if first <= MAX_SEQ - len(run) else None
        if any(m.seq != seq for seq, m in enumerate(run, first)) or not 0 <= first <= MAX_SEQ - len(run):
            return None
        return (first, False) if self.ledger.is_new(first, first + len(run) - 1) else None

    def learn_metadata(self, metadata: dict[str, Any]) -> None:
        """Merges a message's metadata into the stream's.

        Raises:
            Refused: it cannot be kept, or the stream would have too much of it.
        """
        joined = self.metadata | metadata
        if joined != self.metadata:
            limits = self._config
            check_map(joined, "metadata", max_bytes=limits.max_metadata_bytes, max_depth=limits.max_depth)
            self.metadata = joined

    def _check_layout(self, names: tuple[str, ...]) -> None:
        if names is self._layout:
            return
        joined = self._channels.union(names)
        if len(joined) > self._config.max_channels:
            raise Refused(
                "too_large", f"stream {self.name!r} would have more than {self._config.max_channels} channels"
            )
        self._channels = joined
        self._layout = names

    def _block_for(
        self,
        names: tuple[str, ...],
        n: int,
        first_ns: int,
        last_ns: int,
        size_bytes: int,
        *,
        auto: bool,
        now_s: float,
        seal: Callable[["StreamWriter"], None],
    ) -> OpenBlock:
        if size_bytes > self._config.max_block_bytes:
            raise Refused(
                "too_large",
                f"the message takes {size_bytes} bytes of a block, which has {self._config.max_block_bytes}",
            )
        block = self.block
        # A large message stands alone: among others its numbers may become text, which is several times as large.
        if block is not None and not (
            size_bytes < self._config.block_bytes
            and block.auto is auto
            and block.builder.fits(names, n, first_ns, last_ns, size_bytes, self._config.max_block_bytes)
        ):
            seal(self)
            block = None
        if block is None:
            block = self.block = OpenBlock(self.ledger.open(), now_s, auto)
        return block


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
