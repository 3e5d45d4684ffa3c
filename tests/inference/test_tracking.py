"""Ids stay with their objects."""

import json
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.inference.tracking import TrackBox, Tracker, TrackOptions

STEP_NS = 40_000_000  # 25 frames a second


def at(x: float, y: float, side: float = 40, *, score: float = 0.9, class_id: int = 0) -> TrackBox:
    return TrackBox((x - side / 2, y - side / 2, x + side / 2, y + side / 2), score, class_id)


def follow(tracker: Tracker, frames: Sequence[Sequence[TrackBox]], first: int = 0) -> list[list[int]]:
    return [tracker.update((first + n) * STEP_NS, boxes) for n, boxes in enumerate(frames)]


def test_an_object_keeps_its_id_and_others_get_their_own() -> None:
    ids = follow(Tracker(), [[at(100 + 5 * n, 100), at(400 - 5 * n, 300)] for n in range(30)])
    assert ids == [[1, 2]] * 30


def test_ids_follow_the_boxes_and_not_their_order() -> None:
    tracker = Tracker()
    assert tracker.update(0, [at(100, 100), at(300, 100)]) == [1, 2]
    assert tracker.update(STEP_NS, [at(302, 100), at(102, 100)]) == [2, 1]


def test_objects_that_cross_keep_their_ids() -> None:
    """They overlap wholly in the midst: their velocities tell them apart."""
    frames = [[at(100 + 10 * n, 200), at(500 - 10 * n, 210)] for n in range(41)]
    assert follow(Tracker(), frames) == [[1, 2]] * 41


def test_an_object_hidden_for_half_a_second_comes_back_under_its_id() -> None:
    tracker = Tracker()
    follow(tracker, [[at(100 + 8 * n, 100)] for n in range(20)])
    for n in range(20, 32):
        assert tracker.update(n * STEP_NS, []) == []
    assert tracker.update(32 * STEP_NS, [at(100 + 8 * 32, 100)]) == [1]


@pytest.mark.parametrize(("gap_ns", "number"), [(999_999_999, 1), (1_000_000_000, 1), (1_000_000_001, 2)])
def test_a_track_ends_after_the_longest_gap(gap_ns: int, number: int) -> None:
    tracker = Tracker(TrackOptions(max_gap_s=1.0))
    tracker.update(0, [at(100, 100)])
    assert tracker.update(gap_ns, [at(100, 100)]) == [number]


def test_a_weak_box_keeps_a_track_alive_but_does_not_take_it_from_a_strong_one() -> None:
    tracker = Tracker()
    assert tracker.update(0, [at(100, 100)]) == [1]
    assert tracker.update(STEP_NS, [at(102, 100, score=0.3)]) == [1]
    assert tracker.update(2 * STEP_NS, [at(104, 100, score=0.3), at(112, 100)]) == [2, 1]


def test_tracks_are_of_one_class() -> None:
    tracker = Tracker()
    assert tracker.update(0, [at(100, 100, class_id=0)]) == [1]
    assert tracker.update(STEP_NS, [at(100, 100, class_id=1)]) == [2]
    assert tracker.update(2 * STEP_NS, [at(100, 100, class_id=0)]) == [1]


def test_what_moves_further_than_its_own_size_is_still_followed() -> None:
    assert follow(Tracker(), [[at(100 + 45 * n, 100)] for n in range(10)]) == [[1]] * 10


def test_what_appears_elsewhere_is_somebody_else() -> None:
    tracker = Tracker()
    tracker.update(0, [at(100, 100)])
    assert tracker.update(STEP_NS, [at(400, 100)]) == [2]


def test_a_frame_of_an_earlier_time_breaks_nothing() -> None:
    tracker = Tracker()
    tracker.update(10 * STEP_NS, [at(100, 100)])
    assert tracker.update(3 * STEP_NS, [at(101, 100)]) == [1]
    assert tracker.update(11 * STEP_NS, [at(102, 100)]) == [1]


@pytest.mark.parametrize(("count", "kept"), [(9, 9), (10, 10), (11, 10)])
def test_no_more_tracks_are_kept_than_are_allowed(count: int, kept: int) -> None:
    tracker = Tracker(TrackOptions(max_tracks=10))
    tracker.update(0, [at(100 * n, 100) for n in range(count)])
    assert len(tracker.state()["tracks"]) == kept


SCENES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0.3, 0.9]), st.integers(0, 1)), max_size=6
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=60)
@given(scenes=SCENES, cut=st.integers(1, 11))
def test_a_tracker_that_is_restored_goes_on_as_if_it_had_not_been_cut(
    scenes: list[list[tuple[int, int, float, int]]], cut: int
) -> None:
    frames = [[at(x, y, score=score, class_id=number) for x, y, score, number in scene] for scene in scenes]
    whole = Tracker()
    uninterrupted = follow(whole, frames)
    first, second = Tracker(), Tracker()
    before = follow(first, frames[:cut])
    second.restore(json.loads(json.dumps(first.state())))
    after = follow(second, frames[cut:], first=cut)
    assert before + after == uninterrupted
    assert second.state() == whole.state()


@settings(max_examples=60)
@given(scenes=SCENES)
def test_no_two_boxes_of_a_frame_have_one_id(scenes: list[list[tuple[int, int, float, int]]]) -> None:
    ids = follow(Tracker(), [[at(x, y, score=s, class_id=c) for x, y, s, c in scene] for scene in scenes])
    assert all(len(set(numbers)) == len(numbers) for numbers in ids)
    assert all(number > 0 for numbers in ids for number in numbers)


@pytest.mark.parametrize("state", [{}, {"next": 1}, {"next": "x", "tracks": []}, {"next": 1, "tracks": [{"id": 1}]}])
def test_what_is_no_state_is_refused(state: dict[str, object]) -> None:
    with pytest.raises(Refused, match="no state of a tracker"):
        Tracker().restore(state)


def test_twenty_walkers_seen_with_noise_and_gaps_keep_their_ids() -> None:
    """Of steps in which a walker is seen twice running, nearly all keep the id."""
    random = np.random.default_rng(7)
    places, speeds = random.uniform(0, 1800, (20, 2)), random.uniform(-4, 4, (20, 2))
    tracker, history = Tracker(), [[] for _ in range(20)]
    for n in range(150):
        places = places + speeds
        seen = [who for who in range(20) if random.random() > 0.1]
        boxes = [at(*(places[who] + random.normal(0, 1.5, 2)), 60, score=random.uniform(0.3, 1)) for who in seen]
        for who, number in zip(seen, tracker.update(n * STEP_NS, boxes), strict=True):
            history[who].append(number)
    changes = sum(a != b for numbers in history for a, b in pairwise(numbers))
    assert changes <= 5  # of about 2,700


@pytest.mark.alone
def test_three_hundred_boxes_take_less_than_five_milliseconds() -> None:
    random = np.random.default_rng(0)
    places = random.uniform(0, 1900, (300, 2))
    tracker, took_s = Tracker(), []
    for n in range(30):
        boxes = [at(x, y, class_id=k % 4) for k, (x, y) in enumerate(places + random.normal(0, 2, (300, 2)))]
        started = time.process_time()
        tracker.update(n * STEP_NS, boxes)
        took_s.append(time.process_time() - started)
    assert np.median(took_s[1:]) < 5e-3
