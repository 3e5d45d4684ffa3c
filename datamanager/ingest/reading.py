"""What the database says of one producer, put together: its ledgers and totals."""

from dataclasses import dataclass

from datamanager.ingest.ledger import StreamLedger
from datamanager.ingest.tally import Entry, Tally
from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet
from datamanager.storage.telemetry import BlockHeader

__all__ = ["Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the database.

    Attributes:
        ledger: the producer's ledger document, with the stamp of whoever looked.
        headers: its blocks of the generation `folded_before` or later.
        records: its frames and records of that generation or later.
        rejected: its dead letters.
    """

    ledger: Document
    headers: list[BlockHeader]
    records: list[Document]
    rejected: list[Document]

    def tally(self) -> Tally:
        """Everything that is durable."""
        tally = Tally(self.ledger)
        entries = [*map(Entry.of_block, self.headers), *map(Entry.of_record, self.records)]
        for entry in sorted(entries, key=lambda e: (e.generation, e.seqs[0][0])):
            tally.add(entry)
        return tally

    def ledgers(self, tally: Tally) -> dict[str, StreamLedger]:
        """The ledger of each stream, given `tally()`."""
        rejected: dict[str, RangeSet] = {}
        before: dict[str, set[int]] = {}
        for letter in self.rejected:
            rejected.setdefault(letter["stream"], RangeSet()).add(letter["seq"], letter["seq"])
            if letter["prev"] is not None:
                before.setdefault(letter["stream"], set()).add(letter["prev"])
        found = {}
        for name in tally.seen.keys() | rejected.keys():
            seen = tally.seen.get(name, RangeSet())
            expected = tally.expected(name) | {seq for seq in before.get(name, ()) if seq not in seen}
            found[name] = StreamLedger(seen, rejected.get(name), tally.acked(name), expected)
        return found
