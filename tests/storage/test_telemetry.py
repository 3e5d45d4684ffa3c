"""Blocks by the generations that they were written in."""

import pytest

from datamanager.storage.telemetry import cut_generations


@pytest.mark.parametrize(
    ("generations", "cuts"),
    [
        ([], [9]),
        ([(1, 4)], [9]),
        ([(1, 2), (2, 2)], [9]),
        ([(1, 2), (2, 3)], [2, 9]),
        ([(1, 9)], [9]),
        ([(1, 1), (3, 9), (4, 1), (5, 3), (7, 1)], [3, 4, 7, 9]),
    ],
)
def test_a_part_has_no_more_blocks_than_it_may_unless_one_generation_has(
    generations: list[tuple[int, int]], cuts: list[int]
) -> None:
    assert cut_generations(generations, 9, 4) == cuts
