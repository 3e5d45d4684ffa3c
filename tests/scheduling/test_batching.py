"""How many frames go into a call: by what calls cost, and what is left of the target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manual_clock import ManualClock

from datamanager.inference.batching import BatchPlanner


def planner(max_batch: int = 32, target_s: float = 0.1, clock: ManualClock | None = None) -> BatchPlanner:
    return BatchPlanner(clock or ManualClock(), max_batch, target_s)


def learned(a: float, b: float, *, max_batch: int = 32, target_s: float = 0.1) -> BatchPlanner:
    made = planner(max_batch, target_s)
    for n in (1, 2, 4, 8, 16, max_batch) * 10:
        made.observed(n, a + b * n)
    return made


@given(st.floats(0.0, 0.05), st.floats(1e-4, 0.05))
def test_it_learns_what_calls_cost(a: float, b: float) -> None:
    made = learned(a, b)
    for n in (1, 8, 32):
        assert made.seconds(n) == pytest.approx(a + b * n, rel=0.05, abs=1e-3)


def test_it_follows_a_model_that_becomes_slower() -> None:
    made = learned(0.002, 0.001)
    for n in (1, 2, 4, 8) * 30:
        made.observed(n, 0.02 + 0.01 * n)
    assert made.seconds(4) == pytest.approx(0.06, rel=0.1)


def test_calls_of_one_size_alone_say_what_that_size_costs() -> None:
    made = planner()
    for _ in range(200):
        made.observed(4, 0.02)
    assert made.seconds(4) == pytest.approx(0.02, rel=0.05)


def test_senseless_readings_are_left_out() -> None:
    made = planner()
    before = made.cost
    made.observed(0, 1.0)
    made.observed(3, 0.0)
    made.observed(3, -1.0)
    assert made.cost == before


def test_nothing_waits_nothing_is_taken() -> None:
    assert planner().plan(0, 0.0).take == 0
    assert planner().size(0, 0.0) == 0


def test_what_waits_is_taken_at_once() -> None:
    plan = learned(0.002, 0.001).plan(3, 0.0)
    assert (plan.take, plan.wait_s) == (3, 0.0)


@pytest.mark.parametrize(("waiting", "take"), [(31, 31), (32, 32), (33, 32), (1000, 32)])
def test_never_more_than_the_model_takes(waiting: int, take: int) -> None:
    assert learned(0.001, 0.0005).plan(waiting, 0.0).take == take


def test_a_batch_is_what_fits_into_the_time_that_is_left() -> None:
    made = learned(0.01, 0.005)  # of 0.1 s, 18 frames fit into all of it, 8 into half
    assert made.plan(20, 0.0).take in (17, 18)
    assert made.plan(10, 0.05).take in (7, 8)


def test_when_it_is_too_late_for_the_oldest_it_is_in_time_for_those_that_come() -> None:
    made = learned(0.01, 0.005)
    assert made.plan(10, 5.0).take in (7, 8)
    assert made.plan(1000, 5.0).take in (17, 18)  # they pile up: larger batches get through more


def test_one_frame_is_taken_though_it_cannot_be_in_time() -> None:
    assert learned(0.5, 0.5).plan(4, 0.0).take == 1
    assert learned(0.5, 0.5).plan(4, 9.0).take == 1


def test_only_a_busy_device_is_worth_waiting_for_more() -> None:
    made = learned(0.002, 0.001)
    assert made.plan(2, 0.0, load=0.85).take == 2
    plan = made.plan(2, 0.0, load=0.86)
    assert plan.take == 0
    assert 0 < plan.wait_s <= 0.025
    assert made.plan(2, 0.025, load=1.0).take == 2  # it waited long enough
    assert made.plan(32, 0.0, load=1.0).take == 32  # it is full
    assert made.size(2, 0.0, load=1.0) == 1


def test_an_out_of_memory_halves_the_batch_until_one_is_too_much() -> None:
    made = learned(0.001, 0.0005)
    limits = []
    n = 32
    while made.shrink(n):
        limits.append(made.limit)
        n = made.limit
    assert limits == [16, 8, 4, 2, 1]
    assert made.limit == 1
    assert not made.shrink(1)


def test_it_halves_what_failed_and_not_what_it_would_have_liked() -> None:
    made = planner(32)
    made.shrink(5)
    assert made.limit == 2


def test_a_halved_batch_grows_again_and_waits_longer_after_each_failure() -> None:
    clock = ManualClock()
    made = planner(32, clock=clock)
    made.shrink(32)
    clock.advance(29.9)
    assert made.limit == 16
    clock.advance(0.2)
    assert made.limit == 32
    made.shrink(32)
    clock.advance(59.9)
    assert made.limit == 16
    clock.advance(0.2)
    assert made.limit == 32


def test_after_a_long_time_without_failure_it_begins_anew() -> None:
    clock = ManualClock()
    made = planner(32, clock=clock)
    for _ in range(3):
        made.shrink(32)
    clock.advance(3600)
    assert made.limit == 32
    made.shrink(32)
    clock.advance(30)
    assert made.limit == 32


@given(
    st.floats(0.0005, 0.02),
    st.floats(0.0005, 0.01),
    st.floats(0.1, 0.8),
    st.integers(1, 64),
)
def test_while_a_model_can_keep_up_frames_make_the_target(a: float, b: float, load: float, max_batch: int) -> None:
    """Frames come at a part of what one by one can be done: the wait and the call together stay within the target."""
    target_s = 4 * (a + b)
    waits = simulated(planner(max_batch, target_s), a, b, gap_s=(a + b) / load, frames=300)
    assert max(waits[50:]) <= target_s


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_above_what_single_frames_allow_batches_keep_the_target(factor: int) -> None:
    """More frames come than could be done one by one: with the batches that the target allows they are done in time."""
    a, b = 0.010, 0.001
    waits = simulated(planner(64, 0.1), a, b, gap_s=(a + b) / factor, frames=2000)
    assert sorted(waits[200:])[int(0.95 * 1800)] <= 0.1


def simulated(made: BatchPlanner, a: float, b: float, *, gap_s: float, frames: int) -> list[float]:
    """From arrival to the end of its call, of each frame, in seconds; one call at a time, a new one as soon as it can be."""
    now_s, done, waits = 0.0, 0, []
    while done < frames:
        arrived = min(frames, int(now_s / gap_s + 1e-6) + 1)
        if arrived == done:
            now_s = done * gap_s
            continue
        plan = made.plan(arrived - done, now_s - done * gap_s)
        if not plan.take:
            now_s += plan.wait_s
            continue
        seconds = a + b * plan.take
        now_s += seconds
        made.observed(plan.take, seconds)
        waits += [now_s - n * gap_s for n in range(done, done + plan.take)]
        done += plan.take
    return waits
