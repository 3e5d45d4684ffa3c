"""The circuit breaker, on a clock that tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manual_clock import ManualClock

from datamanager.inference.breaker import THRESHOLDS, TROUBLES, Admission, Breaker
from datamanager.inference.host import Trouble


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker(clock, open_s=1.0, max_open_s=8.0, probes=2)


def admitted(breaker: Breaker) -> Admission:
    admission = breaker.admit()
    assert admission is not None
    return admission


def fail(breaker: Breaker, trouble: Trouble, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(admitted(breaker), trouble)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_it_opens_at_the_threshold_of_each_kind_and_not_before(breaker: Breaker, trouble: Trouble) -> None:
    fail(breaker, trouble, THRESHOLDS[trouble] - 1)
    assert breaker.state == "closed"
    fail(breaker, trouble)
    assert breaker.state == "open"
    assert breaker.admit() is None


def test_kinds_are_counted_apart(breaker: Breaker) -> None:
    for trouble in TROUBLES:
        fail(breaker, trouble, THRESHOLDS[trouble] - 1)
    assert breaker.state == "closed"
    assert breaker.status().failures == {trouble: THRESHOLDS[trouble] - 1 for trouble in TROUBLES}


def test_a_success_forgives_what_failed_before(breaker: Breaker) -> None:
    fail(breaker, "other", THRESHOLDS["other"] - 1)
    breaker.succeeded(admitted(breaker))
    fail(breaker, "other", THRESHOLDS["other"] - 1)
    assert breaker.state == "closed"
    assert breaker.status().totals["other"] == 2 * (THRESHOLDS["other"] - 1)


def test_it_is_tried_again_when_the_time_has_come_and_not_before(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "timeout", 2)
    clock.advance(0.999)
    assert breaker.admit() is None
    assert breaker.status().reopens_in_s == pytest.approx(0.001, abs=1e-6)
    clock.advance(0.001)
    assert breaker.state == "half_open"
    assert admitted(breaker).is_probe


def test_one_probe_at_a_time(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "timeout", 2)
    clock.advance(1)
    probe = admitted(breaker)
    assert breaker.admit() is None
    breaker.succeeded(probe)
    assert admitted(breaker).is_probe


def test_good_probes_close_it(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "cuda", 3)
    clock.advance(1)
    breaker.succeeded(admitted(breaker))
    assert breaker.state == "half_open"
    breaker.succeeded(admitted(breaker))
    assert breaker.state == "closed"
    assert not admitted(breaker).is_probe
    assert set(breaker.status().failures.values()) == {0}


def test_a_bad_probe_opens_it_for_twice_as_long_up_to_the_most(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "cuda", 3)
    for expected_s in (1, 2, 4, 8, 8):
        assert breaker.status().reopens_in_s == pytest.approx(expected_s, abs=1e-6)
        clock.advance(expected_s)
        fail(breaker, "other")
    assert breaker.status().opened == 6


def test_once_closed_it_begins_with_the_short_wait_again(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "cuda", 3)
    clock.advance(1)
    fail(breaker, "cuda")
    clock.advance(2)
    for _ in range(2):
        breaker.succeeded(admitted(breaker))
    fail(breaker, "cuda", 3)
    assert breaker.status().reopens_in_s == pytest.approx(1, abs=1e-6)


def test_an_excused_failure_is_counted_and_does_not_open_it(breaker: Breaker) -> None:
    for _ in range(20):
        breaker.failed(admitted(breaker), "memory", excused=True)
    assert breaker.state == "closed"
    assert breaker.status().totals["memory"] == 20
    assert breaker.status().last == "memory"


def test_an_excused_probe_may_be_made_again(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "memory", 3)
    clock.advance(1)
    breaker.failed(admitted(breaker), "memory", excused=True)
    assert breaker.state == "half_open"
    assert admitted(breaker).is_probe


def test_an_abandoned_probe_may_be_made_again(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, "timeout", 2)
    clock.advance(1)
    breaker.abandoned(admitted(breaker))
    assert admitted(breaker).is_probe


def test_calls_from_before_it_opened_say_nothing_of_now(breaker: Breaker, clock: ManualClock) -> None:
    early = [admitted(breaker) for _ in range(3)]
    fail(breaker, "timeout", 2)
    breaker.succeeded(early[0])
    assert breaker.state == "open"
    clock.advance(1)
    probe = admitted(breaker)
    breaker.failed(early[1], "other")
    breaker.abandoned(early[2])
    assert breaker.state == "half_open"
    assert breaker.admit() is None  # the probe still runs
    breaker.succeeded(probe)
    assert admitted(breaker).is_probe


_steps = st.lists(st.tuples(st.sampled_from(["good", "abandoned", "excused", *TROUBLES]), st.floats(0, 3)), max_size=80)


@given(_steps)
def test_whatever_happens_it_comes_back_when_the_model_is_well(steps: list[tuple[str, float]]) -> None:
    clock = ManualClock()
    breaker = Breaker(clock, open_s=1.0, max_open_s=8.0)
    for step, wait_s in steps:
        clock.advance(wait_s)
        admission = breaker.admit()
        assert (admission is None) == (breaker.state == "open")
        if admission is None:
            assert 0 < breaker.status().reopens_in_s <= 8.0
        elif step == "good":
            breaker.succeeded(admission)
        elif step == "abandoned":
            breaker.abandoned(admission)
        elif step == "excused":
            breaker.failed(admission, "memory", excused=True)
        else:
            breaker.failed(admission, step)  # type: ignore[arg-type]  # one of TROUBLES
    clock.advance(8.0)
    for _ in range(2):
        breaker.succeeded(admitted(breaker))
    assert breaker.state == "closed"
