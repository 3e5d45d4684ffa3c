"""Who belongs to whom, by the largest sum of likenesses."""

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from datamanager.inference.assignment import assign

LIKENESS = st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 10), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


def best_sum(likeness: np.ndarray, least: float) -> float:
    """By trying every pairing."""
    values = np.where(likeness >= least, likeness, 0.0)
    values = values if values.shape[0] <= values.shape[1] else values.T
    return max(
        sum(values[row, column] for row, column in enumerate(order))
        for order in permutations(range(values.shape[1]), values.shape[0])
    )


@settings(max_examples=60)
@given(rows=LIKENESS, least=st.sampled_from([0.1, 0.3, 0.5]))
def test_no_other_pairing_has_a_larger_sum(rows: list[list[int]], least: float) -> None:
    likeness = np.array(rows) / 10
    pairs = assign(likeness, least)
    assert all(likeness[row, column] >= least for row, column in pairs)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert np.isclose(sum(likeness[row, column] for row, column in pairs), best_sum(likeness, least))


def best_sum_of_many(values: np.ndarray) -> float:
    """By the best sum of the first rows for every set of columns that they may take."""
    best = {0: 0.0}
    for row in values:
        following = dict(best)
        for taken, total in best.items():
            for column, value in enumerate(row):
                mark = 1 << column
                if not taken & mark:
                    following[taken | mark] = max(following.get(taken | mark, 0.0), total + value)
        best = following
    return max(best.values())


def test_knots_in_which_many_have_to_give_way_are_solved_too() -> None:
    random = np.random.default_rng(11)
    for _ in range(40):
        likeness = random.integers(1, 100, (7, 8)) / 100
        likeness = likeness.T if random.random() < 0.5 else likeness
        pairs = assign(likeness, 0.01)
        wide = likeness if len(likeness) == 7 else likeness.T
        assert np.isclose(sum(likeness[row, column] for row, column in pairs), best_sum_of_many(wide))


def test_two_good_pairs_go_before_one_better_one() -> None:
    likeness = np.array([[0.9, 0.8], [0.7, 0.0]])
    assert assign(likeness, 0.2) == [(0, 1), (1, 0)]


def test_a_crowd_is_paired_too() -> None:
    """Beyond what is solved exactly, every row still gets its like."""
    size = 200
    likeness = np.full((size, size), 0.3) + np.eye(size)[::-1] * 0.5
    assert assign(likeness, 0.2) == [(n, size - 1 - n) for n in range(size)]
