"""An ack promises only what is durable, never goes back, and survives a crash at any moment."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.ingest import ledger as ledger_module
from datamanager.ingest.ledger import Pending, StreamLedger
from datamanager.ingest.reading import Reading
from datamanager.storage.mongo import Document
from datamanager.storage.ranges import RangeSet
from datamanager.storage.telemetry import BlockHeader

EMPTY: Document = {"folded_before": 0, "folded": [], "stamp": "", "streams": []}


def block(first: int, last: int, prev: int | None) -> BlockHeader:
    """The header of a block of one range."""
    return blocks([(first, last)], [prev])


def blocks(seqs: list[tuple[int, int]], prevs: list[int | None]) -> BlockHeader:
    """The header of a block of some ranges."""
    n = sum(last - first + 1 for first, last in seqs)
    name = f"{seqs}"
    return BlockHeader(name, "s", 0, 9, n, "p", tuple(seqs), tuple(prevs), False, 10 * n, "", n, 7)


def reopened(
    headers: list[BlockHeader], letters: list[Document] | None = None, ledger: Document = EMPTY
) -> StreamLedger:
    """The ledger of stream `s` as it is read after a crash."""
    reading = Reading(ledger, headers, [], letters or [])
    return reading.ledgers(reading.tally()).get("s", StreamLedger())


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
    monkeypatch.setattr(ledger_module, "MAX_GAPS", 10)
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
    under_way: list[tuple[Pending, BlockHeader | Document]] = field(default_factory=list)
    written: list[BlockHeader] = field(default_factory=list)
    letters: list[Document] = field(default_factory=list)
    arrived: set[int] = field(default_factory=set)
    durable: set[int] = field(default_factory=set)
    acks: list[int] = field(default_factory=list)

    def take(self, seqs: list[int], *, bad: bool) -> None:
        """A block of these numbers, or a refused message of the first, begins its way."""
        pending = self.ledger.open()
        if bad:
            prev = self.ledger.prev_of(seqs[0])
            self.ledger.hold(pending, seqs[0])
            self.under_way.append((pending, {"stream": "s", "seq": seqs[0], "prev": prev}))
            return
        for seq in seqs:
            self.ledger.arrive(pending, seq)
        self.arrived |= set(seqs)
        ranges = list(pending.seqs)
        self.under_way.append((pending, blocks(ranges, [self.ledger.prev_of(first) for first, _ in ranges])))

    def commit(self, at: int) -> None:
        pending, what = self.under_way.pop(at % len(self.under_way))
        if isinstance(what, BlockHeader):
            self.written.append(what)
            self.durable |= {seq for first, last in what.seqs for seq in range(first, last + 1)}
        else:
            self.letters.append(what)
        self.ledger.resolve(pending, rejected=not isinstance(what, BlockHeader))
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
    again = reopened(data.draw(st.permutations(life.written)), life.letters)
    lost = life.arrived - life.durable
    assert again.acked is not None or not life.acks
    if again.acked is not None:
        assert again.acked >= max(life.acks, default=-1)
        assert all(seq > again.acked for seq in lost)
    # The robot sends again what is lost: no ack may cover what is still to come.
    for seq in sorted(lost):
        assert again.standing(seq) == "new"
        again.resolve(group(again, seq))
        acked = again.ackable()
        assert acked is None or all(seq >= n or n > acked for n in lost)
    assert not life.arrived or again.ackable() == max([*life.arrived, *(x["seq"] for x in life.letters)])


def test_acks_stop_before_what_a_crash_lost_until_it_comes_again_though_later_numbers_are_durable() -> None:
    ledger = reopened([block(11, 20, 10)])
    assert ledger.acked is None
    ledger.resolve(group(ledger, *range(1, 6)))
    assert ledger.ackable() == 5  # 6 to 10 are on their way again
    ledger.resolve(group(ledger, *range(6, 11)))
    assert ledger.ackable() == 20


def test_what_was_lost_is_given_up_once_its_sender_goes_on_beyond_all_that_is_known() -> None:
    ledger = reopened([block(11, 20, 10)])
    ledger.resolve(group(ledger, 21))
    assert ledger.ackable() == 21


def test_each_range_of_a_block_says_what_came_before_it() -> None:
    first, between = blocks([(1, 5), (11, 15)], [None, 10]), block(6, 10, None)
    assert reopened([first]).acked == 5
    assert reopened([first, between]).acked == 15


def test_what_was_folded_keeps_its_acks_its_totals_and_what_was_expected_then() -> None:
    reading = Reading(EMPTY, [block(4, 6, 3), block(8, 8, 6)], [], [])
    tally = reading.tally()
    tally.fold(8, {})
    folded = EMPTY | {"folded_before": tally.before, "folded": tally.folded_fields()}
    again = reopened([block(12, 12, 8)], ledger=folded)
    assert again.acked is None
    again.resolve(group(again, 3))
    assert again.ackable() == 12
    whole = Reading(folded, [block(12, 12, 8)], [], []).tally()
    assert (whole.totals["s"].records, whole.totals["s"].size_bytes) == (5, 50)


def test_what_is_written_twice_or_in_blocks_with_other_edges_counts_once() -> None:
    tally = Reading(EMPTY, [block(1, 10, None), block(1, 10, None), block(6, 15, 5)], [], []).tally()
    assert tally.totals["s"].records == 15
    assert list(tally.seen["s"]) == [(1, 15)]


def test_what_could_not_be_kept_is_new_again() -> None:
    ledger = StreamLedger()
    lost = group(ledger, 3, 4)
    ledger.resolve(group(ledger, 5))
    ledger.resolve(lost, rejected=True)
    assert [ledger.standing(seq) for seq in (3, 4, 5)] == ["new", "new", "durable"]
    assert ledger.ackable() == 5
