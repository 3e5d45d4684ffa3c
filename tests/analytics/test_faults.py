"""Faults put into recordings are found, and little else is; a channel is predicted better than by its last value."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.faults import FAULTS, T0_NS, Series, count, real_series

from datamanager.errors import ConfigError
from datamanager.inference.online import library
from datamanager.inference.online.pipeline import Pipeline
from datamanager.inference.online.spec import read_spec

S_NS = 1_000_000_000
SPEC = {"windows": {"seconds": 1, "lateness_s": 0}, "emit": False, "anomaly": {"method": "zscore"}}


def made_series() -> Series:
    """Two minutes at 50 Hz: an arm that swings, with noise, and a temperature that hardly moves."""
    rng = np.random.default_rng(3)
    t = np.arange(6000) / 50
    swing = np.sin(2 * np.pi * t / 3) + rng.normal(0, 0.05, len(t))
    return Series("made", t, np.column_stack([swing, 40 + 0.01 * t + rng.normal(0, 0.2, len(t))]))


def test_faults_in_made_signals_are_found() -> None:
    found = count([made_series()], read_spec(SPEC), seeds=2)["made"]
    assert {kind: seen for kind, (seen, _) in found.kinds.items()} == dict.fromkeys(FAULTS, 2)
    assert found.precision > 0.9


# What is reached today, and a little below it: of what was seen of 10 faults, and how many of the windows that are called odd are.
REACHED = {
    "car accelerometer, 104 Hz": (0.80, 0.95),
    "car gyroscope, 104 Hz": (0.65, 0.95),
    "car speed, 83 Hz": (0.95, 0.90),
    "drone position, 20 Hz": (0.95, 0.65),
}


def test_faults_in_real_recordings_are_found(recordings: Path) -> None:
    series = [each for each in real_series(recordings) if each.name in REACHED]
    for name, found in count(series, read_spec(SPEC), seeds=2).items():
        recall, precision = REACHED[name]
        assert found.recall >= recall, (name, found)
        assert found.precision >= precision, (name, found)


def errors(columns: dict[str, np.ndarray[Any, Any]], t_s: np.ndarray[Any, Any], **learn: Any) -> tuple[float, float]:
    """The mean error in the second half, and that of who always guesses the value before."""
    windows = {"seconds": 0.2, "lateness_s": 0, "functions": ["mean"]}
    pipeline = Pipeline(read_spec({"windows": windows, "emit": False, "learn": learn}))
    pipeline.add(T0_NS + (t_s * S_NS).astype(np.int64), columns)
    said = [answer.parts["predictions"] for answer in pipeline.advance()]
    half = said[len(said) // 2 :]
    targets = np.array([float(each["target"]) for each in half])
    return float(np.mean([float(each["error"]) for each in half])), float(np.abs(np.diff(targets)).mean())


@pytest.mark.parametrize(("model", "share"), [("linear", 0.2), ("tree", 0.9)])
def test_a_channel_is_predicted_from_others(model: str, share: float) -> None:
    rng = np.random.default_rng(4)
    t = np.arange(6000) / 50
    a, b = np.sin(t) + rng.normal(0, 0.3, len(t)), np.cos(t / 7) + rng.normal(0, 0.3, len(t))
    error, plain = errors({"a": a, "b": b, "y": 3 * a - 2 * b + 5}, t, target="y", model=model)
    assert error < share * plain


def test_a_humanoids_joints_are_predicted_by_what_they_were_told(recordings: Path) -> None:
    table = pq.read_table(recordings / "multi/rerun-lerobot-apple_storage/v30/data/chunk-000/file-000.parquet")
    state, action = (np.array(table[name].to_pylist()) for name in ("observation.state", "action"))
    columns = {f"state.{i}": state[:, i] for i in range(19)} | {f"action.{i}": action[:, i] for i in range(19)}
    for joint in np.argsort(-state.std(axis=0))[:4]:
        features = [f"action.{joint}"]
        error, plain = errors(columns, np.arange(len(state)) / 30, target=f"state.{joint}", features=features)
        assert error < 0.9 * plain, joint


def test_a_word_is_told_from_numbers() -> None:
    rng = np.random.default_rng(4)
    t = np.arange(6000) / 50
    phase = (t // 1.5).astype(int) % 3
    x = phase + rng.normal(0, 0.1, len(t))
    pipeline = Pipeline(
        read_spec(
            {
                "windows": {"seconds": 0.5, "lateness_s": 0},
                "learn": {"target": "mode", "task": "classify", "model": "tree"},
            }
        )
    )
    words = [("rest", "reach", "grasp")[p] for p in phase]
    pipeline.add(T0_NS + (t * S_NS).astype(np.int64), {"x": x}, words)
    said = [answer.parts["predictions"] for answer in pipeline.advance()]
    right = [s["prediction"] == s["target"] for s in said[100:]]
    assert sum(right) / len(right) > 0.95
    assert {s["target"] for s in said} == {"rest", "reach", "grasp"}


def test_drift_is_found_once_and_not_before() -> None:
    rng = np.random.default_rng(5)
    t = np.arange(20_000) / 100
    x = rng.normal(0, 1, len(t)) + (t > 120) * 1.0
    for method in ("adwin", "page_hinkley"):
        pipeline = Pipeline(read_spec({"windows": {"seconds": 1, "lateness_s": 0}, "drift": {"method": method}}))
        pipeline.add(T0_NS + (t * S_NS).astype(np.int64), {"x": x, "still": np.full(len(t), 7.0)})
        found = [(a.end_ns - T0_NS) / S_NS for a in pipeline.advance() if "drift" in a.parts]
        assert found, method
        assert 120 < found[0] < 150, (method, found)


def test_without_river_what_needs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(library, "import_module", missing)
    Pipeline(read_spec({}))  # windows and scores do without
    for options in ({"drift": {}}, {"anomaly": {"method": "trees"}}, {"learn": {"target": "a"}}):
        if "drift" in options:
            pipeline = Pipeline(read_spec(options))
            pipeline.add(np.arange(40) * S_NS, {"a": np.arange(40.0)})
            with pytest.raises(ConfigError, match=r"datamanager\[analytics\]"):
                pipeline.advance()
            continue
        with pytest.raises(ConfigError, match=r"datamanager\[analytics\]"):
            Pipeline(read_spec(options))
