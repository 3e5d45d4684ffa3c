"""What of a window tells that something is wrong: level, activity, noise, jumps, stillness and gaps of each channel."""

import numpy as np

from datamanager.inference.online.functions import Floats
from datamanager.inference.online.windows import Window

__all__ = ["FEATURES", "WINDOW_FEATURES", "channel_features", "window_features"]

FEATURES = ("level", "activity", "noise", "jump", "still", "missing")
"""Of each channel: its median; the logarithms (so that twice as much is the same everywhere) of its deviation, of the median
bend (second difference: what a smooth move has little of), and of the largest bend against that; the share of steps between
neighbours that are none; the share of samples without a value."""
WINDOW_FEATURES = ("samples", "gap")
"""Logarithms of how many samples there are, and of the longest time without one, seconds."""

_FEWEST = 3
_TINY = 1e-9  # what is smaller is nothing
_RELATIVE = 1e-6


def channel_features(x: Floats) -> Floats:
    """The features [channels, 6] of values [n, channels]; NaN where a channel has too few values to tell."""
    missing = np.isnan(x)
    out = np.full((x.shape[1], len(FEATURES)), np.nan)
    out[:, 5] = missing.mean(axis=0)
    full = ~missing.any(axis=0)
    if full.any() and len(x) >= _FEWEST:
        out[full, :5] = _of_full(x[:, full])
    for at in np.flatnonzero(~full):
        values = x[~missing[:, at], at]
        if len(values) >= _FEWEST:
            out[at, :5] = _of_full(values[:, None])
    return out


def _of_full(x: Floats) -> Floats:
    steps = np.diff(x, axis=0)
    bends = np.abs(np.diff(steps, axis=0))
    level = np.median(x, axis=0)
    tiny = _TINY + _RELATIVE * np.abs(level)
    noise = np.median(bends, axis=0) + tiny
    deviation = np.std(x, axis=0) + tiny
    parts = [
        level,
        np.log(deviation),
        np.log(noise),
        # Against the noise, but not against less than a hundredth of what moves: a channel at rest has bends without noise.
        np.log((bends.max(axis=0) + tiny) / np.maximum(noise, 0.01 * deviation)),
        (steps == 0).mean(axis=0),
    ]
    features: Floats = np.stack(parts, axis=1)
    return features


def window_features(window: Window) -> Floats:
    """The features [2] of the window itself."""
    seconds = np.diff(window.t_ns) / 1e9
    longest = max(float(seconds.max()) if len(seconds) else 0.0, window.gap_s)
    features: Floats = np.log(np.array([len(window.t_ns), longest + 1e-6]))
    return features
