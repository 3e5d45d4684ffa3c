"""An ack promises only what is durable, never goes back, and survives a crash at any moment."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.ingest import ledger as ledger_module
from datamanager.ingest.ledger import LedgerEntry, Pending, StreamLedger, frontier
from datamanager.storage.ranges import RangeSet


def group(ledger: StreamLedger, *seqs: int) -> Pending:
    pending = ledger.open()
    for seq in seqs:
        ledger.arrive(pending, seq)
    return pending


def test_what_is_under_way_holds_back_the_acks_of_all_that_came_after() -> None:
    ledger = StreamLedger()
    first, second = group(ledger, 0, 1), group(ledger, 2, 3)
    ledger.resolve(second)
    assert ledger.ackable() is None
    ledger.resolve(first)
    assert ledger.ackable() == 3


def test_a_gap_of_the_producers_own_holds_nothing_back_and_may_be_filled_later() -> None:
    ledger = StreamLedger()
    ledger.resolve(group(ledger, 5, 9))
    assert ledger.ackable() == 9
    filler = group(ledger, 7)
    assert ledger.standing(7) == "pending"
    assert ledger.ackable() is None  # nothing below the filler is new to tell
    ledger.resolve(filler)
    assert ledger.ackable() == 9  # told again, for who sent the filler waits
    assert ledger.standing(7) == "durable"


def test_a_refused_number_holds_acks_until_it_is_kept_and_may_then_be_sent_well() -> None:
    ledger = StreamLedger()
    pending = ledger.open()
    ledger.hold(pending, 0)
    good = group(ledger, 1)
    ledger.resolve(good)
    assert ledger.held
    assert ledger.ackable() is None
    ledger.resolve(pending, rejected=True)
    assert ledger.ackable() == 1
    assert ledger.standing(0) == "new"
    assert ledger.next_seq() == 2


def test_the_server_numbers_on_behind_everything_that_was_ever_there() -> None:
    assert StreamLedger().next_seq() == 0
    assert StreamLedger(RangeSet([(3, 4)]), RangeSet([(8, 8)])).next_seq() == 9


def test_a_run_arrives_as_one_and_is_new_only_as_a_whole() -> None:
    ledger = StreamLedger()
    pending = ledger.open()
    ledger.arrive_run(pending, 10, 19)
    assert not ledger.is_new(19, 25)
    assert ledger.is_new(20, 25)
    assert ledger.prev_of(15) == 14
    assert ledger.prev_of(10) is None
    ledger.resolve(pending)
    assert ledger.ackable() == 19


def test_memory_is_bounded_for_a_producer_that_leaves_a_gap_after_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_MAX_GAPS", 10)
    ledger = StreamLedger()
    waiting = group(ledger, 101)
    for seq in range(0, 400, 2):
        ledger.resolve(group(ledger, seq))
    assert ledger.standing(1) == "durable"  # a gap so old is closed
    assert ledger.standing(101) == "pending"  # what is under way is never taken for durable
    ledger.resolve(waiting)
    ledger.resolve(group(ledger, 400))
    assert len(ledger.durable) <= 21
    assert ledger.ackable() == 400
    assert ledger.standing(399) == "new"


@dataclass
class Life:
    """A producer whose messages arrive in order and are committed in any order, and what the database then holds."""

    ledger: StreamLedger = field(default_factory=StreamLedger)
    under_way: list[tuple[Pending, list[LedgerEntry], bool]] = field(default_factory=list)
    written: list[LedgerEntry] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)
    durable: set[int] = field(default_factory=set)
    acks: list[int] = field(default_factory=list)

    def take(self, seqs: list[int], *, bad: bool) -> None:
        """A block of these numbers, or a refused message of the first, begins its way."""
        pending = self.ledger.open()
        if bad:
            prev = self.ledger.prev_of(seqs[0])
            self.ledger.hold(pending, seqs[0])
            self.under_way.append((pending, [LedgerEntry(seqs[0], seqs[0], prev)], True))
            return
        for seq in seqs:
            self.ledger.arrive(pending, seq)
        self.arrived |= set(seqs)
        prevs = [self.ledger.prev_of(seqs[0]), *(last for _, last in pending.seqs)]
        entries = [LedgerEntry(a, b, prev) for (a, b), prev in zip(pending.seqs, prevs, strict=False)]
        self.under_way.append((pending, entries, False))

    def commit(self, at: int) -> None:
        pending, entries, bad = self.under_way.pop(at % len(self.under_way))
        self.written += entries
        if not bad:
            self.durable |= {seq for e in entries for seq in range(e.first, e.last + 1)}
        self.ledger.resolve(pending, rejected=bad)
        acked = self.ledger.ackable()
        if acked is not None:
            self.acks.append(acked)
            assert {seq for seq in self.arrived if seq <= acked} <= self.durable


@given(st.data())
def test_acks_never_go_back_and_a_crash_at_any_moment_forgets_none_and_covers_nothing_lost(data: st.DataObject) -> None:
    life, seq = Life(), data.draw(st.integers(0, 3))
    for _ in range(data.draw(st.integers(0, 25))):
        if life.under_way and data.draw(st.booleans()):
            life.commit(data.draw(st.integers(0, 30)))
            continue
        steps = data.draw(st.lists(st.sampled_from((1, 1, 1, 2, 5)), min_size=1, max_size=4))
        seqs = [seq := seq + step for step in steps]
        life.take(seqs, bad=data.draw(st.integers(0, 5)) == 0)
    assert life.acks == sorted(life.acks)
    found = frontier(data.draw(st.permutations(life.written)))
    lost = life.arrived - life.durable
    assert found is not None or not life.acks
    if found is not None:
        assert found >= max(life.acks, default=-1)
        assert all(seq > found for seq in lost)
        # What was folded up before counts as seen.
        folded = max(life.acks, default=None)
        assert frontier(life.written, folded) == found


def test_a_later_look_goes_on_where_the_earlier_one_ended() -> None:
    entries = [LedgerEntry(4, 6, 3), LedgerEntry(8, 8, 6), LedgerEntry(12, 12, 10)]
    assert frontier(entries) is None
    assert frontier(entries, 3) == 8
    assert frontier(entries, 10) == 12
    assert frontier([], 7) == 7
