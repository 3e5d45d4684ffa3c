"""Rolling windows by the samples' own times: what comes out hangs on the samples alone, not on the blocks they came in.

A window is closed once a watermark has passed its end: no sample before it is waited for any more. A sample that comes
later still is left out, and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.inference.online.functions import Floats
from datamanager.inference.online.spec import WindowSpec

__all__ = ["Window", "Windower"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of a window.

    Attributes:
        end_ns: names it: no two windows of a stream end at one time. Of a window by samples the last one's time.
        t_ns: int64 [n], ascending.
        channels: names of the columns.
        values: float64 [n, channels]; NaN where there is none.
        label: the last word of the label channel in it; None where there is none.
        gap_s: seconds from the last sample before the window to its first one; 0 where none came before.
    """

    end_ns: int
    t_ns: Ints
    channels: tuple[str, ...]
    values: Floats
    label: str | None
    gap_s: float


class Windower:
    """Gathers samples, and gives windows as they close.

    Attributes:
        late: samples that came after their window had closed.
        newest_ns: the latest time of all samples; -1 when there are none.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self._length_ns = round(spec.seconds * 1e9)
        self._every_ns = round(spec.every_s * 1e9) or self._length_ns
        self._samples = spec.samples
        self._every = spec.every or spec.samples
        self._channels: list[str] = []
        self._t: Ints = np.empty(0, np.int64)
        self._x: Floats = np.empty((0, 0))
        self._labels: list[str | None] = []
        self._closed_ns = -1  # nothing before it is taken any more
        self._settled = 0  # by samples: how many of those that are held were in order before
        self._due = spec.samples  # by samples: how many more it takes to the end of the next window
        self._last_end_ns = -1
        self._before_ns = -1  # the last time before what is held
        self.late = 0
        self.newest_ns = -1

    def add(self, t_ns: Ints, columns: Mapping[str, Floats], labels: Sequence[str | None] | None = None) -> None:
        """Takes samples in, in any order.

        Args:
            t_ns: their times, int64 [n].
            columns: float64 [n] by channel.
            labels: of each sample the word of the label channel.
        """
        n = len(t_ns)
        self._channels += sorted(set(columns) - set(self._channels))
        x = np.full((n, len(self._channels)), np.nan)
        for at, name in enumerate(self._channels):
            if name in columns:
                x[:, at] = columns[name]
        x[~np.isfinite(x)] = np.nan
        words = [None] * n if labels is None else list(labels)
        keep = t_ns >= self._closed_ns
        if not keep.all():
            self.late += int((~keep).sum())
            t_ns, x = t_ns[keep], x[keep]
            words = [word for word, is_kept in zip(words, keep, strict=True) if is_kept]
        if not len(t_ns):
            return
        held = np.full((len(self._t), len(self._channels)), np.nan)
        held[:, : self._x.shape[1]] = self._x
        self._t, self._x = np.concatenate([self._t, t_ns]), np.concatenate([held, x])
        self._labels += words
        self.newest_ns = max(self.newest_ns, int(t_ns.max()))
        if (self._t[1:] < self._t[:-1]).any():
            order = np.argsort(self._t, kind="stable")
            self._t, self._x = self._t[order], self._x[order]
            self._labels = [self._labels[i] for i in order]

    def advance(self, watermark_ns: int) -> list[Window]:
        """The windows that close when no sample before this time is waited for any more, ascending."""
        return self._by_samples(watermark_ns) if self._samples else self._by_time(watermark_ns)

    def _by_time(self, watermark_ns: int) -> list[Window]:
        windows: list[Window] = []
        start = 0  # what lies before it belongs to no window any more
        while start < len(self._t):
            first_ns = int(self._t[start])
            # The first end that this sample or a later closing asks for; a window without samples is none.
            end_ns = max(first_ns, self._closed_ns) // self._every_ns * self._every_ns + self._every_ns
            if end_ns - self._length_ns > first_ns:
                start = int(np.searchsorted(self._t, end_ns - self._length_ns))
                continue
            if end_ns > watermark_ns:
                break
            stop = int(np.searchsorted(self._t, end_ns))
            windows.append(self._window(end_ns, start, stop))
            self._closed_ns = end_ns
            start = int(np.searchsorted(self._t, end_ns + self._every_ns - self._length_ns))
        self._drop(start)
        return windows

    def _by_samples(self, watermark_ns: int) -> list[Window]:
        settled = int(np.searchsorted(self._t, watermark_ns))
        windows: list[Window] = []
        at = self._settled
        while settled - at >= self._due:
            at += self._due
            end_ns = max(int(self._t[at - 1]), self._last_end_ns + 1)
            windows.append(self._window(end_ns, at - self._samples, at))
            self._last_end_ns = end_ns
            self._due = self._every
        self._due -= settled - at
        if settled > self._settled:
            self._closed_ns = max(self._closed_ns, int(self._t[settled - 1]))
        drop = max(0, settled - self._samples)
        self._settled = settled - drop
        self._drop(drop)
        return windows

    def _window(self, end_ns: int, start: int, stop: int) -> Window:
        before_ns = int(self._t[start - 1]) if start else self._before_ns
        gap_s = (int(self._t[start]) - before_ns) / 1e9 if before_ns >= 0 else 0.0
        label = next((word for word in reversed(self._labels[start:stop]) if word is not None), None)
        return Window(end_ns, self._t[start:stop], tuple(self._channels), self._x[start:stop], label, gap_s)

    def _drop(self, count: int) -> None:
        if count:
            self._before_ns = int(self._t[count - 1])
            # Copies: a slice would keep all that was there.
            self._t, self._x, self._labels = self._t[count:].copy(), self._x[count:].copy(), self._labels[count:]

    def state(self) -> dict[str, Any]:
        """What it is made of, for MessagePack."""
        return {
            "channels": self._channels,
            "t": self._t.astype("<i8").tobytes(),
            "x": self._x.astype("<f8").tobytes(),
            "width": self._x.shape[1],
            "labels": self._labels if any(word is not None for word in self._labels) else None,
            "numbers": [
                *(self._closed_ns, self._settled, self._due, self._last_end_ns, self._before_ns, self.late),
                self.newest_ns,
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Makes a state its own."""
        self._channels = list(state["channels"])
        self._t = np.frombuffer(state["t"], "<i8").astype(np.int64)
        self._x = np.frombuffer(state["x"], "<f8").astype(np.float64).reshape(len(self._t), state["width"])
        self._labels = list(state["labels"] or [None] * len(self._t))
        (
            self._closed_ns,
            self._settled,
            self._due,
            self._last_end_ns,
            self._before_ns,
            self.late,
            self.newest_ns,
        ) = state["numbers"]
