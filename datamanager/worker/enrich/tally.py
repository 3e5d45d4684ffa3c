"""How inference goes in one worker, over a few seconds: what `metrics_events` tell."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from datamanager.clock import Clock
from datamanager.storage.inference_job import InferenceJob
from datamanager.storage.results import Result

__all__ = ["Tally"]

_MOST_STREAMS = 100  # of one event, those with the most frames


class Tally:
    """Counts results and what was shed, from one `take` to the next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self._clear()

    def _clear(self) -> None:
        self._total_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._failed: Counter[str] = Counter()
        self._frames: Counter[str] = Counter()
        self._shed: Counter[str] = Counter()

    def add(self, results: Sequence[Result]) -> None:
        """Counts results."""
        for result in results:
            self._frames[f"{result.robot_id}/{result.session_id}/{result.stream}"] += 1
            if result.status == "ok":
                self._total_ms[result.model].append(result.total_ms)
            else:
                self._failed[result.model] += 1

    def shed(self, jobs: Iterable[InferenceJob]) -> None:
        """Counts frames that were given up."""
        for job in jobs:
            self._shed[f"{job.robot_id}/{job.session_id}/{job.stream}"] += 1

    def take(self) -> dict[str, Any] | None:
        """What happened since the last call, in the form that `metrics_event` names; None when nothing did."""
        now_s = self._clock.monotonic_s()
        window_s, self._since_s = now_s - self._since_s, now_s
        models = {name: self._of_model(name, window_s) for name in sorted(self._total_ms.keys() | self._failed.keys())}
        streams = {
            name: {"frames": self._frames[name], "shed": self._shed[name]}
            for name, _ in (self._frames + self._shed).most_common(_MOST_STREAMS)
        }
        self._clear()
        if not models and not streams:
            return None
        return {"window_s": round(window_s, 3), "models": models, "streams": streams}

    def _of_model(self, name: str, window_s: float) -> dict[str, Any]:
        times = self._total_ms.get(name, [])
        said: dict[str, Any] = {"frames": len(times), "failed": self._failed[name]}
        said["frames_per_s"] = round(len(times) / window_s, 2) if window_s > 0 else 0.0
        if times:
            p50, p95 = np.percentile(times, (50, 95))
            said["latency_ms"] = {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}
        return said
