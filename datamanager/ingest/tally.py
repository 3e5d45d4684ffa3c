"""What is durable of one producer: counted once whatever was written twice, and folded up by generation.

Pure state, no I/O. A generation is folded once nothing can be added to it any more, so that what is folded and what
stands in blocks and records of later generations together are everything, with nothing counted twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datamanager.ingest.totals import Totals
from datamanager.storage.blocks import Block
from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet
from datamanager.storage.telemetry import BlockHeader

__all__ = ["MAX_GAPS", "Entry", "Tally"]

# A producer that leaves a gap after each number would make the ledger grow for ever. Beyond so many, the oldest gaps
# are closed: what would fill one, long after all around it was acked, counts as known.
MAX_GAPS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A block or record that is in the database.

    Attributes:
        id: the block's or the record's.
        prevs: of each range, the seq that had arrived before it.
        samples: 0 of a record.
    """

    id: str
    generation: int
    stream: str
    seqs: Sequence[tuple[int, int]]
    prevs: Sequence[int | None]
    auto: bool
    records: int
    samples: int
    size_bytes: int
    first_ns: int
    last_ns: int

    @classmethod
    def of_block(cls, block: Block | BlockHeader) -> "Entry":
        """The entry of a block."""
        b = block
        return cls(
            b.id, b.generation, b.stream, b.seqs, b.prevs, b.auto, b.messages, b.n, b.size_bytes, b.t_ns, b.t_end_ns
        )

    @classmethod
    def of_record(cls, document: Document) -> "Entry":
        """The entry of a frame or record."""
        d, seqs = document, ((document["seq"], document["seq"]),)
        t_ns = d["t_ns"]
        return cls(
            d["_id"], d["generation"], d["stream"], seqs, (d["prev"],), d["auto"], 1, 0, d["size_bytes"], t_ns, t_ns
        )


class _Folded:
    """What is folded of one stream.

    Attributes:
        expected: numbers that had arrived before something that is folded, and were not durable then.
    """

    __slots__ = ("acked", "expected", "ranges", "totals")

    def __init__(
        self, ranges: Iterable[Iterable[int]], acked: int | None, expected: Iterable[int], totals: Totals
    ) -> None:
        self.ranges = RangeSet(ranges)
        self.acked = acked
        self.expected = set(expected)
        self.totals = totals


class Tally:
    """The tally of one producer.

    Args:
        ledger: the ledger document that it goes on from; None begins an empty one.

    Attributes:
        before: all generations before this one are folded.
        totals: of each stream, everything.
        seen: of each stream, the durable numbers.
        folds: another number when something else is folded.
    """

    def __init__(self, ledger: Document | None = None) -> None:
        self.before: int = 0 if ledger is None else ledger["folded_before"]
        self.folds = 0
        self.totals: dict[str, Totals] = {}
        self.seen: dict[str, RangeSet] = {}
        self._folded: dict[str, _Folded] = {}
        self._since: dict[int, dict[str, tuple[Entry, Totals]]] = {}
        for f in () if ledger is None else ledger["folded"]:
            name = f["stream"]
            self._folded[name] = _Folded(f["ranges"], f["acked"], f["expected"], Totals.of(f))
            self.seen[name] = RangeSet(f["ranges"])
            self.totals[name] = Totals.of(f)

    def add(self, entry: Entry) -> None:
        """Counts an entry; of one that is there already, or whose numbers are, only what is new."""
        count = self._new_of(entry)
        if entry.generation < self.before:
            if not count.records:
                return
            self._fold_in(entry, count)  # another process folded its generation without it
        else:
            entries = self._since.setdefault(entry.generation, {})
            if entry.id in entries:
                return
            entries[entry.id] = (entry, count)
        _merge(self.totals.setdefault(entry.stream, Totals()), count)
        seen = self.seen.setdefault(entry.stream, RangeSet())
        for first, last in entry.seqs:
            seen.add(first, last)

    def _new_of(self, entry: Entry) -> Totals:
        """What an entry adds. Of one that overlaps others each message is taken to be as large as the next."""
        new = all_ = 1
        seen = self.seen.get(entry.stream)
        if seen is not None and not entry.auto:
            all_ = sum(last - first + 1 for first, last in entry.seqs)
            known = (cut for first, last in entry.seqs for cut in seen.common(first, last))
            new = all_ - sum(last - first + 1 for first, last in known)
        records, samples, size_bytes = (v * new // all_ for v in (entry.records, entry.samples, entry.size_bytes))
        return Totals(records, samples, size_bytes, entry.first_ns, entry.last_ns)

    def expected(self, stream: str) -> set[int]:
        """The numbers that had arrived before something that is durable, and are not durable themselves."""
        seen = self.seen.get(stream, RangeSet())
        folded = self._folded.get(stream)
        found = set() if folded is None else set(folded.expected)
        for entries in self._since.values():
            for entry, _ in entries.values():
                if entry.stream == stream:
                    found.update(prev for prev in entry.prevs if prev is not None)
        return {seq for seq in found if seq not in seen}

    def fold(self, before: int, acked: dict[str, int]) -> None:
        """Folds the generations before one, to which nothing is added any more.

        Args:
            before: the first generation that stays as it is.
            acked: stream to the number up to which it is acked.
        """
        for generation in sorted(g for g in self._since if g < before):
            for entry, count in self._since.pop(generation).values():
                self._fold_in(entry, count)
        for name, folded in self._folded.items():
            folded.acked = acked.get(name, folded.acked)
            folded.expected = {s for s in folded.expected if s not in self.seen[name] and s > (folded.acked or -1)}
            if folded.acked is not None:  # beyond that a gap may be a number that is on its way
                folded.ranges.close_gaps(MAX_GAPS, below=folded.acked)
                self.seen[name].close_gaps(MAX_GAPS, below=folded.acked)
        self.before = max(self.before, before)
        self.folds += 1

    def _fold_in(self, entry: Entry, count: Totals) -> None:
        folded = self._folded.setdefault(entry.stream, _Folded((), None, (), Totals()))
        for first, last in entry.seqs:
            folded.ranges.add(first, last)
        folded.expected.update(prev for prev in entry.prevs if prev is not None)
        _merge(folded.totals, count)
        self.folds += 1

    def acked(self, stream: str) -> int | None:
        """The number up to which a stream was acked when it was folded."""
        return self._folded[stream].acked if stream in self._folded else None

    def folded_fields(self) -> list[dict[str, Any]]:
        """What is folded, as it is kept."""
        return [
            {
                "stream": name,
                "ranges": [list(r) for r in f.ranges],
                "acked": f.acked,
                "expected": sorted(f.expected),
                **f.totals.fields(),
            }
            for name, f in self._folded.items()
        ]


def _merge(into: Totals, count: Totals) -> None:
    if count.first_t_ns is not None and count.last_t_ns is not None:
        into.add(count.records, count.samples, count.size_bytes, count.first_t_ns, count.last_t_ns)
