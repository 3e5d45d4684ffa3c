"""What is known of one producer's numbers in one stream: which arrived, which are durable, and what may be acked.

Pure state, no I/O. An ack is a promise about everything that arrived up to a number, so a number that arrived and is
not durable holds back the acks of all later ones; a number that never arrived (a gap of the producer's own) does not.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from datamanager.storage.ranges import RangeSet

__all__ = ["LedgerEntry", "Pending", "StreamLedger", "frontier"]

# A producer that leaves a gap after each number would make the ledger grow for ever. Beyond so many, the oldest gaps
# are closed: what would fill one, long after all around it was acked, counts as known.
_MAX_GAPS = 1000

Standing = Literal["new", "pending", "durable"]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One range found in the database.

    Attributes:
        first, last: the range.
        prev: the number that had arrived before `first`; None when there was none.
    """

    first: int
    last: int
    prev: int | None


def frontier(entries: Iterable[LedgerEntry], acked: int | None = None) -> int | None:
    """The number up to which everything that ever arrived is durable or was rejected.

    Args:
        entries: what the database holds beyond `acked`, in any order.
        acked: where an earlier look ended.

    Returns:
        None when nothing can be promised. It is never less than what was acked: each entry names its predecessor,
        so a gap that the producer left is told from a message that was lost.
    """
    reached = acked
    for entry in sorted(entries, key=lambda e: e.first):
        if reached is not None and entry.last <= reached:
            continue
        if entry.prev is not None and (reached is None or entry.prev > reached):
            break
        reached = entry.last
    return reached


class Pending:
    """Numbers that arrived together and become durable together. Made by `StreamLedger.open`."""

    __slots__ = ("closed", "first", "seqs")

    def __init__(self) -> None:
        self.first: int | None = None
        self.seqs = RangeSet()
        self.closed = False

    def __lt__(self, other: "Pending") -> bool:
        return id(self) < id(other)  # only so that a heap can order equal numbers


class StreamLedger:
    """The numbers of one producer in one stream."""

    __slots__ = ("_arrived", "_heap", "_rejected", "acked", "durable")

    def __init__(
        self, durable: RangeSet | None = None, rejected: RangeSet | None = None, acked: int | None = None
    ) -> None:
        self.durable = durable or RangeSet()
        self._rejected = rejected or RangeSet()
        self._arrived = RangeSet(self.durable)
        self._heap: list[tuple[int, Pending]] = []
        self.acked = acked

    def standing(self, seq: int) -> Standing:
        """Whether a number is new, on its way to the database, or there."""
        if seq not in self._arrived:
            return "new"
        return "durable" if seq in self.durable else "pending"

    def prev_of(self, seq: int) -> int | None:
        """The largest number below `seq` that arrived and was not rejected."""
        return self._arrived.floor(seq - 1)

    def next_seq(self) -> int:
        """The number that the server gives a message without one."""
        highest = max((h for h in (self._arrived.highest, self._rejected.highest) if h is not None), default=-1)
        return highest + 1

    def open(self) -> Pending:
        """Begins a group of numbers that will become durable together."""
        return Pending()

    def arrive(self, pending: Pending, seq: int) -> None:
        """Adds a new number to a group."""
        self._arrived.add(seq, seq)
        pending.seqs.add(seq, seq)
        if pending.first is None or seq < pending.first:
            pending.first = seq
            heapq.heappush(self._heap, (seq, pending))

    def is_new(self, first: int, last: int) -> bool:
        """Whether every number of a range is new."""
        return not self._arrived.common(first, last)

    def arrive_run(self, pending: Pending, first: int, last: int) -> None:
        """Adds a range of new numbers to a group."""
        self.arrive(pending, first)
        self._arrived.add(first, last)
        pending.seqs.add(first, last)

    def hold(self, pending: Pending, seq: int) -> None:
        """Adds a number that is being refused: it holds acks back until that is kept, and stays new."""
        pending.seqs.add(seq, seq)
        pending.first = seq
        heapq.heappush(self._heap, (seq, pending))

    def resolve(self, pending: Pending, *, rejected: bool = False) -> None:
        """The group is durable, or was rejected as a whole."""
        pending.closed = True
        target = self._rejected if rejected else self.durable
        for first, last in pending.seqs:
            target.add(first, last)
        for ranges in (self._arrived, self._rejected, self.durable):
            if len(ranges) > 2 * _MAX_GAPS:
                ranges.close_gaps(_MAX_GAPS, below=self._heap[0][0] if self.held else None)

    @property
    def held(self) -> bool:
        """Whether a number is still on its way to the database or to the dead letters."""
        while self._heap and self._heap[0][1].closed:
            heapq.heappop(self._heap)
        return bool(self._heap)

    def ackable(self) -> int | None:
        """The number to ack now; None when an ack would promise too much or nothing is there to promise."""
        known = (self.durable, self._rejected)
        if self.held:
            limit = self._heap[0][0] - 1
            found = [f for f in (ranges.floor(limit) for ranges in known) if f is not None]
        else:
            found = [h for h in (ranges.highest for ranges in known) if h is not None]
        value = max(found, default=None)
        if value is None or (self.acked is not None and value < self.acked):
            return None if self._heap else self.acked
        self.acked = value
        return value
