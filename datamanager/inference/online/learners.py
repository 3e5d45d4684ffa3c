"""What river learns window by window: half-space trees, regressors and classifiers of a target, detectors of drift."""

import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from datamanager.inference.online.features import FEATURES, WINDOW_FEATURES
from datamanager.inference.online.functions import Floats
from datamanager.inference.online.library import river
from datamanager.inference.online.sealed import dump_models, load_models
from datamanager.inference.online.spec import DriftSpec, LearnSpec

__all__ = ["DriftWatch", "Learner", "TreeScore"]

_SEED = 42
_TREES, _HEIGHT, _TREE_WINDOW = 25, 6, 20
_SQUEEZE = 8.0
_STEP = 0.1
_MOST = 3.0  # deviations; a step of 0.1 is stable up to a length of that
_FADE = 0.98  # the running error forgets: about the last fifty windows
_MAX_CLASSES = 256


class TreeScore:
    """Half-space trees (Tan, Ting, Liu 2011) over the largest distance of each feature from its median, squeezed into 0 to 1."""

    def __init__(self) -> None:
        self._trees = river("anomaly").HalfSpaceTrees(
            n_trees=_TREES, height=_HEIGHT, window_size=_TREE_WINDOW, seed=_SEED
        )

    def look(self, distances: Floats, *, learn: bool) -> float:
        """The score, 0 to 1; then learns.

        Args:
            distances: as of `score.Oddity`.
            learn: whether the window counts as usual.
        """
        sizes = np.abs(np.nan_to_num(distances))
        own, of_channels = sizes[: len(WINDOW_FEATURES)], sizes[len(WINDOW_FEATURES) :]
        largest = np.concatenate([own, of_channels.reshape(-1, len(FEATURES)).max(axis=0, initial=0.0)])
        x = dict(enumerate(np.tanh(largest / _SQUEEZE).tolist()))
        score = float(self._trees.score_one(x))
        if learn:
            self._trees.learn_one(x)
        return score

    def state(self) -> dict[str, Any]:
        """What it is made of."""
        return {"trees": dump_models(self._trees)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Makes a state its own."""
        self._trees = load_models(state["trees"])


class Learner:
    """Predicts a target, then learns it; tells its running error beside that of the plainest guess."""

    def __init__(self, spec: LearnSpec) -> None:
        self._spec = spec
        preprocessing, linear = river("preprocessing"), river("linear_model")
        self._scaler = preprocessing.StandardScaler()
        if spec.task == "regress":
            model = (
                linear.LinearRegression(river("optim").SGD(_STEP), intercept_lr=_STEP)
                if spec.model == "linear"
                else river("tree").HoeffdingTreeRegressor(grace_period=50)
            )
            # The target too is scaled: a linear model's steps are made for numbers about one.
            self._model = preprocessing.TargetStandardScaler(regressor=model)
        elif spec.model == "linear":
            self._model = linear.SoftmaxRegression(river("optim").SGD(10 * _STEP))
        else:
            self._model = river("tree").HoeffdingTreeClassifier(grace_period=50)
        self._seen = 0
        self._error = 0.0
        self._plain_error = 0.0
        self._last: float | str | None = None
        self._classes: list[str] = []

    def features(self, channels: Iterable[str]) -> list[str]:
        """Those of these channels that it predicts by."""
        target, patterns = self._spec.target, self._spec.features
        return [name for name in channels if name != target and any(fnmatchcase(name, p) for p in patterns)]

    def look(self, x: dict[str, float], y: float | str | None) -> dict[str, float | str]:
        """Predicts by `x`, and learns `y` where there is one.

        Returns:
            `prediction`, `target`, `error` (its size; of words 0 or 1), `mean_error` (of about the last fifty) and `plain_error`
            (the same for who always guesses the value before); each where it can be told.
        """
        x = {name: value for name, value in sorted(x.items()) if math.isfinite(value)}
        plain, x = x, self._scaled(x)
        said: dict[str, float | str] = {}
        guess = self._model.predict_one(x) if self._seen else None
        if isinstance(guess, float) and not math.isfinite(guess):
            guess = None
        if guess is not None:
            said["prediction"] = guess
        if y is None:
            return said
        said["target"] = y
        if guess is not None and self._last is not None:
            said["error"] = _error(guess, y)
            fade = min(_FADE, 1 - 1 / self._seen)
            self._error = fade * self._error + (1 - fade) * _error(guess, y)
            self._plain_error = fade * self._plain_error + (1 - fade) * _error(self._last, y)
            said |= {"mean_error": self._error, "plain_error": self._plain_error}
        self._scaler.learn_one(plain)
        self._learn(x, y)
        return said

    def _scaled(self, x: dict[str, float]) -> dict[str, float]:
        """Of a length of about one however many there are, and bounded: then no step of a linear model can overshoot.

        A feature that has hardly moved yet would otherwise be a thousand deviations away when it first does.
        """
        share = 1 / math.sqrt(max(1, len(x)))
        scaled = self._scaler.transform_one(x)
        return {name: max(-_MOST, min(_MOST, value)) * share for name, value in scaled.items()}

    def _learn(self, x: dict[str, float], y: float | str) -> None:
        if isinstance(y, str) and y not in self._classes:
            if len(self._classes) >= _MAX_CLASSES:
                return
            self._classes.append(y)
        self._model.learn_one(x, y)
        self._last = y
        self._seen += 1

    def state(self) -> dict[str, Any]:
        """What it is made of."""
        plain = [self._seen, self._error, self._plain_error, self._last, self._classes]
        return {"model": dump_models([self._scaler, self._model]), "plain": plain}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Makes a state its own."""
        self._scaler, self._model = load_models(state["model"])
        self._seen, self._error, self._plain_error, self._last, classes = state["plain"]
        self._classes = list(classes)


def _error(guess: float | str, y: float | str) -> float:
    if isinstance(guess, str) or isinstance(y, str):
        return float(guess != y)
    return abs(guess - y)


class DriftWatch:
    """One detector of river for each channel's means, scaled by what was usual in its first windows."""

    _FIRST = 20

    def __init__(self, spec: DriftSpec) -> None:
        self._spec = spec
        self._detectors: dict[str, Any] = {}
        self._scale: dict[str, tuple[float, float] | list[float]] = {}

    def look(self, channels: Sequence[str], means: Floats) -> list[str]:
        """Takes means in; gives the channels of which one has just come to be another."""
        found = []
        for name, mean in zip(channels, means.tolist(), strict=True):
            if math.isfinite(mean) and any(fnmatchcase(name, pattern) for pattern in self._spec.channels):
                detector = self._detectors.get(name)
                if detector is None:
                    detector = self._detectors[name] = self._made()
                scaled = self._scaled(name, mean)
                if scaled is not None:
                    detector.update(scaled)
                    if detector.drift_detected:
                        found.append(name)
        return found

    def _scaled(self, name: str, mean: float) -> float | None:
        """ADWIN is made for values of about one size: those of the first windows say which."""
        scale = self._scale.setdefault(name, [])
        if isinstance(scale, list):
            scale.append(mean)
            if len(scale) >= self._FIRST:
                spread = float(np.std(scale))
                self._scale[name] = (float(np.mean(scale)), spread or abs(float(np.mean(scale))) * 1e-6 or 1e-12)
            return None
        return max(-50.0, min(50.0, (mean - scale[0]) / scale[1]))

    def _made(self) -> Any:
        drift = river("drift")
        if self._spec.method == "adwin":
            return drift.ADWIN(delta=self._spec.delta, clock=1, grace_period=10)
        return drift.PageHinkley(min_instances=20, delta=self._spec.delta, threshold=30.0)

    def state(self) -> dict[str, Any]:
        """What it is made of."""
        scales = [[name, isinstance(scale, tuple), list(scale)] for name, scale in self._scale.items()]
        return {"detectors": dump_models(self._detectors), "scales": scales}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Makes a state its own."""
        self._detectors = load_models(state["detectors"])
        self._scale = {name: (s[0], s[1]) if is_known else list(s) for name, is_known, s in state["scales"]}
