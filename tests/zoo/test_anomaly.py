from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datamanager.inference.zoo import zoo_model
from training.anomaly_cases import SCORED, Cases, baseline_scores, made_cases, rates, recorded_cases, run, threshold_of
from training.telemetry import FAULTS, WINDOW

MODEL = zoo_model("anomaly")
OPTIONS = MODEL.manifest.options


def judged(cases: Cases) -> dict[str, Any]:
    return rates(run(MODEL.data(), cases.windows)[0], cases, OPTIONS["threshold"])


def test_what_the_manifest_says_is_what_the_model_does() -> None:
    assert (OPTIONS["window"], OPTIONS["scored"], OPTIONS["hop"]) == (WINDOW, list(SCORED), SCORED[1] - SCORED[0])
    windows = made_cases(5, 5).windows
    score, samples = run(MODEL.data(), windows)
    assert score.shape == (len(windows),)
    assert samples.shape == windows.shape
    np.testing.assert_array_equal(score, samples[:, slice(*SCORED)].max(axis=1))
    assert ((samples >= 0) & (samples <= 1)).all()


def test_faults_in_made_channels_are_found() -> None:
    found = judged(made_cases(4711, 120))
    assert found["false_alarms"] <= 0.015
    assert found["recall_mean"] >= 0.8
    assert min(found["recall"].values()) >= 0.7
    assert set(found["recall"]) == set(FAULTS)


def test_faults_put_into_real_recordings_are_found_where_deviations_alone_do_not_show_them(recordings: Path) -> None:
    cases = recorded_cases(recordings, seed=4712, windows=8)
    found = judged(cases)
    assert found["false_alarms"] <= 0.025
    assert found["recall_mean"] >= 0.85
    assert found["precision"] >= 0.75
    plain = baseline_scores(cases.windows)
    assert found["recall_mean"] > 2 * rates(plain, cases, threshold_of(plain, cases, 0.02))["recall_mean"]


@pytest.mark.parametrize("value", [0.0, 1e6, -1e6])
def test_windows_that_do_not_move_are_no_anomaly_and_give_a_number(value: float) -> None:
    score, _ = run(MODEL.data(), np.full((1, WINDOW), value, np.float32))
    assert np.isfinite(score).all()
    if value == 0:
        assert score[0] < OPTIONS["threshold"]


def test_windows_of_a_batch_do_not_touch_each_other() -> None:
    windows = made_cases(6, 10).windows
    together, _ = run(MODEL.data(), windows)
    alone = [run(MODEL.data(), window[None])[0][0] for window in windows[:12]]
    np.testing.assert_allclose(together[:12], alone, atol=1e-5)
