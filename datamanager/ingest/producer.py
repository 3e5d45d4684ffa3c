"""One producer of a session: its streams' ledgers and totals, and how they are read from the database."""

import asyncio
from collections import Counter
from uuid import uuid4

from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.commit import CommitItem, Stores
from datamanager.ingest.ledger import StreamLedger
from datamanager.ingest.mend import mend_statistics
from datamanager.ingest.reading import Reading
from datamanager.ingest.sender import Sender
from datamanager.ingest.session import SessionState
from datamanager.ingest.stream import StreamWriter
from datamanager.ingest.tally import Entry, Tally
from datamanager.observability import get_logger
from datamanager.storage.blocks import Block
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.ledgers import LedgerChange

__all__ = ["Producer"]

_log = get_logger(__name__)
# What was written since the last fold is read again after a crash: so much, at most.
_GENERATION_S = 60
_GENERATION_BYTES = 64_000_000
_GENERATION_ITEMS = 20_000


class Producer:
    """The state of one producer in this process: what `commit.Account` asks for, and the streams it writes.

    Attributes:
        loaded: whether the ledger was read.
        arrivals: counts what came in.
        lock: held while the ledger is read again.
        keeping: held while the ledger is written.
        reopens: whether what it sends opens its session again when that has ended.
        speaker: the connection that said `hello` for it last, here.
    """

    def __init__(
        self,
        session: SessionState,
        name: str,
        config: IngestConfig,
        stores: Stores,
        letters: DeadLetters,
        *,
        reopens: bool = True,
    ) -> None:
        self.session = session
        self.name = name
        self.reopens = reopens
        self.streams: dict[str, StreamWriter] = {}
        self.loaded = False
        self.arrivals = 0
        self.lock = asyncio.Lock()
        self.keeping = asyncio.Lock()
        self.speaker: Sender | None = None
        self._config = config
        self._stores = stores
        self._letters = letters
        self._generation = 0
        self._generation_bytes = 0
        self._generation_items = 0
        self._in_flight: Counter[int] = Counter()
        self._under_way = 0
        self._moved = asyncio.Event()
        self._tally = Tally()
        self._unsettled: dict[str, Entry] = {}
        self._stamps: list[str] = []
        self._kept_folds = -1
        self._changing_folds = -1
        self._owner: str | None = None

    @property
    def id(self) -> str:
        """`robot/session/producer`, which is the `_id` of its ledger."""
        return f"{self.session.id}/{self.name}"

    @property
    def is_own(self) -> bool:
        """Whether it is one of the server's, for which no robot waits: `~` begins no name that a robot may give."""
        return self.name.startswith("~")

    @property
    def settled(self) -> bool:
        """Whether everything that was handed on is durable."""
        return not self._under_way

    def took(self) -> None:
        """A block or record was handed on."""
        self._under_way += 1

    async def moved(self) -> None:
        """Returns when something was made durable."""
        self._moved.clear()
        await self._moved.wait()

    @property
    def idle(self) -> bool:
        """Whether nothing of it is under way."""
        return not self._under_way and all(s.block is None for s in self.streams.values())

    async def read(self, *, owner: str | None = None) -> Reading:
        """Reads the ledger: what was folded, what was written since; mends statistics that a crash left out.

        Args:
            owner: names the connection that speaks for the producer from now on.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        place = (self.session.robot_id, self.session.session_id, self.name)
        ledger = await self._stores.ledgers.claim(*place, uuid4().hex, owner=owner)
        await self.session.refresh()
        since = ledger["folded_before"]
        headers = await self._stores.telemetry.headers(*place[:2], since_generation=since, producer=self.name)
        records = await self._stores.records.ledger_entries(*place, since_generation=since)
        rejected = await self._letters.seqs(*place)
        others = [h for h in headers if h.id not in self._unsettled]
        await mend_statistics(self._stores.telemetry, self.session, others, self.name, since)
        await self._stores.ledgers.sync()  # from here on it may be promised
        return Reading(ledger, headers, records, rejected)

    def adopt(self, reading: Reading) -> None:
        """Makes what was read the state of this producer; nothing of it may be under way."""
        for name, ledger in self._take(reading).items():
            writer = self.streams.get(name)
            kind = self.session.kinds.get(name)
            if writer is not None:  # connections hold on to it
                writer.ledger = ledger
            elif kind is not None:  # else only dead letters bear that name
                self.streams[name] = self._new_writer(name, kind, ledger)
        self._owner = reading.ledger.get("owner")
        self.loaded = True

    def _take(self, reading: Reading) -> dict[str, StreamLedger]:
        self._tally = reading.tally()
        self._stamps = [reading.ledger["stamp"]]
        self._kept_folds = -1
        generations = [h.generation for h in reading.headers] + [r["generation"] for r in reading.records]
        self._generation = max(self._generation, self._tally.before, *generations, 0)
        self.close_generation()
        for totals in self._tally.totals.values():
            if totals.first_t_ns is not None and totals.last_t_ns is not None:
                self.session.widen(totals.first_t_ns, totals.last_t_ns)
        return reading.ledgers(self._tally)

    async def reconcile(self) -> None:
        """Takes in what another process wrote for this producer meanwhile; when it has a newer `hello`, ours is closed.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        reading = await self.read()
        for name, ledger in self._take(reading).items():
            kind = self.session.kinds.get(name)
            if kind is not None:
                self.writer(name, kind).ledger.learn(ledger.durable, ledger.acked)
        for entry in self._unsettled.values():
            self._tally.add(entry)
        owner = reading.ledger.get("owner")
        _log.info("another process writes for this producer too", producer=self.id, other_owner=owner != self._owner)
        if owner != self._owner and self.speaker is not None:
            self.speaker.supersede("a newer hello of the same producer came to another process")
        self._owner = owner

    def acked(self) -> dict[str, int]:
        """Stream to the seq up to which all is durable: what `welcome` says."""
        return {name: s.ledger.acked for name, s in self.streams.items() if s.ledger.acked is not None}

    def writer(self, name: str, kind: str) -> StreamWriter:
        """The writer of a stream, made on first use.

        Raises:
            Refused: `too_large` when there are too many, be it of streams that are none for nothing in them was good.
        """
        writer = self.streams.get(name)
        if writer is None:
            if len(self.streams) >= 2 * self._config.max_streams:
                raise Refused("too_large", f"the producer names more than {2 * self._config.max_streams} streams")
            writer = self.streams[name] = self._new_writer(name, kind, StreamLedger())
        return writer

    def _new_writer(self, name: str, kind: str, ledger: StreamLedger) -> StreamWriter:
        return StreamWriter(self.name, name, kind, ledger, self._config, self.session.channels(name))

    # What a commit asks of its account.

    def held_generation(self) -> int | None:
        """The oldest generation that it may still write into; None when it would open a new one."""
        if self.session.clock.now_ns() // 1_000_000_000 - self._generation >= _GENERATION_S:
            self.close_generation()
        is_open = self._generation_items < _GENERATION_ITEMS and self._generation_bytes < _GENERATION_BYTES
        return min([*self._in_flight, *([self._generation] if is_open else [])], default=None)

    def close_generation(self) -> None:
        """What comes next opens a generation of its own."""
        self._generation_items = _GENERATION_ITEMS

    def begin(self, item: CommitItem) -> None:
        """Gives an item its generation, opening a new one when the present one is old or large."""
        now_s = self.session.clock.now_ns() // 1_000_000_000
        if (
            now_s - self._generation >= _GENERATION_S
            or self._generation_bytes >= _GENERATION_BYTES
            or self._generation_items >= _GENERATION_ITEMS
            or self._generation < self.session.floor.value
        ):
            # Never before what is folded or rolled up, however the clock went: ledgers are read from there on.
            self._generation = max(now_s, self._generation + 1, self.session.floor.value)
            self._generation_bytes = self._generation_items = 0
        self._generation_bytes += item.size_bytes
        self._generation_items += 1 if item.block is None else len(item.block.seqs)
        self._in_flight[self._generation] += 1
        if item.block is not None:
            item.block.generation = self._generation
            self.session.floor.give(self._generation)
        else:
            item.document["generation"] = self._generation

    def written(self, item: CommitItem) -> None:
        """Counts an item that is in the database."""
        entry = Entry.of_block(item.block) if item.block is not None else Entry.of_record(item.document)
        self._unsettled[entry.id] = entry
        self._tally.add(entry)
        self.session.widen(entry.first_ns, entry.last_ns)

    def finished(self, item: CommitItem) -> None:
        """An item is no longer under way."""
        self._under_way -= 1
        self._moved.set()
        name, generation = (
            (item.block.id, item.block.generation)
            if item.block is not None
            else (item.document["_id"], item.document["generation"])
        )
        self._unsettled.pop(name, None)
        self._in_flight[generation] -= 1
        if not self._in_flight[generation]:
            del self._in_flight[generation]

    def ledger_change(self) -> LedgerChange:
        """The ledger as it is to be kept; folds up the generations that nothing can be added to any more."""
        oldest = min(self._in_flight, default=self._generation)
        if oldest > self._tally.before:
            self._tally.fold(oldest, self.acked())
        stamp = uuid4().hex
        known = tuple(self._stamps)
        self._stamps.append(stamp)  # should it be written without our hearing of it
        fields: dict[str, object] = {
            "streams": [{"stream": name, **totals.fields()} for name, totals in self._tally.totals.items()]
        }
        if self._tally.folds != self._kept_folds:
            fields |= {"folded_before": self._tally.before, "folded": self._tally.folded_fields()}
        self._changing_folds = self._tally.folds
        return LedgerChange(self.id, known, stamp, fields)

    def ledger_kept(self, change: LedgerChange) -> None:
        """The ledger was written."""
        self._stamps = [change.stamp]
        self._kept_folds = self._changing_folds

    def span(self) -> tuple[str, int, int, bool] | None:
        """What the session spans, when that is not known to be in the database."""
        return self.session.span()

    def span_kept(self, span: tuple[str, int, int, bool]) -> None:
        """The session's span is in the database."""
        self.session.span_kept(span)

    async def stand(self, blocks: list[Block]) -> None:
        """Gives the statistics of blocks a generation in which they may be written now, however long that has taken."""
        await self.session.floor.stand()
        for block in blocks:
            block.statistics_generation = max(block.generation, self.session.floor.entered)

    async def prepare(self, items: list[CommitItem]) -> dict[int, str]:
        """Makes the schemas and channels of blocks durable before the blocks are; tells which blocks can't be kept."""
        await self.session.floor.stand()
        lost: dict[int, str] = {}
        for item in items:
            if item.block is not None:
                try:
                    await self.session.describe(item.block)
                except Refused as refused:
                    lost[id(item)] = refused.detail
        return lost
