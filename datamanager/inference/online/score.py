"""How odd a window is against those before it: medians and median deviations of its features, learned as they come."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from datamanager.inference.online.features import FEATURES, WINDOW_FEATURES, channel_features, window_features
from datamanager.inference.online.functions import Floats
from datamanager.inference.online.spec import AnomalySpec
from datamanager.inference.online.windows import Window

__all__ = ["Oddity", "RobustScore"]

_HALF = 5.0
"""Deviations at which the score is one half."""
_FEWEST = 8
_AGAIN = 8  # windows after which the medians are taken anew
_SCALE = 1.4826  # a median deviation times this is the standard deviation of a normal distribution
# The least deviation that counts; a level is held against what is usual activity.
_FLOORS = np.array([0.0, 0.5, 0.25, 0.25, 0.1, 0.1])
_WINDOW_FLOORS = np.array([0.1, 0.25])
_TAIL = 95.0  # of what rests and moves by turns, the median deviation says nothing
_TAIL_DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is odd of a window.

    Attributes:
        score: 0 to 1; one half at five deviations.
        channel, feature: which one is the oddest; `channel` is empty for a feature of the window itself.
        distances: of each feature, signed, in deviations: [channels * 6 + 2]; NaN where nothing can be said.
    """

    score: float
    channel: str
    feature: str
    distances: Floats


class RobustScore:
    """Scores windows by their distances from the medians of the last ones that were not odd themselves."""

    def __init__(self, spec: AnomalySpec) -> None:
        self._spec = spec
        self._channels: list[str] = []
        self._ring = np.full((spec.memory, len(WINDOW_FEATURES)), np.nan)
        self._count = 0
        self._odd = 0  # in a row
        self._median: Floats | None = None
        self._spread: Floats | None = None
        self._stale = 0

    @property
    def is_warm(self) -> bool:
        """Whether enough windows were seen to tell."""
        return self._count >= self._spec.warm_up

    def look(self, window: Window) -> Oddity | None:
        """How odd a window is, None before it can be told; then learns from it, unless it is odd."""
        row = self._row(window)
        oddity = self._oddity(row) if self.is_warm else None
        is_odd = oddity is not None and oddity.score >= self._spec.threshold
        self._odd = self._odd + 1 if is_odd else 0
        # What stays odd is the new normal.
        if not is_odd or self._odd >= self._spec.adapt:
            self._learn(row)
        return oddity

    def _row(self, window: Window) -> Floats:
        """The features of the window, then those of each channel, in the order in which channels were first seen."""
        new = [name for name in window.channels if name not in set(self._channels)]
        if new:
            self._channels += new
            wide = np.full((len(self._ring), len(WINDOW_FEATURES) + len(self._channels) * len(FEATURES)), np.nan)
            wide[:, : self._ring.shape[1]] = self._ring
            self._ring = wide
            self._median = None
        places = {name: at for at, name in enumerate(self._channels)}
        row = np.full((len(self._channels), len(FEATURES)), np.nan)
        row[[places[name] for name in window.channels]] = channel_features(window.values)
        return np.concatenate([window_features(window), row.ravel()])

    def _oddity(self, row: Floats) -> Oddity:
        median, spread = self._normal()
        distances = (row - median) / spread
        size = np.where(np.isnan(distances), 0.0, np.abs(distances))
        at = int(size.argmax())
        worst = float(size[at])
        score = worst / (worst + _HALF)
        if at < len(WINDOW_FEATURES):
            return Oddity(score, "", WINDOW_FEATURES[at], distances)
        channel, feature = divmod(at - len(WINDOW_FEATURES), len(FEATURES))
        return Oddity(score, self._channels[channel], FEATURES[feature], distances)

    def _normal(self) -> tuple[Floats, Floats]:
        if self._median is None or self._spread is None or self._stale >= _AGAIN:
            self._stale = 0
            ring = self._ring[: min(self._count, len(self._ring))]
            full = ~np.isnan(ring).any(axis=0)
            median, spread = np.full(ring.shape[1], np.nan), np.full(ring.shape[1], np.nan)
            median[full], spread[full] = _middle_and_spread(ring[:, full])
            for at in np.flatnonzero(~full):  # of what is often missing, too, from what there is of it
                some = ring[~np.isnan(ring[:, at]), at]
                if len(some) >= _FEWEST:
                    median[at : at + 1], spread[at : at + 1] = _middle_and_spread(some[:, None])
            self._median, self._spread = median, np.maximum(spread, self._floors(median))
        return self._median, self._spread

    def _floors(self, median: Floats) -> Floats:
        """The least spread of each feature."""
        per_channel = np.tile(_FLOORS, (len(self._channels), 1))
        features = median[len(WINDOW_FEATURES) :].reshape(per_channel.shape)
        per_channel[:, 0] = np.exp(features[:, 1]) + 1e-9 * np.abs(features[:, 0]) + 1e-12
        return np.concatenate([_WINDOW_FLOORS, per_channel.ravel()])

    def _learn(self, row: Floats) -> None:
        self._ring[self._count % len(self._ring)] = row
        self._count += 1
        self._stale += 1

    def state(self) -> dict[str, Any]:
        """What it is made of, for MessagePack."""
        used = min(self._count, len(self._ring))
        return {
            "channels": self._channels,
            "ring": self._ring[:used].astype("<f8").tobytes(),
            "numbers": [self._count, self._odd, self._stale],
            "normal": None
            if self._median is None or self._spread is None
            else [self._median.astype("<f8").tobytes(), self._spread.astype("<f8").tobytes()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Makes a state its own."""
        self._channels = list(state["channels"])
        width = len(WINDOW_FEATURES) + len(self._channels) * len(FEATURES)
        kept = np.frombuffer(state["ring"], "<f8").reshape(-1, width)
        self._ring = np.full((self._spec.memory, width), np.nan)
        self._ring[: len(kept)] = kept
        self._count, self._odd, self._stale = state["numbers"]
        normal = state["normal"]
        self._median, self._spread = (
            (None, None) if normal is None else (np.frombuffer(part, "<f8").astype(np.float64) for part in normal)
        )


def _middle_and_spread(x: Floats) -> tuple[Floats, Floats]:
    """The medians of columns, and how far from them is nothing unusual."""
    if not x.shape[1]:
        return np.empty(0), np.empty(0)
    median = np.median(x, axis=0)
    away = np.abs(x - median)
    deviation, tail = np.percentile(away, (50, _TAIL), axis=0)
    return median, np.maximum(_SCALE * deviation, tail / _TAIL_DEVIATIONS)
