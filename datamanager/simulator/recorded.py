"""Streams that play a recording: rebased to the start of the session, over and over, at the times that it has."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from datamanager.simulator.events import Column, Frame, Line, Samples
from datamanager.simulator.rates import bursty_s
from datamanager.simulator.settings import CameraRate, CloudRate

__all__ = ["LogLine", "RecordedFrames", "RecordedLines", "RecordedSamples", "to_and_fro"]


@dataclass(frozen=True, slots=True)
class RecordedSamples:
    """Samples at the recording's own times; after the last it begins again.

    Attributes:
        offsets_ns: int64, shape (n,), ascending from 0.
        channels: by dotted name, each of shape (n,).
        batch_s: samples of so long are sent together.
        skip_ns: how far into the recording the robot starts.
    """

    stream: str
    origin: str
    offsets_ns: npt.NDArray[np.int64]
    channels: Mapping[str, npt.NDArray[np.generic]]
    batch_s: float
    skip_ns: int = 0

    def events(self, end_ns: int) -> Iterator[Samples]:
        """The samples before `end_ns`."""
        n = len(self.offsets_ns)
        step_ns = int(np.median(np.diff(self.offsets_ns))) if n > 1 else 10**9
        lap_ns = int(self.offsets_ns[-1]) + max(1, step_ns)
        batch_ns = max(1, round(self.batch_s * 1e9))
        skip_ns = self.skip_ns % lap_ns
        for lap in itertools.count():
            offsets_ns = self.offsets_ns + (lap * lap_ns - skip_ns)
            if offsets_ns[0] >= end_ns:
                return
            first, last = np.searchsorted(offsets_ns, [0, end_ns])
            cuts = np.flatnonzero(np.diff(offsets_ns[first:last] // batch_ns)) + 1 + first
            for start, stop in itertools.pairwise([int(first), *map(int, cuts), int(last)]):
                if start < stop:
                    yield self._samples(offsets_ns, slice(start, stop))

    def _samples(self, offsets_ns: npt.NDArray[np.int64], part: slice) -> Samples:
        channels: dict[str, Column] = {
            name: np.ascontiguousarray(column[part]) for name, column in self.channels.items()
        }
        return Samples(self.stream, int(offsets_ns[part.stop - 1]), offsets_ns[part], channels)


@dataclass(frozen=True, slots=True)
class RecordedFrames:
    """Frames of a recording that was taken at a fixed rate, played to and fro: some of them outside of bursts, more within.

    Each comes at a time at which the recording has a frame.

    Attributes:
        files: in the order of time.
        rate_hz: at which they were taken.
        skip: how many of them the robot starts behind.
    """

    stream: str
    origin: str
    files: Sequence[Path]
    rate_hz: float
    rate: CameraRate | CloudRate
    role: str
    phase_s: float
    seed: tuple[int, ...]
    skip: int = 0

    def events(self, end_ns: int) -> Iterator[Frame]:
        """The frames before `end_ns`."""
        rng = np.random.default_rng(self.seed)
        played = -1
        for t_s in bursty_s(self.rate.rate_hz, self.rate.burst, end_s=end_ns / 1e9, phase_s=self.phase_s, rng=rng):
            tick = int(t_s * self.rate_hz)
            if tick == played:
                continue  # more often than it was taken
            played = tick
            file = self.files[to_and_fro(tick + self.skip, len(self.files))]
            yield Frame(self.stream, round(tick * 1e9 / self.rate_hz), file, self.role, {"recorded": file.name})


def to_and_fro(tick: int, n: int) -> int:
    """Which of n frames comes at a tick when they are played forwards, then backwards, without a jump."""
    at = tick % max(1, 2 * n - 2)
    return at if at < n else 2 * n - 2 - at


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a recorded log, at an offset from its first."""

    offset_ns: int
    level: str
    message: str
    logger: str


@dataclass(frozen=True, slots=True)
class RecordedLines:
    """Log lines at the recording's own times; after the last it begins again."""

    stream: str
    origin: str
    lines: Sequence[LogLine]
    skip_ns: int = 0

    def events(self, end_ns: int) -> Iterator[Line]:
        """The lines before `end_ns`."""
        lap_ns = self.lines[-1].offset_ns + 10**9
        for lap in itertools.count():
            base_ns = lap * lap_ns - self.skip_ns % lap_ns
            for line in self.lines:
                offset_ns = base_ns + line.offset_ns
                if offset_ns >= end_ns:
                    return
                if offset_ns >= 0:
                    yield Line(self.stream, offset_ns, line.level, line.message, line.logger)
