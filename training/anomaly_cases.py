"""What anomaly scores are held against: windows of made and of recorded channels, healthy and with faults put in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from datamanager.simulator.recordings import read_recordings
from training.telemetry import FAULTS, HISTORY, WINDOW, faulty, made_channel, standardised

__all__ = [
    "EVAL_SEED",
    "FALSE_ALARMS",
    "SCORED",
    "Cases",
    "baseline_scores",
    "endless_rows",
    "made_cases",
    "rates",
    "recorded_cases",
    "run",
    "threshold_of",
]

SCORED = (40, 56)
"""Which samples of a window its score is of: some before and some after them are known."""

EVAL_SEED = 9100
FALSE_ALARMS = 0.005
"""Of the healthy windows, where thresholds are set."""

_SERIES = HISTORY + 512
_WINDOWS_OF_ONE = 16
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Row = tuple[Floats, npt.NDArray[np.bool_], str]


class Cases:
    """Windows, and what is wrong with each: the fault's name, or nothing.

    Attributes:
        windows: float32, shape (n, 64).
        wrong: per sample, shape (n, 64).
        faults: per window; empty where it is healthy.
    """

    def __init__(self, rows: Iterator[Row]) -> None:
        windows, wrong, self.faults = zip(*rows, strict=True)
        self.windows = np.stack(windows).astype(np.float32)
        self.wrong = np.stack(wrong)

    def __len__(self) -> int:
        return len(self.faults)


def endless_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Windows for ever, half of them with a fault."""
    while True:
        series = made_channel(rng, _SERIES)
        for end in rng.integers(WINDOW * 2, _SERIES, _WINDOWS_OF_ONE):
            yield _row(rng, series, int(end), None if rng.random() < 0.5 else str(rng.choice(list(FAULTS))))


def _row(rng: np.random.Generator, series: Doubles, end: int, fault: str | None) -> Row:
    window = standardised(series, end)
    past = series[max(0, end - HISTORY) : end]
    if fault is not None and window.any():
        broken = faulty(rng, fault, window, float(-past.mean() / past.std()))
        if broken is not None:
            return broken.values.astype(np.float32), broken.wrong, fault
    return window.astype(np.float32), np.zeros(WINDOW, np.bool_), ""


def run(model: bytes, windows: Floats) -> list[Floats]:
    """The outputs of a model file: `score` and `samples`."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs: list[Floats] = session.run(None, {"windows": windows})
    return outputs


def baseline_scores(windows: Floats) -> Floats:
    """What needs no model: how far a scored sample is from the mean of those before them, in their standard deviations."""
    start, end = SCORED
    before = windows[:, :start]
    away = np.abs(windows[:, start:end] - before.mean(axis=1, keepdims=True)).max(axis=1)
    return np.asarray(away / (before.std(axis=1) + 1e-3), np.float32)


def made_cases(seed: int, channels: int) -> Cases:
    """Of made channels: a healthy window, and one with each fault that it can have."""
    rng = np.random.default_rng(seed)
    return Cases(_of_each(rng, (made_channel(rng, _SERIES) for _ in range(channels)), 2))


def recorded_cases(folder: Path, seed: int = EVAL_SEED, windows: int = 24) -> Cases:
    """Of every channel of the real recordings that has enough samples; so many healthy windows each."""
    rng = np.random.default_rng(seed)
    found = read_recordings(folder)
    series = [
        np.asarray(values, np.float64)
        for _, samples in sorted(found.samples.items())
        for _, values in sorted(samples.channels.items())
        if len(values) >= WINDOW * 4
    ]
    return Cases(_of_each(rng, iter(series), windows))


def _of_each(rng: np.random.Generator, channels: Iterator[Doubles], windows: int) -> Iterator[Row]:
    """Faults are kept only where a sample that is scored is wrong."""
    start, end = SCORED
    for series in channels:
        for at in rng.integers(WINDOW * 2, len(series), windows):
            healthy = _row(rng, series, int(at), None)
            if not healthy[0].any():  # it does not move at all
                continue
            yield healthy
            for fault in FAULTS:
                row = _row(rng, series, int(at), fault)
                if row[1][start:end].any():
                    yield row


def threshold_of(scores: Floats, cases: Cases, false_alarms: float = FALSE_ALARMS) -> float:
    """What so many of the healthy windows reach."""
    healthy = scores[[not fault for fault in cases.faults]]
    return round(float(np.quantile(healthy, 1 - false_alarms)), 4)


def rates(scores: Floats, cases: Cases, threshold: float) -> dict[str, Any]:
    """How many faults are found, and how many alarms are false.

    Returns:
        `windows`; `false_alarms`, the part of healthy windows; `recall`, by fault; `recall_mean`; `precision`, where one
        window in ten has a fault, all faults being as frequent.
    """
    faults = np.array(cases.faults)
    alarms = scores >= threshold
    false = float(alarms[faults == ""].mean())
    recall = {name: float(alarms[faults == name].mean()) for name in FAULTS if (faults == name).any()}
    mean = float(np.mean(list(recall.values())))
    return {
        "windows": len(cases),
        "false_alarms": round(false, 4),
        "recall": {name: round(value, 3) for name, value in recall.items()},
        "recall_mean": round(mean, 3),
        "precision": round(mean / max(mean + 9 * false, 1e-9), 3),
    }
