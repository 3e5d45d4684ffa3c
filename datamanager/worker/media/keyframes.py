"""What a child process makes of a video: small pictures of keyframes, spread over all of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av.container
import av.error
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from datamanager.errors import Refused
from datamanager.kinds.source import Source
from datamanager.worker.encoding import encode_picture
from datamanager.worker.media.opening import codec_of, decoded, opened
from datamanager.worker.media.refusing import refusing
from datamanager.worker.media.transcode import TranscodeLimits
from datamanager.worker.tier import BOXES, fit

__all__ = ["SmallPicture", "keyframe_pictures"]

_BUDGET_S = 15.0  # of a video in which seeking is slow, fewer are made


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """One keyframe, so many seconds after the video's beginning."""

    offset_s: float
    data: bytes
    mime_type: str


def keyframe_pictures(source: Source, form: str, most: int, limits: TranscodeLimits) -> list[SmallPicture]:
    """Small pictures of at most `most` keyframes, ascending in time; one at least.

    Raises:
        Refused: `bad_payload`, `too_large`: no picture of it can be decoded.
    """
    with refusing(), opened(source, form) as container:
        stream: Any = container.streams.best("video")
        if stream is None:
            raise Refused("bad_payload", "no track of pictures is found in it")
        codec = codec_of(stream)
        codec.options, codec.skip_frame = {"max_pixels": str(limits.max_pixels)}, "NONKEY"
        found: dict[float, SmallPicture] = {}
        reformatter = VideoReformatter()
        zero_s: float | None = None
        for frame in _keyframes(container, stream, most):
            at_s = float(frame.time or 0)
            zero_s = at_s if zero_s is None else zero_s
            offset_s = round(max(0.0, at_s - zero_s), 6)
            if offset_s not in found:
                found[offset_s] = _small(frame, offset_s, reformatter, limits)
    if not found:
        raise Refused("bad_payload", "no picture of it can be decoded")
    return [found[offset_s] for offset_s in sorted(found)]


def _keyframes(container: av.container.InputContainer, stream: Any, most: int) -> Iterator[VideoFrame]:
    first = next(iter(decoded(container, [stream])), None)
    if first is None:
        return
    yield first
    duration_s = _duration_s(container, stream)
    until_s = time.monotonic() + _BUDGET_S
    for number in range(1, most if duration_s > 0 else 0):
        if time.monotonic() > until_s:
            return
        at_s = float(first.time or 0) + duration_s * number / most
        try:
            container.seek(int(at_s / stream.time_base), stream=stream, backward=True)
        except (av.error.FFmpegError, OverflowError):
            return
        frame = next(iter(decoded(container, [stream])), None)
        if frame is not None:
            yield frame


def _duration_s(container: av.container.InputContainer, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6


def _small(frame: VideoFrame, offset_s: float, reformatter: VideoReformatter, limits: TranscodeLimits) -> SmallPicture:
    if frame.width * frame.height > limits.max_pixels:
        detail = f"its pictures have {frame.width} x {frame.height} pixels, {limits.max_pixels} in all are taken"
        raise Refused("too_large", detail)
    width, height = fit((frame.width, frame.height), BOXES["thumbnail"])
    tier = encode_picture(Image.fromarray(reformatter.reformat(frame, width, height, "rgb24").to_ndarray()))
    return SmallPicture(offset_s, tier.data, tier.mime_type)
