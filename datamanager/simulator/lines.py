"""What a made robot says: a line now and then, and one at each contact of its tool."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from datamanager.simulator.events import Line
from datamanager.simulator.motion import CONTACT_EVERY_S
from datamanager.simulator.rates import bursty_s

__all__ = ["MadeLines"]

_SAYS = (
    ("info", "planner", "path found: {n} poses, {ms} ms"),
    ("info", "nav", "goal {n} reached"),
    ("debug", "camera", "exposure {ms} ms, gain {n}"),
    ("debug", "localizer", "scan matched, {n} inliers"),
    ("warning", "wheels", "slip on the left: {ms} mm"),
    ("warning", "battery", "cell {n} is {ms} mV below the others"),
    ("error", "camera", "frame {n} came {ms} ms late"),
)
_CHANCES = np.array([8, 4, 6, 6, 2, 1, 1]) / 28


@dataclass(frozen=True, slots=True)
class MadeLines:
    """Log lines at a varying rate, and of what the arm does."""

    stream: str
    rate_hz: float
    phase_s: float
    seed: tuple[int, ...]

    @property
    def origin(self) -> str:
        """What it is."""
        return f"about {self.rate_hz:g} lines a second, and one at each contact"

    def events(self, end_ns: int) -> Iterator[Line]:
        """The lines before `end_ns`."""
        return heapq.merge(self._now_and_then(end_ns), self._contacts(end_ns), key=lambda line: line.offset_ns)

    def _now_and_then(self, end_ns: int) -> Iterator[Line]:
        rng = np.random.default_rng(self.seed)
        for t_s in bursty_s(self.rate_hz, None, end_s=end_ns / 1e9, phase_s=self.phase_s, rng=rng):
            level, logger, text = _SAYS[rng.choice(len(_SAYS), p=_CHANCES)]
            message = text.format(n=rng.integers(1, 90), ms=rng.integers(1, 250))
            yield Line(self.stream, round(t_s * 1e9), level, message, logger)

    def _contacts(self, end_ns: int) -> Iterator[Line]:
        """The arm's contacts are those that the force sensor sees."""
        number = int(np.ceil(self.phase_s / CONTACT_EVERY_S))
        while (offset_ns := round((number * CONTACT_EVERY_S - self.phase_s) * 1e9)) < end_ns:
            yield Line(self.stream, offset_ns, "info", f"contact {number}: the tool touches", "arm")
            number += 1
