"""Makes the 640 x 360 preview of a video, segment by segment: H.264 and AAC, each segment decodable by itself.

A video may be hours long. A `Transcoder` gives its segments one by one, may be left at any boundary and made anew
there by whoever goes on: what it gives then fits to what came before.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
from av.audio.frame import AudioFrame
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import VideoReformatter

from datamanager.errors import Refused
from datamanager.kinds.source import Source
from datamanager.worker.media.avc import find_form, read_nals, with_lengths
from datamanager.worker.media.fmp4 import (
    AUDIO_RATE,
    TICKS_PER_S,
    Piece,
    Run,
    Segment,
    VideoForm,
    init_segment,
    media_segment,
)
from datamanager.worker.media.opening import codec_of, decoded, opened
from datamanager.worker.media.soundtrack import Soundtrack
from datamanager.worker.tier import BOXES, fit

__all__ = ["TranscodeLimits", "Transcoder"]

_SEGMENT_TICKS = 4 * TICKS_PER_S
_LEAST_TICKS = TICKS_PER_S // 31  # between two pictures: of a video of 60 a second every other one is left out
_NOMINAL_TICKS = TICKS_PER_S // 30
_MOST_GAP_S = 60.0  # times that jump further are no times
_SEEK_BEFORE_S = 1.5  # so that there is sound before the first picture that is kept
_PENDING_SEGMENTS = 3  # how many wait for their sound, of a file whose sound stands far from its pictures
_ENCODER = {
    "preset": "veryfast",
    "crf": "26",
    "maxrate": "1200k",
    "bufsize": "2400k",
    "bf": "0",
    "g": "600",
    "sc_threshold": "0",
    "forced-idr": "1",
    "threads": "1",
}


@dataclass(frozen=True, slots=True)
class TranscodeLimits:
    """How much is worked on.

    Attributes:
        max_duration_s: of one video.
        max_pixels: of one picture.
    """

    max_duration_s: float
    max_pixels: int


class Transcoder:
    """Makes the segments of one video. Close it when it is of no more use.

    Args:
        source: the video.
        form: its format, as ingest found it.
        limits: how much is worked on.
        start: where to begin: 0, or where a segment that was made before ends.
        base: ticks that all times are moved by.
        number: how many segments there are before.
        fps: pictures a second, of a stream that has no times.

    Raises:
        Refused: `bad_payload`, `too_large`: it cannot be opened.
    """

    def __init__(
        self,
        source: Source,
        form: str,
        limits: TranscodeLimits,
        start: int = 0,
        base: int = 0,
        number: int = 0,
        fps: float = 30.0,
    ) -> None:
        self._limits, self._start, self._base, self._number = limits, start, base, number
        self._rate = Fraction(fps).limit_denominator(1001) if form == "h264" else None
        self.at = start
        self.init = b""
        self.codecs = ""
        self.cut: str | None = None
        self._stack = ExitStack()
        self._container = self._stack.enter_context(opened(source, form))
        self._video: Any = self._container.streams.best("video")
        if self._video is None:
            self.close()
            raise Refused("bad_payload", "no track of pictures is found in it")
        audio: Any = self._container.streams.best("audio")
        self._audio = audio if audio is not None and audio.codec_context is not None else None
        codec_of(self._video).options = {"max_pixels": str(limits.max_pixels)}
        self._zero_s: float | None = None
        self._encoder: Any = None
        self._reformatter = VideoReformatter()
        self._soundtrack: Soundtrack | None = None
        self._form: VideoForm | None = None
        self._size = (0, 0)
        self._last: int | None = None
        self._begun: int | None = None  # where the segment that is being encoded begins
        self._boundaries: list[int] = []
        self._pictures: list[tuple[int, bytes, bool]] = []

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the preview."""
        return self._size

    def close(self) -> None:
        """Lets go of the video."""
        self._stack.close()

    def segments(self) -> Iterator[Segment]:
        """The segments from `start` on. `cut` tells afterwards why the rest is missing, where it is.

        Raises:
            Refused: `bad_payload`: nothing can be decoded.
        """
        for frame in self._frames():
            if isinstance(frame, AudioFrame):
                self._hear(frame)
            elif not self._see(frame):
                break
            yield from self._complete(_PENDING_SEGMENTS)
        yield from self._finish()

    def _frames(self) -> Iterator[Any]:
        if self._rate is not None:
            yield from self._timeless(self._rate)
            return
        streams = [self._video] + ([self._audio] if self._audio is not None else [])
        first = next((f for f in decoded(self._container, [self._video]) if f.time is not None), None)
        if first is None:
            raise Refused("bad_payload", "no picture of it can be decoded")
        self._prepare(first)
        until_s = self._zero_s or 0.0
        self._seek(max(until_s, until_s + self._start / TICKS_PER_S - _SEEK_BEFORE_S))
        try:
            yield from decoded(self._container, streams)
        except Refused as refused:
            self.cut = refused.detail

    def _timeless(self, rate: Fraction) -> Iterator[VideoFrame]:
        """The pictures of a stream without times, which comes from its beginning only."""
        for number, frame in enumerate(decoded(self._container, [self._video])):
            frame.pts, frame.time_base = number, 1 / rate
            if number == 0:
                self._prepare(frame)
            yield frame

    def _seek(self, seconds: float) -> None:
        try:
            self._container.seek(int(seconds / self._video.time_base), stream=self._video, backward=True)
        except av.error.FFmpegError:  # some formats cannot: from the beginning, then
            self._container.seek(0)

    def _prepare(self, first: VideoFrame) -> None:
        if first.width * first.height > self._limits.max_pixels:
            detail = (
                f"its pictures have {first.width} x {first.height} pixels, {self._limits.max_pixels} in all are taken"
            )
            raise Refused("too_large", detail)
        width, height = fit((first.width, first.height), BOXES["preview"])
        self._size = (max(2, width // 2 * 2), max(2, height // 2 * 2))
        self._zero_s = float(first.time or 0)
        if self._audio is not None:
            self._soundtrack = Soundtrack(self._audio.codec_context.channels, self._start * AUDIO_RATE // TICKS_PER_S)
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height = self._size
        encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, TICKS_PER_S)
        encoder.framerate = Fraction(30)
        encoder.options = dict(_ENCODER)
        encoder.open()
        self._encoder = encoder

    def _hear(self, frame: AudioFrame) -> None:
        seconds = None if frame.time is None else frame.time - (self._zero_s or 0)
        ahead_s = 0.0 if seconds is None else seconds - (self._last or self._start) / TICKS_PER_S
        if self._soundtrack is not None and abs(ahead_s) < _MOST_GAP_S:
            self._soundtrack.add(frame, seconds)

    def _see(self, frame: VideoFrame) -> bool:
        """Takes in a picture; False when the video is to end here."""
        if frame.time is None:
            return True
        at = round((frame.time - (self._zero_s or 0)) * TICKS_PER_S)
        if at < self._start or (self._last is not None and at < self._last + _LEAST_TICKS):
            return True
        if at - (self._start if self._last is None else self._last) > _MOST_GAP_S * TICKS_PER_S:
            self.cut = f"its times jump at {at / TICKS_PER_S:.3f} s"
            return False
        if at >= self._limits.max_duration_s * TICKS_PER_S:
            self.cut = f"it is longer than {self._limits.max_duration_s:g} s"
            return False
        self._encode(frame, at)
        return True

    def _encode(self, frame: VideoFrame, at: int) -> None:
        at = self._start if self._last is None else at  # a seek may miss the first by the breadth of a clock's tick
        is_boundary = self._begun is None or at - self._begun >= _SEGMENT_TICKS
        small = self._reformatter.reformat(frame, *self._size, "yuv420p")
        small.pts, small.time_base = at, Fraction(1, TICKS_PER_S)
        small.pict_type = PictureType.I if is_boundary else PictureType.NONE
        if is_boundary:
            self._begun = at
            self._boundaries.append(at)
        self._last = at
        self._gather(self._encoder.encode(small))

    def _gather(self, packets: list[Any]) -> None:
        for packet in packets:
            units = read_nals(bytes(packet))
            if self._form is None:
                self._form = find_form(units)
            self._pictures.append((packet.pts, with_lengths(units), packet.is_keyframe))

    def _complete(self, most_pending: int) -> Iterator[Segment]:
        """The segments whose pictures and sound are all there; without the sound where too many wait for it."""
        while len(self._boundaries) > 1 and self._pictures and self._pictures[-1][0] >= self._boundaries[1]:
            end = self._boundaries[1]
            waits = self._soundtrack is not None and self._soundtrack.end < end * AUDIO_RATE // TICKS_PER_S
            if waits and len(self._boundaries) <= most_pending:
                return
            yield self._cut_off(end)
            self._boundaries.pop(0)

    def _finish(self) -> Iterator[Segment]:
        if self._encoder is not None and self._last is not None:
            self._gather(self._encoder.encode(None))
        if self._soundtrack is not None:
            self._soundtrack.finish()
        yield from self._complete(0)
        if not self._pictures:
            if self._last is None and not self._start:
                raise Refused("bad_payload", "no picture of it can be decoded")
            return
        spread = [b[0] - a[0] for a, b in zip(self._pictures, self._pictures[1:], strict=False)]
        yield self._cut_off(self._pictures[-1][0] + (spread[-1] if spread else _NOMINAL_TICKS))

    def _cut_off(self, end: int) -> Segment:
        pictures = [p for p in self._pictures if p[0] < end]
        self._pictures = self._pictures[len(pictures) :]
        times = [p[0] for p in pictures] + [end]
        pieces = [Piece(p[1], times[i + 1] - times[i], p[2]) for i, p in enumerate(pictures)]
        sound = self._soundtrack.take(end * AUDIO_RATE // TICKS_PER_S) if self._soundtrack is not None else None
        if not self.init:
            self._make_init()
        if sound is not None:
            sound = Run(sound.start + self._base * AUDIO_RATE // TICKS_PER_S, sound.pieces)
        start = times[0]
        self._number += 1
        data = media_segment(self._number, Run(start + self._base, pieces), sound)
        self.at = end
        return Segment(start, end - start, data)

    def _make_init(self) -> None:
        if self._form is None:
            raise Refused("bad_payload", "the encoder gave no parameters")
        self.init = init_segment(self._form, self._soundtrack.form if self._soundtrack is not None else None)
        self.codecs = self._form.known.codec + (",mp4a.40.2" if self._soundtrack is not None else "")
