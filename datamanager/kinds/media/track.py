"""What a track of a container holds, and what of all its tracks goes into the metadata."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from datamanager.errors import Refused
from datamanager.kinds.kind import KindLimits

__all__ = ["Container", "Track", "check_tracks", "describe"]

TrackKind = Literal["video", "audio", "other"]
_MOST_NUMBER = 2**53
_MOST_SECONDS = 1e9  # 31 years: a duration beyond it is no duration


@dataclass(slots=True)
class Track:
    """One track; what is not known is None.

    Attributes:
        codec: the name that the container gives it: `avc1`, `V_VP9`, `opus`.
        keyframes: how many pictures stand by themselves.
    """

    kind: TrackKind
    codec: str
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    keyframes: int | None = None
    rate: int | None = None
    channels: int | None = None


@dataclass(slots=True)
class Container:
    """What a file of tracks turned out to be.

    Attributes:
        format: `mp4`, `mov`, `m4a`, `webm`, `mkv`, `avi`.
        duration_s: as the container says; None where it does not.
        extra: what else goes into the metadata.
    """

    format: str
    tracks: list[Track] = field(default_factory=list)
    duration_s: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: TrackKind) -> list[Track]:
        """Its tracks of one kind."""
        return [track for track in self.tracks if track.kind == kind]


def check_tracks(tracks: Sequence[Track], limits: KindLimits) -> None:
    """Holds tracks against the limits.

    Raises:
        Refused: `too_large`: too many tracks, or pictures too large to be ever decoded.
    """
    if len(tracks) > limits.max_tracks:
        raise Refused("too_large", f"it has {len(tracks)} tracks, {limits.max_tracks} are allowed")
    for track in tracks:
        pixels = (track.width or 0) * (track.height or 0)
        if pixels > limits.max_pixels:
            detail = f"its pictures have {track.width} x {track.height} pixels, {limits.max_pixels} in all are allowed"
            raise Refused("too_large", detail)


def describe(container: Container) -> dict[str, Any]:
    """The metadata of a file of tracks: what is known of its first picture track and its first sound track."""
    videos, audios = container.of("video"), container.of("audio")
    found: dict[str, Any] = {"format": container.format, "tracks": len(container.tracks)}
    if videos:
        first = videos[0]
        found |= {
            "codec": first.codec,
            "width": first.width,
            "height": first.height,
            "fps": _rounded(first.fps),
            "frames": first.frames,
            "keyframes": first.keyframes,
        }
    if audios:
        sound = {"codec": audios[0].codec, "sample_rate": audios[0].rate, "channels": audios[0].channels}
        found |= {f"audio_{name}": value for name, value in sound.items()} if videos else sound
    durations = [t.duration_s for t in container.tracks if t.duration_s]
    found["duration_s"] = _rounded(container.duration_s or max(durations, default=None))
    return {name: value for name, value in (found | container.extra).items() if _is_told(value)}


def _is_told(value: object) -> bool:
    """What is not known is left out, and so are numbers that are none: a width beyond all screens."""
    return value is not None and not (isinstance(value, int) and value > _MOST_NUMBER)


def _rounded(value: float | None) -> float | None:
    if value is None or not math.isfinite(value) or not 0 <= value < _MOST_SECONDS:
        return None
    return round(value, 6)
