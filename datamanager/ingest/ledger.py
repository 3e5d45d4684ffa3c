"""What is known of one producer's numbers in one stream: which arrived, which are durable, and what may be acked.

Pure state, no I/O. An ack is a promise about everything that arrived up to a number, so a number that arrived and is
not durable holds back the acks of all later ones; a number that never arrived (a gap of the producer's own) does not.
"""

import heapq
from collections.abc import Iterable
from typing import Literal

from datamanager.ingest.tally import MAX_GAPS
from datamanager.storage.ranges import RangeSet

__all__ = ["Pending", "StreamLedger"]

Standing = Literal["new", "pending", "durable"]


class Pending:
    """Numbers that arrived together and become durable together. Made by `StreamLedger.open`."""

    __slots__ = ("arrived", "closed", "first", "seqs")

    def __init__(self) -> None:
        self.first: int | None = None
        self.arrived = False
        self.seqs = RangeSet()
        self.closed = False

    def __lt__(self, other: "Pending") -> bool:
        return id(self) < id(other)  # only so that a heap can order equal numbers


class StreamLedger:
    """The numbers of one producer in one stream.

    Args:
        durable: what the database holds.
        rejected: what stands in the dead letters.
        acked: the number up to which it was acked before.
        expected: numbers that are known to have arrived once and are lost, because what came after them says so: a
            process died with them. Acks stop before them until they come again, or until something beyond all that
            is known comes: then their sender has given them up.
    """

    __slots__ = ("_arrived", "_expected", "_heap", "_rejected", "acked", "durable")

    def __init__(
        self,
        durable: RangeSet | None = None,
        rejected: RangeSet | None = None,
        acked: int | None = None,
        expected: Iterable[int] = (),
    ) -> None:
        self.durable = RangeSet(durable or ())
        self._rejected = rejected or RangeSet()
        self._arrived = RangeSet(self.durable)
        self._heap: list[tuple[int, Pending]] = []
        self.acked = acked
        known = -1 if acked is None else acked
        self._expected = {seq for seq in expected if seq > known and seq not in self._rejected}
        self.ackable()

    def learn(self, durable: RangeSet, acked: int | None) -> None:
        """Adds what another process wrote."""
        for first, last in durable:
            self.durable.add(first, last)
            self._arrived.add(first, last)
        self._expected = {seq for seq in self._expected if seq not in self.durable}
        if acked is not None:
            self.acked = max(acked, -1 if self.acked is None else self.acked)

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
        self._came(seq, seq)
        self._arrived.add(seq, seq)
        pending.arrived = True
        pending.seqs.add(seq, seq)
        if pending.first is None or seq < pending.first:
            pending.first = seq
            heapq.heappush(self._heap, (seq, pending))

    def is_new(self, first: int, last: int) -> bool:
        """Whether every number of a range is new."""
        return not self._arrived.common(first, last)

    def arrive_run(self, pending: Pending, first: int, last: int) -> None:
        """Adds a range of new numbers to a group."""
        self._came(first, last)
        self.arrive(pending, first)
        self._arrived.add(first, last)
        pending.seqs.add(first, last)

    def _came(self, first: int, last: int) -> None:
        if not self._expected:
            return
        if last >= max(self.next_seq(), max(self._expected) + 1):
            self._expected.clear()
        else:
            self._expected = {seq for seq in self._expected if not first <= seq <= last}

    def hold(self, pending: Pending, seq: int) -> None:
        """Adds a number that is being refused: it holds acks back until that is kept, and stays new."""
        self._came(seq, seq)
        pending.seqs.add(seq, seq)
        pending.first = seq
        heapq.heappush(self._heap, (seq, pending))

    def resolve(self, pending: Pending, *, rejected: bool = False) -> None:
        """The group is durable, or was rejected as a whole."""
        pending.closed = True
        target = self._rejected if rejected else self.durable
        for first, last in pending.seqs:
            target.add(first, last)
            if rejected and pending.arrived:  # it may be sent again, and well
                self._arrived.remove(first, last)
        for ranges in (self._arrived, self._rejected, self.durable):
            if len(ranges) > 2 * MAX_GAPS:
                ranges.close_gaps(MAX_GAPS, below=self._heap[0][0] if self.held else None)

    @property
    def held(self) -> bool:
        """Whether a number is still on its way to the database or to the dead letters."""
        while self._heap and self._heap[0][1].closed:
            heapq.heappop(self._heap)
        return bool(self._heap)

    def ackable(self) -> int | None:
        """The number to ack now; None when an ack would promise too much or nothing is there to promise."""
        held = self.held
        limits = ([self._heap[0][0] - 1] if held else []) + ([min(self._expected) - 1] if self._expected else [])
        known = (self.durable, self._rejected)
        found = [ranges.floor(min(limits)) if limits else ranges.highest for ranges in known]
        value = max((seq for seq in found if seq is not None), default=None)
        if value is None or (self.acked is not None and value < self.acked):
            return None if held else self.acked
        self.acked = value
        return value
