"""What to simulate: robots, streams, rates and bursts, from `config.yaml` and the command line."""

import importlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from datamanager.errors import ConfigError, Refused
from datamanager.kinds.names import check_id

__all__ = ["Burst", "CameraRate", "CloudRate", "SampleRate", "Settings", "Streams", "read_settings", "with_options"]

_Rate = Annotated[float, Meta(ge=0, le=1000)]  # 0 turns the stream off
_FrameRate = Annotated[float, Meta(ge=0, le=120)]
_Seconds = Annotated[float, Meta(gt=0, le=86_400)]
_Side = Annotated[int, Meta(ge=16, le=4096)]


class Burst(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every `every_s` seconds, for `for_s` seconds, frames come at `rate_hz`."""

    rate_hz: Annotated[float, Meta(gt=0, le=120)]
    every_s: _Seconds
    for_s: _Seconds

    def __post_init__(self) -> None:
        if self.for_s > self.every_s:
            raise ValueError(f"for_s {self.for_s:g} must not exceed every_s {self.every_s:g}")


class SampleRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A stream of samples at a fixed rate; 0 turns it off."""

    rate_hz: _Rate


class CameraRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frames at a varying rate; 0 turns the stream off. The size is that of frames made here."""

    rate_hz: _FrameRate
    burst: Burst | None = None
    width: _Side = 640
    height: _Side = 480


class CloudRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Point clouds at a varying rate; 0 turns the stream off. The number of points is that of clouds made here."""

    rate_hz: _FrameRate
    burst: Burst | None = None
    points: Annotated[int, Meta(ge=64, le=2_000_000)] = 24_000


class Streams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The streams of each robot."""

    pose: SampleRate = SampleRate(rate_hz=100)
    joint_states: SampleRate = SampleRate(rate_hz=100)
    force_torque: SampleRate = SampleRate(rate_hz=30)
    imu: SampleRate = SampleRate(rate_hz=30)
    system: SampleRate = SampleRate(rate_hz=1)
    front_rgb: CameraRate = CameraRate(rate_hz=4, burst=Burst(rate_hz=15, every_s=15, for_s=2))
    front_depth: CameraRate = CameraRate(
        rate_hz=1.5, burst=Burst(rate_hz=10, every_s=20, for_s=1), width=480, height=360
    )
    cloud: CloudRate = CloudRate(rate_hz=0.2, burst=Burst(rate_hz=1, every_s=30, for_s=3))
    log: SampleRate = SampleRate(rate_hz=0.5)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it.

    Attributes:
        robots: how many, or their ids.
        duration_s: how long; 0 runs until it is stopped.
        seed: the same seed makes the same data.
        batch_s: samples of about so long travel in one message.
        report_s: how often each robot says how it goes.
        recordings: a folder of recordings; True takes the one beside the repository when it is there, False makes all.
    """

    robots: Annotated[int, Meta(ge=1, le=500)] | Annotated[list[str], Meta(min_length=1, max_length=500)] = 3
    duration_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 300
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    batch_s: Annotated[float, Meta(ge=0, le=10)] = 0.1
    report_s: Annotated[float, Meta(gt=0, le=3600)] = 10
    recordings: bool | str = True
    streams: Streams = Streams()

    def __post_init__(self) -> None:
        if not isinstance(self.robots, list):
            return
        for robot_id in self.robots:
            try:
                check_id(robot_id, "robots:")
            except Refused as error:
                raise ValueError(error.detail) from error
        if len(set(self.robots)) < len(self.robots):
            raise ValueError("robots: two of them have the same id")

    def robot_ids(self) -> list[str]:
        """The ids of the robots."""
        if isinstance(self.robots, list):
            return self.robots
        return [f"robot-{number:03d}" for number in range(1, self.robots + 1)]


def read_settings(path: Path) -> Settings:
    """The settings of a YAML file; what it does not name has its default.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or a key is unknown or wrong: the detail names it.
    """
    try:
        yaml = importlib.import_module("yaml")
    except ModuleNotFoundError as error:
        raise ConfigError(f"reading {path} needs PyYAML: pip install pyyaml") from error
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    return _checked({} if found is None else found, str(path))


def with_options(settings: Settings, **options: Any) -> Settings:
    """The settings with those options that are not None instead.

    Raises:
        ConfigError: one of them is out of bounds.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return _checked(msgspec.to_builtins(settings) | given, "the command line")


def _checked(found: Any, where: str) -> Settings:
    try:
        return msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        # msgspec says "... - at `$.streams.pose.rate_hz`"
        problem, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").lstrip(".")
        raise ConfigError(f"{where}: {key + ': ' if key else ''}{problem}") from error
