"""What a rule asks of a stream of telemetry: the `options` of an enrichment of kind `time_series`."""

import hashlib
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import msgspec

from datamanager.errors import Refused
from datamanager.inference.online.functions import FUNCTIONS, function_named

__all__ = ["AnomalySpec", "DriftSpec", "LearnSpec", "OnlineSpec", "WindowSpec", "read_spec"]

_MAX_FUNCTIONS = 16

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Few = Annotated[int, msgspec.Meta(ge=2, le=100_000)]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Patterns = Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=64)]


class WindowSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which windows.

    Attributes:
        seconds: how long one is, from 0.01 on; they end at multiples of `every_s` since 1970. 0: by samples.
        every_s: seconds from one end to the next; 0: as long as a window.
        samples: how many samples one has, where `seconds` is 0.
        every: samples from one end to the next; 0: as many as a window has.
        functions: what is computed of each channel: names of `functions.FUNCTIONS`, or `pNN`.
        lateness_s: a window waits so long, by the samples' times, for samples that come late.
    """

    seconds: Seconds = 0.0
    every_s: Seconds = 0.0
    samples: Count = 0
    every: Count = 0
    functions: tuple[str, ...] = ("count", "mean", "std", "min", "max")
    lateness_s: Seconds = 2.0


class AnomalySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How odd windows are.

    Attributes:
        method: `zscore`: how far a window's features lie from their medians, in median deviations; `trees`: half-space
            trees of river over these distances.
        threshold: score from which on a window counts as anomaly, 0 to 1.
        warm_up: windows before the first score.
        memory: windows that the medians are of.
        adapt: so many anomalies in a row are the new normal.
    """

    method: Literal["zscore", "trees"] = "zscore"
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    warm_up: Few = 20
    memory: Annotated[int, msgspec.Meta(ge=8, le=10_000)] = 300
    adapt: Few = 60


class LearnSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is predicted of a channel by others, window by window; first predicted, then learned.

    Attributes:
        target: a channel: its mean in the window, or for `classify` its last value, a word or a number.
        features: patterns of channels whose functions it is predicted by; never the target itself.
        task: what is predicted.
        model: a linear or logistic regression of scaled features, or a Hoeffding tree.
    """

    target: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    features: Patterns = ("*",)
    task: Literal["regress", "classify"] = "regress"
    model: Literal["linear", "tree"] = "linear"


class DriftSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a channel's mean has come to be another one.

    Attributes:
        method: of river.
        channels: patterns.
        delta: how sure it has to be: the smaller, the surer.
    """

    method: Literal["adwin", "page_hinkley"] = "adwin"
    channels: Patterns = ("*",)
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.002


class OnlineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. With no word of what to do: windows of one second and their anomaly scores.

    Attributes:
        channels: patterns of the channels that count; numbers and booleans alone.
        windows: which windows; each becomes a result.
        emit: whether the windows' values are results too, or only what comes of them.
        anomaly, learn, drift: None: not asked for.
        history: whether what was stored before the rule is looked at too.
    """

    channels: Patterns = ("*",)
    windows: WindowSpec = WindowSpec()
    emit: bool = True
    anomaly: AnomalySpec | None = None
    learn: LearnSpec | None = None
    drift: DriftSpec | None = None
    history: bool = False

    def wants(self, channel: str) -> bool:
        """Whether a channel counts."""
        return any(fnmatchcase(channel, pattern) for pattern in self.channels)

    @property
    def hash(self) -> str:
        """The same for specs that mean the same: a state of one is a state of the other."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=8).hexdigest()


def read_spec(options: dict[str, Any]) -> OnlineSpec:
    """Reads and checks a rule's options.

    Raises:
        Refused: `bad_payload`; the detail names the option.
    """
    try:
        spec = msgspec.convert(options, OnlineSpec)
    except msgspec.ValidationError as exc:
        raise Refused("bad_payload", f"options: {exc}") from exc
    windows = spec.windows
    if windows.seconds and windows.samples:
        raise Refused("bad_payload", "options.windows: either seconds or samples, not both")
    if not windows.seconds and not windows.samples:
        windows = msgspec.structs.replace(windows, seconds=1.0)
    _check_windows(windows)
    if spec.anomaly is None and spec.learn is None and spec.drift is None and "windows" not in options:
        spec = msgspec.structs.replace(spec, anomaly=AnomalySpec())
    return msgspec.structs.replace(spec, windows=windows)


def _check_windows(windows: WindowSpec) -> None:
    if windows.seconds and windows.seconds < 0.01:
        raise Refused("bad_payload", "options.windows.seconds must be at least 0.01")
    if windows.every_s and not 0.01 <= windows.every_s <= windows.seconds:
        raise Refused("bad_payload", "options.windows.every_s must be 0.01 to as long as a window")
    if windows.seconds and windows.every_s and windows.seconds / windows.every_s > 1000:
        raise Refused("bad_payload", "options.windows: at most 1000 windows may overlap")
    if windows.samples and windows.samples < 2:
        raise Refused("bad_payload", "options.windows.samples must be at least 2")
    if windows.every > windows.samples:
        raise Refused("bad_payload", "options.windows.every must be at most as many as a window has")
    if len(windows.functions) > _MAX_FUNCTIONS:
        raise Refused("bad_payload", f"options.windows.functions: at most {_MAX_FUNCTIONS}")
    for name in windows.functions:
        if function_named(name) is None:
            known = ", ".join(sorted(FUNCTIONS))
            raise Refused("bad_payload", f"options.windows.functions: {name[:40]!r} is none of {known}, or pNN")
