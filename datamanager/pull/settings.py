"""How a source is pulled. Every number has a default that suits a camera."""

import math
from dataclasses import dataclass
from typing import Literal

from datamanager.errors import ConfigError

__all__ = ["PullSettings"]

_MB = 1024 * 1024
_MOST_FPS = 1000
_MOST_FRAMES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSettings:
    """The knobs.

    Attributes:
        want: `auto` passes H.264 through and makes frames of all else; `video` passes through or fails; `frames` makes
            frames; `both` does both, the frames as stream `{stream}/frames`.
        fps: frames a second that are made, at most; what is passed through keeps its own.
        adaptive: whether fewer are made while decoding or the server is behind.
        least_fps: how few, then.
        quality: of JPEG, 1 to 95.
        loop: whether a file begins again at its end.
        realtime: whether a file is read as fast as it was recorded, rather than as fast as it can be.
        duration_s: of how much is pulled; None for all.
        timeout_s: how long an open or a read may say nothing.
        give_up_s: how long a source may be away; None for ever.
        backoff_min_s, backoff_max_s: the bounds of the wait before the next try.
        buffer_frames: how many wait to be sent at most; of a live source the oldest goes.
        buffer_bytes: how large these may be.
        udp: whether RTSP brings its pictures by UDP rather than inside its own connection.
        report_s: how often it is said how it goes.
    """

    want: Literal["auto", "video", "frames", "both"] = "auto"
    fps: float = 10.0
    adaptive: bool = False
    least_fps: float = 1.0
    quality: int = 85
    loop: bool = False
    realtime: bool = False
    duration_s: float | None = None
    timeout_s: float = 10.0
    give_up_s: float | None = None
    backoff_min_s: float = 0.25
    backoff_max_s: float = 5.0
    buffer_frames: int = 30
    buffer_bytes: int = 128 * _MB
    udp: bool = False
    report_s: float = 5.0

    def __post_init__(self) -> None:
        _within("--fps", self.fps, 0.01, _MOST_FPS)
        _within("--quality", self.quality, 1, 95)
        _within("--timeout", self.timeout_s, 0.1, 3600)
        _within("--buffer", self.buffer_frames, 1, _MOST_FRAMES)
        _within("--report", self.report_s, 0.1, 86_400)
        for name, value in (("--duration", self.duration_s), ("--give-up-after", self.give_up_s)):
            if value is not None:
                _within(name, value, 0.001, math.inf)
        if self.adaptive and self.want == "video":
            raise ConfigError("--adaptive changes how many frames are made: with --passthrough none are")


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} must be from {least:g} to {most:g}, not {value:g}")
