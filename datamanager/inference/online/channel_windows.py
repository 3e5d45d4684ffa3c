"""What an anomaly model of single channels is asked: windows of samples, by the mean and deviation of a longer past."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.inference.manifest import Manifest
from datamanager.inference.online.functions import Floats
from datamanager.inference.online.windows import Ints, Window

__all__ = ["ChannelWindows", "Question", "WindowShape"]

_LEAST_PAST = 128
_LEAST_STD = 1e-6  # of the mean: what does not move has nothing to be divided by


@dataclass(frozen=True, slots=True)
class WindowShape:
    """How a model sees a channel, from its manifest's options.

    Attributes:
        window, hop, history: samples.
        threshold: of its score.
    """

    window: int
    hop: int
    history: int
    threshold: float

    @classmethod
    def of(cls, manifest: Manifest) -> "WindowShape":
        """From a manifest of task `anomaly`.

        Raises:
            Refused: `bad_payload` when its options do not say it.
        """
        try:
            window, hop, history = (int(manifest.options[name]) for name in ("window", "hop", "history"))
            threshold = float(manifest.options["threshold"])
        except (KeyError, TypeError, ValueError) as exc:
            raise Refused("bad_payload", f"the manifest of {manifest.name!r} lacks or garbles options: {exc}") from exc
        if not (3 <= window <= history <= 65_536 and 1 <= hop <= window):
            detail = f"the manifest of {manifest.name!r}: 3 <= window <= history <= 65536 and 1 <= hop <= window"
            raise Refused("bad_payload", detail)
        return cls(window, hop, history, threshold)


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked of one window of the stream.

    Attributes:
        rows: float32 [n, window], what it sees.
        channels: of each row.
    """

    rows: npt.NDArray[np.float32]
    channels: list[str]


class ChannelWindows:
    """Keeps the newest samples of each channel, and cuts a window of them every `hop` samples."""

    def __init__(self, shape: WindowShape) -> None:
        self.shape = shape
        self._channels: list[str] = []
        self._x: Floats = np.empty((0, 0))
        self._since = 0  # samples since the last cut
        self._last_ns = -1

    def take(self, window: Window) -> Question:
        """Takes in what is new in a window of the stream."""
        new = window.t_ns > self._last_ns
        self._last_ns = max(self._last_ns, int(window.t_ns[-1]))
        self._append(window.t_ns[new], window.channels, window.values[new])
        count = int(new.sum())
        size = self.shape
        rows: list[Floats] = []
        first = len(self._x) - count
        ends = range(first + size.hop - self._since, len(self._x) + 1, size.hop)
        for end in ends:
            past = self._x[max(0, end - size.history) : end]
            if len(past) >= max(_LEAST_PAST, size.window):
                rows.append(_standardised(past, size.window))
        self._since = (self._since + count) % size.hop
        self._x = self._x[-size.history :].copy()
        if not rows:
            return Question(np.empty((0, size.window), np.float32), [])
        return Question(np.concatenate(rows).astype(np.float32), self._channels * len(rows))

    def _append(self, t_ns: Ints, channels: tuple[str, ...], x: Floats) -> None:
        fresh = [name for name in channels if name not in self._channels]
        if fresh:
            self._channels += fresh
            wide = np.zeros((len(self._x), len(self._channels)))
            wide[:, : self._x.shape[1]] = self._x
            self._x = wide
        rows = np.full((len(t_ns), len(self._channels)), np.nan)
        rows[:, [self._channels.index(name) for name in channels]] = x
        before = self._x[-1] if len(self._x) else np.zeros(len(self._channels))
        for at, row in enumerate(rows):  # what lacks repeats the last
            before = rows[at] = np.where(np.isnan(row), before, row)
        self._x = np.concatenate([self._x, rows])

    def state(self) -> dict[str, Any]:
        """What it is made of, for MessagePack."""
        size = self.shape
        return {
            "shape": [size.window, size.hop, size.history],
            "channels": self._channels,
            "x": self._x.astype("<f8").tobytes(),
            "numbers": [self._since, self._last_ns],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Makes a state its own; one of another shape is of another model, and left."""
        size = self.shape
        if state["shape"] != [size.window, size.hop, size.history]:
            return
        self._channels = list(state["channels"])
        width = len(self._channels)
        self._x = np.frombuffer(state["x"], "<f8").astype(np.float64).reshape(-1, width) if width else self._x
        self._since, self._last_ns = state["numbers"]


def _standardised(past: Floats, window: int) -> Floats:
    """The newest samples of each channel, [channels, window]."""
    mean, std = past.mean(axis=0), past.std(axis=0)
    moves = std > _LEAST_STD * np.maximum(1.0, np.abs(mean))
    rows: Floats = np.where(moves, (past[-window:] - mean) / np.where(moves, std, 1.0), 0.0).T
    return rows
