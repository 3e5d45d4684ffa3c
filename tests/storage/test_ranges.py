"""A set of ranges is the set of its integers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from datamanager.storage.ranges import RangeSet

Pairs = list[tuple[int, int]]
PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=25)


def members(pairs: Pairs) -> set[int]:
    return {value for first, last in pairs for value in range(first, last + 1)}


@given(PAIRS)
def test_it_holds_what_was_added_as_sorted_ranges_that_do_not_touch(pairs: Pairs) -> None:
    found = RangeSet(pairs)
    model = members(pairs)
    assert {value for value in range(-2, 60) if value in found} == model
    assert members(list(found)) == model
    ranges = list(found)
    assert len(found) == len(ranges)
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(ranges))
    assert found.highest == max(model, default=None)
    assert found == RangeSet(reversed(pairs))


@given(PAIRS, st.integers(-2, 60), st.integers(0, 20))
def test_floor_and_common_are_those_of_the_set(pairs: Pairs, at: int, length: int) -> None:
    found, model = RangeSet(pairs), members(pairs)
    assert found.floor(at) == max((v for v in model if v <= at), default=None)
    assert members(found.common(at, at + length)) == model & set(range(at, at + length + 1))


@given(PAIRS, st.integers(-2, 50), st.integers(0, 12))
def test_what_is_removed_is_gone_and_nothing_else(pairs: Pairs, first: int, length: int) -> None:
    found = RangeSet(pairs)
    found.remove(first, first + length)
    assert found == RangeSet((v, v) for v in members(pairs) - set(range(first, first + length + 1)))


@given(PAIRS, st.integers(1, 5), st.integers(0, 60))
def test_closing_gaps_adds_only_what_lies_between_members_and_under_the_bound(
    pairs: Pairs, most: int, below: int
) -> None:
    found, model = RangeSet(pairs), members(pairs)
    found.close_gaps(most, below)
    after = members(list(found))
    assert model <= after
    assert all(min(model) < value < below for value in after - model)
    free = RangeSet(pairs)
    free.close_gaps(most)
    assert len(free) <= most
    assert free.highest == max(model, default=None)


def test_numbers_up_to_the_largest_there_is_are_kept() -> None:
    top = 2**63 - 1
    found = RangeSet([(top - 1, top)])
    found.add(0, 0)
    assert top in found
    assert list(found) == [(0, 0), (top - 1, top)]
