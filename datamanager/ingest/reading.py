"""What the database says of one producer, put together: its ledgers and totals."""

from dataclasses import dataclass
from typing import Any

from datamanager.ingest.ledger import LedgerEntry, StreamLedger, frontier
from datamanager.ingest.totals import Totals
from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet
from datamanager.storage.telemetry import BlockHeader

__all__ = ["Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the database.

    Attributes:
        folded: the folded ledger's streams.
        folded_before: everything the producer wrote before this generation is in `folded`.
        headers: its blocks of that generation or later.
        records: its frames and records of that generation or later.
        rejected: its dead letters.
    """

    folded: list[dict[str, Any]]
    folded_before: int
    headers: list[BlockHeader]
    records: list[Document]
    rejected: list[Document]

    def streams(self) -> dict[str, tuple[StreamLedger, Totals]]:
        """Stream to its ledger and totals."""
        durable = {f["stream"]: RangeSet(f["ranges"]) for f in self.folded}
        totals = {f["stream"]: Totals.of(f) for f in self.folded}
        entries: dict[str, list[LedgerEntry]] = {}
        for header in self.headers:
            known = durable.setdefault(header.stream, RangeSet())
            if header.auto or not all(first in known and last in known for first, last in header.seqs):
                count = totals.setdefault(header.stream, Totals())
                count.add(header.messages, header.n, header.size_bytes, header.t_ns, header.t_end_ns)
            for first, last in header.seqs:
                known.add(first, last)
            entries.setdefault(header.stream, []).extend(_chain(header))
        for record in self.records:
            known = durable.setdefault(record["stream"], RangeSet())
            if record["seq"] not in known:
                count = totals.setdefault(record["stream"], Totals())
                count.add(1, 0, record["size_bytes"], record["t_ns"], record["t_ns"])
            known.add(record["seq"], record["seq"])
            entries.setdefault(record["stream"], []).append(LedgerEntry(record["seq"], record["seq"], record["prev"]))
        rejected: dict[str, RangeSet] = {}
        for letter in self.rejected:
            rejected.setdefault(letter["stream"], RangeSet()).add(letter["seq"], letter["seq"])
            entries.setdefault(letter["stream"], []).append(LedgerEntry(letter["seq"], letter["seq"], letter["prev"]))
        acked = {f["stream"]: f["acked"] for f in self.folded}
        return {
            name: (
                StreamLedger(durable.get(name), rejected.get(name), frontier(entries.get(name, ()), acked.get(name))),
                totals.get(name, Totals()),
            )
            for name in durable.keys() | entries.keys()
        }


def _chain(header: BlockHeader) -> list[LedgerEntry]:
    """A block's ranges, each naming what was there before it."""
    return [LedgerEntry(first, last, prev) for (first, last), prev in zip(header.seqs, header.prevs, strict=True)]
