"""All that a rule asks of one stream, step by step: samples in, answers out, and a state that can be gone on from exactly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec
import numpy as np

from datamanager.errors import DatamanagerError
from datamanager.inference.online.channel_windows import ChannelWindows, Question, WindowShape
from datamanager.inference.online.functions import Floats, WindowFunction, function_named
from datamanager.inference.online.learners import DriftWatch, Learner, TreeScore
from datamanager.inference.online.score import Oddity, RobustScore
from datamanager.inference.online.spec import OnlineSpec
from datamanager.inference.online.windows import Ints, Window, Windower

__all__ = ["Answer", "Part", "Pipeline"]

Part = Literal["windows", "anomaly", "predictions", "drift"]
_FORM = 1  # of a state


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one window.

    Attributes:
        end_ns: the window's end, which names it.
        parts: what goes into which result stream, by the last part of its name; values by channel.
        drifted: the channels whose mean has just come to be another one.
        is_odd: whether it counts as an anomaly.
        window: what it is of.
        question: what an anomaly model is asked of it; None where the rule names none.
    """

    end_ns: int
    window: Window
    parts: dict[Part, dict[str, float | int | str]] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    is_odd: bool = False
    question: Question | None = None

    def told(self, score: float, channel: str, threshold: float) -> "Answer":
        """The same with what an anomaly model says; what was learned online stands beside it."""
        online = self.parts.get("anomaly", {})
        is_odd = self.is_odd or score >= threshold
        said = {f"online_{name}": value for name, value in online.items() if name != "flagged"}
        said |= {"score": score, "flagged": int(is_odd), "channel": channel}
        return replace(self, parts={**self.parts, "anomaly": said}, is_odd=is_odd)


class Pipeline:
    """The state of one rule for one stream. What it says hangs on the samples alone: it is seeded, and asks no clock."""

    def __init__(self, spec: OnlineSpec, model: WindowShape | None = None) -> None:
        self.spec = spec
        self._inputs = None if model is None else ChannelWindows(model)
        self.windower = Windower(spec.windows)
        self._functions: dict[str, WindowFunction] = {
            name: function for name in spec.windows.functions if (function := function_named(name)) is not None
        }
        self._mean = function_named("mean")
        self._score = None if spec.anomaly is None else RobustScore(spec.anomaly)
        self._trees = TreeScore() if spec.anomaly is not None and spec.anomaly.method == "trees" else None
        self._learner = None if spec.learn is None else Learner(spec.learn)
        self._drift = None if spec.drift is None else DriftWatch(spec.drift)
        self.windows = 0
        self.anomalies = 0
        self.drifts = 0

    def add(self, t_ns: Ints, columns: Mapping[str, Floats], labels: Sequence[str | None] | None = None) -> None:
        """Takes samples in; for what is what see `Windower.add`."""
        self.windower.add(t_ns, columns, labels)

    def advance(self, watermark_ns: int | None = None) -> list[Answer]:
        """The answers for the windows that close at a watermark; None: as late as samples may come, from the newest one."""
        if watermark_ns is None:
            watermark_ns = self.windower.newest_ns - round(self.spec.windows.lateness_s * 1e9)
        return [self._look(window) for window in self.windower.advance(watermark_ns)]

    @property
    def waiting(self) -> bool:
        """Whether samples are held back that might come late, and a window may be whole."""
        return self.spec.windows.lateness_s > 0 and self.windower.newest_ns >= 0

    def _look(self, window: Window) -> Answer:
        answer = Answer(window.end_ns, window, {}, [])
        self.windows += 1
        values = self._values(window)
        if self.spec.emit:
            answer.parts["windows"] = {"samples": len(window.t_ns), **_finite(values)}
        oddity = None if self._score is None else self._score.look(window)
        is_odd = oddity is not None and self._odd(answer, oddity)
        if self._learner is not None and (said := self._learn(window, values)):
            answer.parts["predictions"] = said
        drifted = self._drifted(answer, window)
        self.anomalies += is_odd
        self.drifts += len(drifted)
        question = None if self._inputs is None else self._inputs.take(window)
        return Answer(answer.end_ns, window, answer.parts, drifted, is_odd, question)

    def _values(self, window: Window) -> dict[str, float]:
        t_s = (window.t_ns - window.t_ns[0]) / 1e9
        values: dict[str, float] = {}
        for name, function in self._functions.items():
            values |= {
                f"{channel}.{name}": value
                for channel, value in zip(window.channels, function(t_s, window.values).tolist(), strict=True)
            }
        return values

    def _odd(self, answer: Answer, oddity: Oddity) -> bool:
        assert self.spec.anomaly is not None  # noqa: S101  # for the reader: there is a score because there is a spec
        score, said = oddity.score, dict[str, float | int | str]()
        if self._trees is not None:
            said["distance_score"] = score
            score = self._trees.look(oddity.distances, learn=score < self.spec.anomaly.threshold)
        is_odd = score >= self.spec.anomaly.threshold
        said |= {"score": score, "flagged": int(is_odd), "channel": oddity.channel, "feature": oddity.feature}
        answer.parts["anomaly"] = said
        return is_odd

    def _learn(self, window: Window, values: Mapping[str, float]) -> dict[str, float | int | str]:
        assert self._learner is not None  # noqa: S101  # as above
        assert self.spec.learn is not None  # noqa: S101  # as above
        chosen = self._learner.features(window.channels)
        x = {
            f"{name}.{function}": values[f"{name}.{function}"]
            for name in chosen
            for function in self._functions
            if f"{name}.{function}" in values
        }
        return {**self._learner.look(x, self._target(window, self.spec.learn.target))}

    def _target(self, window: Window, target: str) -> float | str | None:
        assert self.spec.learn is not None  # noqa: S101  # as above
        if self.spec.learn.task == "classify" and window.label is not None:
            return window.label
        if target not in window.channels:
            return None
        column = window.values[:, window.channels.index(target)]
        column = column[~np.isnan(column)]
        if not len(column):
            return None
        return f"{column[-1]:g}" if self.spec.learn.task == "classify" else float(column.mean())

    def _drifted(self, answer: Answer, window: Window) -> list[str]:
        if self._drift is None or self._mean is None:
            return []
        drifted = self._drift.look(window.channels, self._mean(np.empty(len(window.t_ns)), window.values))
        if drifted:
            answer.parts["drift"] = {"flagged": 1, "count": len(drifted), "channels": ",".join(drifted)[:1000]}
        return drifted

    # Its state.

    def dump(self) -> bytes:
        """All of it as bytes; of equal states they need not be equal."""
        return msgspec.msgpack.encode(self.state())

    def state(self) -> dict[str, Any]:
        """All of it, for MessagePack."""
        return {
            "form": _FORM,
            "spec": self.spec.hash,
            "windower": self.windower.state(),
            "counts": [self.windows, self.anomalies, self.drifts],
            "inputs": None if self._inputs is None else self._inputs.state(),
            "models": {name: model.state() for name, model in self._models().items()},
        }

    def _models(self) -> dict[str, Any]:
        models = {"score": self._score, "trees": self._trees, "learner": self._learner, "drift": self._drift}
        return {name: model for name, model in models.items() if model is not None}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Makes a state its own.

        Raises:
            DatamanagerError: it is of another form, or of another spec.
        """
        if state.get("form") != _FORM or state.get("spec") != self.spec.hash:
            raise DatamanagerError("the state is of another form or of another rule")
        self.windower.restore(state["windower"])
        self.windows, self.anomalies, self.drifts = state["counts"]
        if self._inputs is not None and state["inputs"] is not None:
            self._inputs.restore(state["inputs"])
        self.learn_from(state)

    def learn_from(self, state: Mapping[str, Any]) -> None:
        """Takes over what was learned, and nothing of the samples: another stream, or another time, is gone on with by it."""
        for name, model in self._models().items():
            model.restore(state["models"][name])


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value - value == 0}
