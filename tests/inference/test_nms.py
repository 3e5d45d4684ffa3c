"""Of boxes that show one object, the best one stays."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datamanager.inference.nms import iou_matrix, suppress

SIDE = st.integers(0, 60)
BOX = st.tuples(SIDE, SIDE, SIDE, SIDE).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
SEEN = st.lists(st.tuples(BOX, st.integers(0, 20).map(lambda n: n / 20), st.integers(0, 3)), max_size=60)


def naive_iou(a: Sequence[float], b: Sequence[float]) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across * down
    return across * down / total if total > 0 else 0.0


def naive_nms(seen: list[tuple[tuple[int, ...], float, int]], iou: float, most: int) -> list[int]:
    kept: list[int] = []
    for n in sorted(range(len(seen)), key=lambda n: -seen[n][1]):
        if all(seen[m][2] != seen[n][2] or naive_iou(seen[m][0], seen[n][0]) <= iou for m in kept):
            kept.append(n)
    return kept[:most]


@given(seen=SEEN, iou=st.floats(0, 1), most=st.integers(1, 30))
def test_the_same_boxes_stay_as_in_two_plain_loops(
    seen: list[tuple[tuple[int, ...], float, int]], iou: float, most: int
) -> None:
    boxes = np.array([box for box, _, _ in seen], np.float64).reshape(-1, 4)
    scores = np.array([score for _, score, _ in seen], np.float32)
    classes = np.array([number for _, _, number in seen], np.int64)
    assert suppress(boxes, scores, classes, iou=iou, most=most).tolist() == naive_nms(seen, iou, most)


@given(some=st.lists(BOX, max_size=40), others=st.lists(BOX, max_size=5))
def test_overlaps_are_those_of_plain_arithmetic(some: list[tuple[int, ...]], others: list[tuple[int, ...]]) -> None:
    found = iou_matrix(np.array(some, np.float64).reshape(-1, 4), np.array(others, np.float64).reshape(-1, 4))
    assert found.shape == (len(some), len(others))
    assert np.allclose(found.ravel(), [naive_iou(a, b) for a in some for b in others])


def test_crowds_come_to_the_same_as_in_two_plain_loops() -> None:
    """Large enough for several rounds, and for none of them to settle it all."""
    random = np.random.default_rng(4)
    low = random.integers(0, 300, (900, 2))
    boxes = np.concatenate([low, low + random.integers(1, 60, (900, 2))], axis=1)
    scores, classes = random.integers(0, 500, 900) / 500, random.integers(0, 2, 900)
    seen = [(tuple(box), score, number) for box, score, number in zip(boxes.tolist(), scores, classes, strict=True)]
    for most in (100, 300, 900):
        kept = suppress(boxes.astype(np.float64), scores, classes, iou=0.3, most=most)
        assert kept.tolist() == naive_nms(seen, 0.3, most)
    assert 300 < len(naive_nms(seen, 0.3, 900)) < 900


def test_more_boxes_than_are_compared_still_leave_the_best_ones() -> None:
    count = 6000
    left = np.arange(count) * 10.0
    boxes = np.stack([left, left * 0, left + 5, left * 0 + 5], axis=1)
    kept = suppress(boxes, np.linspace(0, 1, count), np.zeros(count, np.int64), iou=0.5, most=300)
    assert kept.tolist() == list(range(count - 1, count - 301, -1))
