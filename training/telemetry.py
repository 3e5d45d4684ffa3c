"""Channels of telemetry as robots have them, and what goes wrong with them.

A window is as the anomaly model sees it: 64 samples of one channel, less its mean, over its standard deviation, both
of a longer past. Everything hangs on the random generator that is handed in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamanager.simulator.signals import SIGNALS

__all__ = ["FAULTS", "HISTORY", "WINDOW", "Faulty", "faulty", "made_channel", "standardised"]

WINDOW = 64
HISTORY = 1024
"""Samples that mean and standard deviation are taken of, the window's own included."""

Floats = npt.NDArray[np.float64]
Wrong = npt.NDArray[np.bool_]
_LEAST_STD = 1e-6  # of the mean: what does not move has nothing to be divided by


@dataclass(frozen=True, slots=True)
class Faulty:
    """A window in which something went wrong.

    Attributes:
        values: standardised, shape (64,).
        wrong: which samples are, shape (64,).
    """

    values: Floats
    wrong: Wrong


def standardised(series: Floats, end: int) -> Floats:
    """The window that ends before `end`, by mean and standard deviation of as much as `HISTORY` samples before it."""
    past = series[max(0, end - HISTORY) : end]
    mean, std = float(past.mean()), float(past.std())
    if std <= _LEAST_STD * max(1.0, abs(mean)):
        return np.zeros(WINDOW)
    return np.asarray((series[end - WINDOW : end] - mean) / std, np.float64)


def made_channel(rng: np.random.Generator, count: int) -> Floats:
    """A healthy channel: half of them one of the made robots', the rest of odder families; some are quantised."""
    series = _robot(rng, count) if rng.random() < 0.4 else _FAMILIES[int(rng.integers(len(_FAMILIES)))](rng, count)
    std = float(series.std())
    if std > 0 and rng.random() < 0.5:
        series = series + std * np.exp(rng.uniform(np.log(1e-4), np.log(0.5))) * rng.standard_normal(count)
    if std > 0 and rng.random() < 0.35:
        step = std * np.exp(rng.uniform(np.log(1e-3), np.log(0.3)))
        series = np.round(series / step) * step
    return series


def _robot(rng: np.random.Generator, count: int) -> Floats:
    """Any number that a made robot sends, at any rate."""
    signal, _ = SIGNALS[str(rng.choice(sorted(SIGNALS)))]
    rate_hz = float(np.exp(rng.uniform(np.log(5), np.log(250))))
    t_s = rng.uniform(0, 500) + np.arange(count) / rate_hz
    channels = signal(t_s, rng.standard_normal((count, 8)))
    numeric = [values for values in channels.values() if isinstance(values, np.ndarray)]
    return np.asarray(numeric[int(rng.integers(len(numeric)))], np.float64)


def _sines(rng: np.random.Generator, count: int) -> Floats:
    at = np.arange(count)
    periods = np.exp(rng.uniform(np.log(6), np.log(1500), int(rng.integers(1, 5))))
    waves = [rng.normal() * np.sin(2 * np.pi * at / p + rng.uniform(0, 7)) for p in periods]
    return np.asarray(np.sum(waves, axis=0), np.float64)


def _coloured(rng: np.random.Generator, count: int) -> Floats:
    """Noise that remembers: from white to nearly a walk."""
    memory = 1 - np.exp(rng.uniform(np.log(0.002), 0))
    return _remembering(rng.standard_normal(count), memory)


def _smooth_walk(rng: np.random.Generator, count: int) -> Floats:
    speed = _remembering(rng.standard_normal(count), rng.uniform(0.8, 0.995))
    return np.asarray(_remembering(speed, rng.uniform(0.98, 0.9995)))


def _moves_and_rests(rng: np.random.Generator, count: int) -> Floats:
    """From one place to another by a smooth move, and a rest at each: joints, grippers, valves."""
    series = np.empty(count)
    at, place = 0, 0.0
    while at < count:
        rest, move = int(rng.exponential(120)) + 1, int(rng.exponential(60)) + 1
        goal = rng.normal() if rng.random() < 0.8 else 0.0
        way = (1 - np.cos(np.pi * np.arange(1, move + 1) / move)) / 2
        part = np.concatenate([np.full(rest, place), place + (goal - place) * way])[: count - at]
        series[at : at + len(part)] = part
        at, place = at + len(part), goal
    return series


def _steps(rng: np.random.Generator, count: int) -> Floats:
    """Levels that are held, set points and states."""
    series = np.zeros(count)
    for at in rng.integers(0, count, int(rng.integers(1, 40))):
        series[at:] += rng.normal()
    return series


def _pulses(rng: np.random.Generator, count: int) -> Floats:
    """The same event again and again: contacts, steps of a leg, wheel ticks."""
    period, width = rng.uniform(20, 250), rng.uniform(0.05, 0.5)
    into = (np.arange(count) / period + rng.random()) % 1
    shape = np.sin(np.pi * np.clip(into / width, 0, 1)) ** rng.uniform(0.3, 3)
    return np.asarray(shape if rng.random() < 0.7 else (into < width).astype(np.float64))


def _ramp(rng: np.random.Generator, count: int) -> Floats:
    """Batteries and counters; those that wrap are angles."""
    line = np.arange(count) * rng.normal() / 100
    return np.asarray(line % 1 if rng.random() < 0.4 else line)


_FAMILIES = (_sines, _coloured, _smooth_walk, _moves_and_rests, _steps, _pulses, _ramp)


def _remembering(noise: Floats, memory: float) -> Floats:
    """y[i] = memory * y[i - 1] + noise[i], by blocks: the sums within one do not grow out of float64's range."""
    out = np.empty_like(noise)
    before, size = 0.0, 32
    for first in range(0, len(noise), size):
        part = noise[first : first + size]
        powers = max(memory, 1e-4) ** np.arange(1, len(part) + 1)
        out[first : first + size] = powers * (before + np.cumsum(part / powers))
        before = float(out[first + len(part) - 1])
    return out


def _spike(rng: np.random.Generator, window: Floats, zero: float) -> Faulty | None:  # noqa: ARG001  # all take the same
    """One to three samples far from their neighbours."""
    at, count = int(rng.integers(0, WINDOW - 3)), int(rng.integers(1, 4))
    least = max(1.0, 8 * _step_of(window))
    values = window.copy()
    values[at : at + count] += rng.choice([-1, 1]) * least * rng.uniform(1, 4)
    return _marked(values, at, at + count)


def _stuck(rng: np.random.Generator, window: Floats, zero: float) -> Faulty | None:  # noqa: ARG001
    """The same sample again and again where the channel moved before; where it rests anyway, nothing is wrong."""
    at = int(rng.integers(8, WINDOW - 16))
    until = min(WINDOW, at + int(rng.integers(12, WINDOW)))
    moves = np.abs(np.diff(window)) > 1e-9
    if moves.mean() < 0.9 or np.ptp(window[at:until]) < 0.02:
        return None
    values = window.copy()
    values[at:until] = values[at]
    return _marked(values, at + 1, until)


def _drift(rng: np.random.Generator, window: Floats, zero: float) -> Faulty | None:  # noqa: ARG001
    """It slides away by several standard deviations, and is wrong from one on."""
    at, slope = int(rng.integers(0, WINDOW - 16)), rng.uniform(0.06, 0.3) * rng.choice([-1, 1])
    away = slope * np.maximum(np.arange(WINDOW) - at, 0)
    if abs(away[-1]) < 2:
        return None
    return Faulty(window + away, np.abs(away) > 1)


def _noise(rng: np.random.Generator, window: Floats, zero: float) -> Faulty | None:  # noqa: ARG001
    """A burst of noise, several times the channel's own."""
    at = int(rng.integers(0, WINDOW - 8))
    until = min(WINDOW, at + int(rng.integers(8, 40)))
    values = window.copy()
    strength = max(0.25, 4 * _step_of(window)) * rng.uniform(1, 3)
    values[at:until] += strength * rng.standard_normal(until - at)
    return _marked(values, at, until)


def _drop_out(rng: np.random.Generator, window: Floats, zero: float) -> Faulty | None:
    """Nothing comes, and zero is sent."""
    at = int(rng.integers(0, WINDOW - 4))
    until = min(WINDOW, at + int(rng.integers(3, 24)))
    if np.abs(window[at:until] - zero).min() < max(1.0, 6 * _step_of(window)):
        return None
    values = window.copy()
    values[at:until] = zero
    return _marked(values, at, until)


FAULTS: Mapping[str, Callable[[np.random.Generator, Floats, float], Faulty | None]] = {
    "spike": _spike,
    "stuck": _stuck,
    "drift": _drift,
    "noise": _noise,
    "drop_out": _drop_out,
}
"""From a healthy window, and what a zero is in it; None where the fault would not be one."""


def faulty(rng: np.random.Generator, name: str, window: Floats, zero: float) -> Faulty | None:
    """A window with a fault of this name in it; None where this window cannot have it."""
    return FAULTS[name](rng, window, zero)


def _step_of(window: Floats) -> float:
    """How far the channel goes from one sample to the next, nearly at most."""
    return float(np.quantile(np.abs(np.diff(window)), 0.9))


def _marked(values: Floats, start: int, end: int) -> Faulty:
    wrong = np.zeros(WINDOW, np.bool_)
    wrong[start:end] = True
    return Faulty(values, wrong)
