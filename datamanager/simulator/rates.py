"""At which times things happen: at a fixed rate, or at a varying one with bursts. Neither drifts, however long it runs."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from datamanager.simulator.settings import Burst

__all__ = ["bursty_s", "regular_batches_ns"]

_SWING = 0.3  # a varying rate goes so far up and down
_SWING_S = 17.0
_JITTER = 0.1  # of an interval


def regular_batches_ns(rate_hz: float, batch_s: float, end_ns: int) -> Iterator[npt.NDArray[np.int64]]:
    """The offsets `k / rate_hz` before `end_ns`, those of about `batch_s` at a time, each rounded to a nanosecond on its own."""
    count = max(1, round(rate_hz * batch_s))
    for first in itertools.count(0, count):
        # Whole seconds and their rest apart: float64 holds no nanoseconds of a long run.
        ticks = np.arange(first, first + count)
        whole_s = np.floor(ticks / rate_hz)
        rest_s = (ticks - whole_s * rate_hz) / rate_hz
        offsets_ns = whole_s.astype(np.int64) * 10**9 + np.rint(rest_s * 1e9).astype(np.int64)
        offsets_ns = offsets_ns[offsets_ns < end_ns]
        if len(offsets_ns):
            yield offsets_ns
        if len(offsets_ns) < count:
            return


def bursty_s(
    rate_hz: float, burst: Burst | None, *, end_s: float, phase_s: float, rng: np.random.Generator
) -> Iterator[float]:
    """Times before `end_s`, in seconds, at a rate that swings by 30 % about `rate_hz`, and in bursts at the burst's.

    Args:
        rate_hz: the rate outside of bursts.
        burst: how often, how long and how fast; none when None.
        end_s: where it ends.
        phase_s: how far into its pattern it starts, so that several robots do not burst at once.
        rng: for the jitter of each time.
    """
    t_s = float(rng.uniform(0, min(0.5, 1 / rate_hz)))
    while t_s < end_s:
        yield t_s
        into_s = math.inf if burst is None else (t_s + phase_s) % burst.every_s
        if burst and into_s < burst.for_s:
            t_s += float(rng.uniform(1 - _JITTER, 1 + _JITTER)) / burst.rate_hz
            continue
        rate = rate_hz * (1 + _SWING * math.sin(2 * math.pi * (t_s + phase_s) / _SWING_S))
        step_s = float(rng.uniform(1 - _JITTER, 1 + _JITTER)) / rate
        to_burst_s = burst.every_s - into_s if burst else math.inf
        t_s += min(step_s, max(to_burst_s, 1e-6))
