"""One producer of a session: its streams' ledgers and totals, and how they are read from the database."""

import asyncio
from collections import Counter
from typing import Any

from datamanager.config import IngestConfig
from datamanager.ingest.commit import CommitItem, Stores
from datamanager.ingest.ledger import StreamLedger
from datamanager.ingest.mend import mend_statistics
from datamanager.ingest.reading import Reading
from datamanager.ingest.session import SessionState
from datamanager.ingest.stream import StreamWriter
from datamanager.ingest.totals import Totals
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.mongo import Document

__all__ = ["Producer"]

_GENERATION_S = 60
_GENERATION_BYTES = 64_000_000


class Producer:
    """The state of one producer in this process: what `commit.Account` asks for, and the streams it writes."""

    def __init__(
        self, session: SessionState, name: str, config: IngestConfig, stores: Stores, letters: DeadLetters
    ) -> None:
        self.session = session
        self.name = name
        self.streams: dict[str, StreamWriter] = {}
        self.loaded = False
        self.arrivals = 0
        self.lock = asyncio.Lock()
        self._config = config
        self._stores = stores
        self._letters = letters
        self._generation = 0
        self._generation_bytes = 0
        self._in_flight: Counter[int] = Counter()
        self._under_way = 0
        self._moved = asyncio.Event()
        self._folded: list[dict[str, Any]] = []
        self._folded_before = 0

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

    async def read(self) -> Reading:
        """Reads the ledger: what was folded, what was written since; mends statistics that a crash left out.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        place = (self.session.robot_id, self.session.session_id, self.name)
        folded = await self._stores.ledgers.get(*place) or {"folded": [], "folded_before": 0}
        since = folded["folded_before"]
        headers = await self._stores.telemetry.headers(*place[:2], since_generation=since, producer=self.name)
        records = await self._stores.records.ledger_entries(*place, since_generation=since)
        rejected = await self._letters.seqs(*place)
        await mend_statistics(self._stores.telemetry, self.session, headers, self.name, since)
        return Reading(folded["folded"], since, headers, records, rejected)

    def adopt(self, reading: Reading) -> None:
        """Makes what was read the state of this producer; nothing of it may be under way."""
        self._folded, self._folded_before = reading.folded, reading.folded_before
        for name, (ledger, totals) in reading.streams().items():
            self._adopt(name, ledger, totals)
        self._generation = 0
        self.loaded = True

    def _adopt(self, name: str, ledger: StreamLedger, totals: Totals) -> None:
        writer = self.streams.get(name)
        if writer is not None:  # connections hold on to it
            writer.ledger, writer.totals = ledger, totals
            return
        kind = self.session.kinds.get(name)
        if kind is not None:  # else only dead letters bear that name
            self.streams[name] = StreamWriter(name, kind, ledger, totals, self._config)

    def acked(self) -> dict[str, int]:
        """Stream to the seq up to which all is durable: what `welcome` says."""
        return {name: s.ledger.acked for name, s in self.streams.items() if s.ledger.acked is not None}

    def writer(self, name: str, kind: str) -> StreamWriter:
        """The writer of a stream, made on first use."""
        writer = self.streams.get(name)
        if writer is None:
            writer = self.streams[name] = StreamWriter(name, kind, StreamLedger(), Totals(), self._config)
        return writer

    # What a commit asks of its account.

    def begin(self, item: CommitItem) -> None:
        """Gives an item its generation, opening a new one when the present one is old or large."""
        now_s = self.session.clock.now_ns() // 1_000_000_000
        if now_s - self._generation >= _GENERATION_S or self._generation_bytes >= _GENERATION_BYTES:
            # Never before what is folded, however the clock went: the ledger is read from there on.
            self._generation = max(now_s, self._generation + 1, self._folded_before)
            self._generation_bytes = 0
        self._generation_bytes += item.size_bytes
        self._in_flight[self._generation] += 1
        if item.block is not None:
            item.block.generation = self._generation
        else:
            item.document["generation"] = self._generation

    def written(self, item: CommitItem) -> None:
        """Counts an item that is in the database."""
        b, d = item.block, item.document
        if b is not None:
            self.streams[b.stream].totals.add(b.messages, b.n, b.size_bytes, b.t_ns, b.t_end_ns)
            self.session.widen(b.t_ns, b.t_end_ns)
        else:
            self.streams[d["stream"]].totals.add(1, 0, d["size_bytes"], d["t_ns"], d["t_ns"])
            self.session.widen(d["t_ns"], d["t_ns"])

    def finished(self, item: CommitItem) -> None:
        """An item is no longer under way."""
        self._under_way -= 1
        self._moved.set()
        generation = item.block.generation if item.block is not None else item.document["generation"]
        self._in_flight[generation] -= 1
        if not self._in_flight[generation]:
            del self._in_flight[generation]

    def ledger_document(self) -> dict[str, Any]:
        """The ledger as it is to be kept; folds up the generations that nothing can be added to any more."""
        oldest = min(self._in_flight, default=self._generation)
        if oldest > self._folded_before:
            self._folded = [_folded(s) for s in self.streams.values()]
            self._folded_before = oldest
        return {
            "_id": f"{self.session.id}/{self.name}",
            "robot_id": self.session.robot_id,
            "session_id": self.session.session_id,
            "producer": self.name,
            "folded_before": self._folded_before,
            "folded": self._folded,
            "streams": [{"stream": s.name, **s.totals.fields()} for s in self.streams.values()],
        }

    def span(self) -> tuple[str, int, int, bool] | None:
        """What the session spans, when that has widened."""
        return self.session.take_span()

    async def prepare(self, items: list[CommitItem]) -> None:
        """Makes the schemas and channels of blocks durable before the blocks are."""
        for item in items:
            if item.block is not None:
                await self.session.describe(item.block)


def _folded(stream: StreamWriter) -> Document:
    ranges = [list(r) for r in stream.ledger.durable]
    return {"stream": stream.name, "ranges": ranges, "acked": stream.ledger.acked, **stream.totals.fields()}
