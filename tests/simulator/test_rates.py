"""When things happen: exact at a fixed rate, faster in bursts, the same with the same seed."""

import itertools

import numpy as np
import pytest

from datamanager.simulator.rates import bursty_s, regular_batches_ns
from datamanager.simulator.settings import Burst

BURST = Burst(rate_hz=20, every_s=10, for_s=2)


def bursty(seed: int = 1, *, rate_hz: float = 2.0, burst: Burst | None = BURST, end_s: float = 100.0) -> list[float]:
    rng = np.random.default_rng(seed)
    return list(bursty_s(rate_hz, burst, end_s=end_s, phase_s=0.0, rng=rng))


@pytest.mark.parametrize("rate_hz", [100.0, 30.0, 1.0, 0.1])
def test_a_fixed_rate_has_as_many_samples_as_it_should_each_at_its_nanosecond(rate_hz: float) -> None:
    offsets_ns = np.concatenate(list(regular_batches_ns(rate_hz, 0.05, 60 * 10**9)))
    assert offsets_ns.tolist() == [round(k * 10**9 / rate_hz) for k in range(round(60 * rate_hz))]


def test_a_fixed_rate_does_not_drift_in_days() -> None:
    day_s = 86_400
    last = next(itertools.islice(regular_batches_ns(30.0, float(day_s), 2**62), 2, None))[-1]
    assert last == (3 * day_s - 1) * 10**9 + round(29 * 10**9 / 30)


def test_batches_are_as_long_as_asked_and_the_last_is_cut() -> None:
    lengths = [len(batch) for batch in regular_batches_ns(100.0, 0.1, 250_000_001)]
    assert lengths == [10, 10, 6]


def test_a_batch_has_a_sample_even_when_it_is_shorter_than_an_interval() -> None:
    assert [len(batch) for batch in regular_batches_ns(1.0, 0.0, 3 * 10**9)] == [1, 1, 1]


def test_a_varying_rate_is_fast_in_bursts_and_slow_between_them() -> None:
    times = np.array(bursty())
    within = (times % 10) < 2
    assert 0.9 * 20 * 20 < within.sum() < 1.1 * 20 * 20
    assert 0.8 * 2 * 80 < (~within).sum() < 1.2 * 2 * 80
    assert (np.diff(times) > 0).all()


def test_no_burst_is_missed_by_a_rate_that_is_slower_than_they_come() -> None:
    times = bursty(rate_hz=0.01)
    assert {int(t_s // 10) for t_s in times if t_s % 10 < 2} == set(range(10))


def test_without_bursts_the_rate_varies_between_its_bounds() -> None:
    steps = np.diff(bursty(burst=None))
    assert 1 / (2 * 1.3 * 1.11) < steps.min() < 0.45
    assert 0.55 < steps.max() < 1 / (2 * 0.7 * 0.89)


def test_the_same_seed_gives_the_same_times_and_another_does_not() -> None:
    assert bursty(1) == bursty(1)
    assert bursty(1) != bursty(2)
