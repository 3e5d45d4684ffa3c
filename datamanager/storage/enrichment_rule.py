"""A rule of enrichment, and what is asked of one before it is kept."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from datamanager.errors import Conflict, Refused
from datamanager.kinds.names import check_id
from datamanager.storage.inference_queue import Urgency

__all__ = ["Enrichment", "ModelFacts", "check_rule", "refuse_collision"]

MAX_OPTIONS_BYTES = 4096
MAX_FPS = 1000.0
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_PATTERN = re.compile(r"[A-Za-z0-9._*?\[\]!/-]{1,256}\Z")
_WILD = re.compile(r"[*?\[]")
_TELEMETRY_TASKS = frozenset({"anomaly", "raw"})


class Enrichment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule.

    Attributes:
        name: unique; `[A-Za-z0-9._-]{1,64}`.
        model: name of a model, in whichever version is current; for kind `time_series` a scorer or window spec may stand in
            `options` instead.
        kind: kind of the streams that it looks at.
        robot_id, session_id, stream: shell patterns (`*`, `front_*`).
        role: of frames.
        urgency: which queue its jobs wait in; normal is shed before high, and high before emergency.
        must: every frame gets exactly one result; never sampled and never shed.
        max_fps: most frames a second and stream; 0: all of them.
        output: last part of the result stream's name; empty: as the model's manifest says.
        enabled: whether it holds.
        options: what overrides the manifest (`confidence`, `iou`, `track`) or, for telemetry, says what is computed.
    """

    name: str
    model: str = ""
    kind: Literal["images", "time_series"] = "images"
    robot_id: str = "*"
    session_id: str = "*"
    stream: str = "*"
    role: Literal["rgb", "depth"] = "rgb"
    urgency: Urgency = "normal"
    must: bool = False
    max_fps: float = 0.0
    output: str = ""
    enabled: bool = True
    options: dict[str, Any] = {}

    def matches(self, robot_id: str, session_id: str, stream: str, kind: str) -> bool:
        """Whether it looks at this stream."""
        return (
            self.enabled
            and kind == self.kind
            and fnmatchcase(robot_id, self.robot_id)
            and fnmatchcase(session_id, self.session_id)
            and fnmatchcase(stream, self.stream)
        )


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What rules have to know of a model.

    Attributes:
        task: of its current version; None where it has none.
        output: last part of its result streams' names.
    """

    name: str
    task: str | None
    output: str


def check_rule(rule: Enrichment, model: ModelFacts | None) -> None:
    """Checks a rule by itself, and against the model that it names.

    Args:
        rule: as it is to be kept.
        model: the one that it names; None when there is no such model.

    Raises:
        Refused: `bad_id`, `bad_payload` or `too_large`; the detail names the field.
    """
    if _NAME.match(rule.name) is None or rule.name in (".", ".."):
        raise Refused("bad_id", f"name {rule.name[:80]!r} must be 1 to 64 of A-Z a-z 0-9 . _ - and not . or ..")
    for field in ("robot_id", "session_id", "stream"):
        _check_pattern(field, getattr(rule, field))
    if not math.isfinite(rule.max_fps) or not 0 <= rule.max_fps <= MAX_FPS:
        raise Refused("bad_payload", f"max_fps {rule.max_fps} must be 0 to {MAX_FPS:g}")
    if rule.must and rule.max_fps > 0:
        raise Refused("bad_payload", "max_fps and must contradict each other: every frame, or some of them")
    if rule.output:
        check_id(rule.output, "output")
    _check_options(rule.options)
    _check_model(rule, model)


def refuse_collision(rule: Enrichment, others: Iterable[Enrichment], models: Mapping[str, ModelFacts]) -> None:
    """Refuses a rule whose results would be mixed with another's in one stream, where that is certain.

    Two patterns that only might meet (`front*` and `*left`) are not held against each other.

    Args:
        rule: as it is to be kept.
        others: the rules that stand; one of the same name is replaced, and so does not count.
        models: of all of them, by name.

    Raises:
        Conflict: the detail names the other rule.
    """
    mine = _output(rule, models)
    if not rule.enabled or mine is None:
        return
    for other in others:
        if other.name == rule.name or not other.enabled or (other.kind, other.role) != (rule.kind, rule.role):
            continue
        if _output(other, models) == mine and all(
            _surely_meet(getattr(rule, field), getattr(other, field)) for field in ("robot_id", "session_id", "stream")
        ):
            raise Conflict(
                f"the rule {other.name!r} writes {other.stream}/{mine} already: remove it, or give this one an output of its own"
            )


def _check_pattern(field: str, pattern: str) -> None:
    if _PATTERN.match(pattern) is None:
        raise Refused(
            "bad_payload", f"{field} {pattern[:140]!r} must be 1 to 256 of the characters of an id, or * ? [ ] !"
        )


def _check_options(options: dict[str, Any]) -> None:
    try:
        size = len(msgspec.json.encode(options))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as exc:
        raise Refused("bad_payload", f"options cannot be kept: {exc}") from exc
    if size > MAX_OPTIONS_BYTES:
        raise Refused("too_large", f"options have {size} bytes, {MAX_OPTIONS_BYTES} are the most")


def _check_model(rule: Enrichment, model: ModelFacts | None) -> None:
    if not rule.model:
        if rule.kind == "images":
            raise Refused("missing_field", "model must be named: it is what looks at the pictures")
        return
    if model is None:
        raise Refused("bad_payload", f"model {rule.model[:140]!r} is not there: add it first")
    if model.task is None:
        raise Refused("bad_payload", f"model {model.name!r} has no version in use: say which first")
    if rule.kind == "time_series" and model.task not in _TELEMETRY_TASKS:
        raise Refused(
            "bad_payload", f"model {model.name!r} is of task {model.task}, which looks at pictures: kind images"
        )
    if rule.kind == "images" and model.task == "anomaly":
        raise Refused(
            "bad_payload", f"model {model.name!r} is of task anomaly, which looks at samples: kind time_series"
        )
    if model.task in ("detect", "segment"):
        _check_boxes(rule.options)


def _check_boxes(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in _BOX_OPTIONS:
            raise Refused("bad_payload", f"options.{name[:64]} is none of a detector's: {', '.join(_BOX_OPTIONS)}")
        fits, wanted = _BOX_OPTIONS[name]
        if not fits(value):
            raise Refused("bad_payload", f"options.{name} {str(value)[:64]!r} must be {wanted}")


def _is_fraction(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _are_classes(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) in (int, str) for each in value)


_BOX_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "classes": (_are_classes, "a list of class names or numbers"),
    "confidence": (_is_fraction, "a number from 0 to 1"),
    "iou": (_is_fraction, "a number from 0 to 1"),
    "max_boxes": (lambda value: type(value) is int and 1 <= value <= 10_000, "an integer from 1 to 10000"),
    "track": (lambda value: isinstance(value, bool), "true or false"),
}


def _output(rule: Enrichment, models: Mapping[str, ModelFacts]) -> str | None:
    """The last part of its result streams' names; None where only the worker knows."""
    if rule.output:
        return rule.output
    model = models.get(rule.model)
    return None if model is None or not model.output else model.output


def _surely_meet(one: str, other: str) -> bool:
    """Whether there is a name, of an id's characters, that both patterns match, as far as that can be told at a glance."""
    if _WILD.search(one) is None:
        return fnmatchcase(one, other)
    if _WILD.search(other) is None:
        return fnmatchcase(other, one)
    return one == other or "*" in (one, other)
