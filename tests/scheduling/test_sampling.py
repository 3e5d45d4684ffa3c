"""How many frames are looked at: evenly spread, fewer while behind, all of them again after."""

import itertools
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.inference.sampling import AdaptiveRate, FramePicker, Lag, ShedRate

SECOND = 1_000_000_000
BEHIND, FINE = Lag(10, 2.0), Lag(10, 0.1)


@pytest.fixture
def rate() -> AdaptiveRate:
    return AdaptiveRate(target_s=1.0, max_waiting=100)


@pytest.mark.parametrize(
    ("lag", "is_behind"),
    [
        (Lag(5, 0.999), False),
        (Lag(5, 1.0), False),
        (Lag(5, 1.001), True),
        (Lag(99, 0.0), False),
        (Lag(100, 0.0), False),
        (Lag(101, 0.0), True),
        (Lag(0, 9.0), False),
    ],
)
def test_a_queue_is_behind_from_its_bounds_on(rate: AdaptiveRate, lag: Lag, is_behind: bool) -> None:
    rate.observe({"normal": lag})
    assert (rate.fraction("normal") < 1) == is_behind


def test_it_falls_by_a_factor_to_its_least_and_grows_by_steps_to_all(rate: AdaptiveRate) -> None:
    seen = [rate.fraction("normal")]
    for lag in [BEHIND] * 20 + [FINE] * 20:
        rate.observe({"normal": lag})
        seen.append(rate.fraction("normal"))
    assert seen[1] / seen[0] == pytest.approx(seen[2] / seen[1]) == pytest.approx(0.7)
    assert min(seen) == seen[20] == 0.02
    assert seen[21] - seen[20] == pytest.approx(seen[22] - seen[21]) == pytest.approx(0.05)
    assert seen[-1] == 1.0


def test_the_least_important_is_cut_first_and_recovers_last(rate: AdaptiveRate) -> None:
    order = []
    urgencies = ("normal", "high", "emergency")
    for _ in range(40):
        before = [rate.fraction(u) for u in urgencies]
        rate.observe(dict.fromkeys(urgencies, BEHIND))
        order += [u for u, was in zip(urgencies, before, strict=True) if rate.fraction(u) < was]
    assert [u for n, u in enumerate(order) if n == 0 or order[n - 1] != u] == list(urgencies)
    for _ in range(20):
        rate.observe({})
    assert (rate.fraction("emergency"), rate.fraction("normal")) == (1.0, 0.02)
    for _ in range(40):
        rate.observe({})
    assert [rate.fraction(u) for u in urgencies] == [1.0, 1.0, 1.0]


def test_a_queue_that_is_behind_does_not_cut_what_matters_more(rate: AdaptiveRate) -> None:
    for _ in range(50):
        rate.observe({"normal": BEHIND, "high": FINE, "emergency": FINE})
    assert [rate.fraction(u) for u in ("normal", "high", "emergency")] == [0.02, 1.0, 1.0]


def test_what_nobody_asks_for_is_not_cut_in_another_ones_place(rate: AdaptiveRate) -> None:
    rate.observe({"normal": Lag(0, 0), "high": BEHIND})
    assert (rate.fraction("normal"), rate.fraction("high")) == (1.0, 0.7)


@pytest.mark.parametrize("load", [1.5, 2.0, 5.0])
def test_under_too_much_load_the_wait_stays_bounded_and_the_capacity_is_used(load: float) -> None:
    """A queue that takes 100 frames a second is offered more, for a minute, in steps of a look each."""
    rate, waiting, waits, done = AdaptiveRate(target_s=0.5, max_waiting=10_000), 0.0, [], 0.0
    for _ in range(240):
        waiting += 25 * load * rate.fraction("normal")
        taken = min(waiting, 25)
        waiting, done = waiting - taken, done + taken
        waits.append(waiting / 100)
        rate.observe({"normal": Lag(int(waiting), waiting / 100)})
    assert max(waits[80:]) < 1.5
    assert done > 0.85 * 240 * 25


@pytest.mark.parametrize(("fps", "max_fps"), [(30, 30), (30, 10), (30, 7), (25, 24), (60, 1), (29.97, 30)])
@pytest.mark.parametrize("jitter_ns", [0, 3_000_000])
def test_as_many_a_second_as_are_wanted_though_times_jitter(fps: float, max_fps: float, jitter_ns: int) -> None:
    picker = FramePicker(max_fps)
    times = [round(n * SECOND / fps) + (jitter_ns if n % 3 else -jitter_ns) for n in range(1, int(fps * 20))]
    kept = [t for t in times if picker.is_due(t)]
    assert len(kept) == pytest.approx(min(fps, max_fps) * 20, rel=0.02, abs=2)


def test_without_a_limit_every_frame_is_due() -> None:
    picker = FramePicker(0)
    assert all(picker.is_due(t) for t in (5, 5, 4, 0))


def test_what_is_kept_is_spread_evenly() -> None:
    picker = FramePicker(10)
    kept = [n for n in range(300) if picker.is_due(round(n * SECOND / 30))]
    assert {b - a for a, b in itertools.pairwise(kept)} == {3}


def test_after_a_pause_there_is_no_burst() -> None:
    picker = FramePicker(1)
    assert picker.is_due(0)
    hour = 3600 * SECOND
    assert [picker.is_due(hour + n * SECOND // 100) for n in range(25)] == [True] + [False] * 24


def test_a_frame_that_comes_late_counts_as_if_it_came_now() -> None:
    picker = FramePicker(1)
    assert picker.is_due(10 * SECOND)
    assert not picker.is_due(2 * SECOND)
    assert picker.is_due(11 * SECOND)
    assert not picker.is_due(3 * SECOND)


def test_a_clock_that_was_set_back_begins_anew() -> None:
    picker = FramePicker(1)
    assert picker.is_due(3600 * SECOND)
    assert picker.is_due(0)
    assert not picker.is_due(SECOND // 2)


@given(st.lists(st.integers(0, 20 * SECOND), max_size=200), st.floats(0.1, 100))
def test_never_more_than_the_limit_in_any_span(times: list[int], max_fps: float) -> None:
    picker = FramePicker(max_fps)
    kept = [t for t in sorted(times) if picker.is_due(t)]
    for first in range(len(kept)):
        for last in range(first, len(kept)):
            span_s = (kept[last] - kept[first]) / SECOND
            assert last - first + 1 <= max_fps * span_s + 2 + 1e-6


@given(st.floats(0.02, 1.0), st.integers(1, 500))
def test_the_fraction_is_kept_to_a_frame(fraction: float, count: int) -> None:
    picker = FramePicker(0)
    kept = [n for n in range(count) if picker.keeps(fraction)]
    assert abs(len(kept) - fraction * count) <= 1
    gaps = {b - a for a, b in itertools.pairwise(kept)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_all_are_kept_of_all() -> None:
    picker = FramePicker(0)
    assert all(picker.keeps(1.0) for _ in range(100))


def test_a_rule_is_cut_by_the_part_that_was_shed_in_a_whole_look() -> None:
    rate = ShedRate(looks=4)
    rate.observe({"a": 500, "b": 500}, {})  # since when is not known
    rate.observe({"a": 501, "b": 500}, {"a": 30, "b": 30})  # it began within this look
    assert (rate.fraction("a"), rate.fraction("b")) == (1.0, 1.0)
    rate.observe({"a": 513, "b": 500, "c": 7}, {"a": 60, "b": 60, "c": 60})
    assert (rate.fraction("a"), rate.fraction("b"), rate.fraction("c")) == (pytest.approx(0.6), 1.0, 1.0)


def test_what_was_asked_before_a_cut_is_not_cut_for_again() -> None:
    rate = ShedRate(looks=4)
    seen = []
    for n in range(1, 9):
        rate.observe({"a": 10 * n}, {"a": 20 * n})
        seen.append(rate.fraction("a"))
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]  # the look after the wait is the first of the next cut
    rate.observe({"a": 90}, {"a": 180})
    assert rate.fraction("a") == 0.25


@pytest.mark.parametrize(("part", "factor"), [(0.01, 0.95), (0.2, 0.8), (0.5, 0.5), (0.9, 0.5), (30.0, 0.5)])
def test_no_cut_is_deeper_than_half_nor_too_small_to_matter(part: float, factor: float) -> None:
    rate = ShedRate(looks=4)
    for n in range(3):
        rate.observe({"a": round(100 * part) * n}, {"a": 100 * n})
    assert rate.fraction("a") == pytest.approx(factor)


def test_shed_rates_have_a_least_and_recover() -> None:
    rate = ShedRate(looks=0)
    for n in range(100):
        rate.observe({"a": n}, {"a": n})
    assert rate.fraction("a") == 0.02
    rate.observe({"a": 99}, {"a": 99})
    rate.observe({"a": 99}, {"a": 99})
    assert rate.fraction("a") == pytest.approx(0.025)
    for _ in range(90):
        rate.observe({"a": 99}, {"a": 99})
    assert rate.fraction("a") == 1.0


def test_where_only_others_ask_a_count_cuts_little() -> None:
    rate = ShedRate(looks=4)
    for n in range(3):
        rate.observe({"a": 50 * n}, {})
    assert rate.fraction("a") == 0.95


def test_a_count_that_begins_anew_is_no_shedding() -> None:
    rate = ShedRate(looks=0)
    rate.observe({"a": 500}, {})
    rate.observe({}, {})
    rate.observe({"a": 0}, {})
    assert rate.fraction("a") == 1.0
    rate.observe({"a": 4}, {"a": 8})
    rate.observe({"a": 8}, {"a": 16})
    assert rate.fraction("a") == 0.5


class Worker:
    """Looks at so many frames a second, sheds what is a second old, and has room for 32."""

    def __init__(self) -> None:
        self.waiting: deque[float] = deque()
        self.done = self.shed = 0
        self.credit = 0.0

    def ask(self, now_s: float) -> None:
        if len(self.waiting) >= 32:
            self.shed += 1
        else:
            self.waiting.append(now_s)

    def work(self, now_s: float, capacity: float, step_s: float) -> None:
        while self.waiting and now_s - self.waiting[0] > 1.0:
            self.waiting.popleft()
            self.shed += 1
        self.credit += capacity * step_s
        while self.credit >= 1:
            self.credit -= 1
            if self.waiting:
                self.waiting.popleft()
                self.done += 1


@pytest.mark.parametrize("capacity", [100.0, 72.0, 36.0, 20.0])
def test_a_camera_of_120_frames_is_looked_at_nearly_as_often_as_can_be(capacity: float) -> None:
    done, shed = simulated(lambda _: capacity, seconds=30)
    assert done[5:15] > 0.85 * 10 * capacity  # soon
    assert done[15:30] > 0.85 * 15 * capacity
    assert shed[5:30] < 0.15 * 25 * capacity  # and little of it is asked in vain


def test_it_follows_a_worker_that_is_half_as_fast_for_a_while() -> None:
    done, shed = simulated(lambda now_s: 40.0 if 15 <= now_s < 30 else 80.0, seconds=45)
    assert done[20:30] > 0.85 * 10 * 40
    assert done[35:45] > 0.85 * 10 * 80
    assert shed[20:30] < 0.1 * 10 * 40


class Between:
    """Differences of a count that was noted each second."""

    def __init__(self, noted: list[int]) -> None:
        self._noted = noted

    def __getitem__(self, seconds: slice) -> int:
        return self._noted[seconds.stop] - self._noted[seconds.start]


def simulated(capacity: Callable[[float], float], *, seconds: int, fps: float = 120.0) -> tuple[Between, Between]:
    """A camera, a policy that looks four times a second and hears of sheds a look later, and a worker; what was done and shed."""
    rate, picker, worker = ShedRate(looks=5), FramePicker(0), Worker()
    asked, heard = 0, [0, 0]
    done, shed = [0], [0]
    for n in range(1, round(seconds * fps) + 1):
        now_s = n / fps
        if picker.keeps(rate.fraction("a")):
            asked += 1
            worker.ask(now_s)
        worker.work(now_s, capacity(now_s), 1 / fps)
        if n % round(fps / 4) == 0:
            heard.append(worker.shed)
            rate.observe({"a": heard[-2]}, {"a": asked})
        if n % round(fps) == 0:
            done.append(worker.done)
            shed.append(worker.shed)
    return Between(done), Between(shed)
