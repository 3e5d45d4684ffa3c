"""From coded pictures to those frames that are wanted: decoded, at the rate that is due."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from datamanager.pull.pictures import Picture, is_whole_jpeg
from datamanager.pull.rates import AdaptiveRate, FrameGate
from datamanager.pull.settings import PullSettings
from datamanager.pull.sources import Coded, Source
from datamanager.pull.tally import Tally
from datamanager.pull.times import Times

__all__ = ["Decoding"]

_S = 10**9
_LATE_NS = _S
_BUSY = 0.7  # of the time: so much decoding is more than there is time for
_MOST_PIXELS = 64 * 1024 * 1024


class Decoding:
    """Decodes one source.

    Args:
        is_behind: whether the sender or the server is.
    """

    def __init__(self, settings: PullSettings, tally: Tally, is_behind: Callable[[], bool]) -> None:
        self._tally = tally
        self._adaptive = settings.adaptive
        self._is_behind = is_behind
        self._gate = FrameGate(settings.fps)
        self._rate = AdaptiveRate(settings.fps, settings.least_fps)
        self._decoder: VideoCodecContext | None = None
        self._pace = "live"
        self._counts = True
        self._time_base: Fraction | None = None
        self._needs_key = False
        self._last_ns = self._before_ns = -1
        self._busy_s = 0.0
        self._window_s = time.monotonic()
        self._share = 0.0

    def begin(self, source: Source, *, counts: bool) -> None:
        """Another connection: what it sends before its first keyframe cannot be decoded.

        Args:
            source: what it is.
            counts: whether what is left out until then is lost, rather than passed through.
        """
        self._pace = source.pace
        self._needs_key = True
        self._before_ns = self._last_ns
        self._counts = counts
        self._time_base = None if source.stream is None else source.stream.time_base
        self._tally.fps = self._gate.fps
        if source.stream is None:
            self._decoder = av.CodecContext.create("mjpeg", "r")
            self._decoder.options = {"max_pixels": str(_MOST_PIXELS)}
        else:
            self._decoder = source.stream.codec_context

    def frames(self, coded: Coded, times: Times, t_ns: int, arrived_s: float) -> Iterator[Picture]:
        """What is wanted of a picture, and of those that it completes.

        Args:
            coded: the picture.
            times: of the source.
            t_ns: its time.
            arrived_s: when it came, by a clock that never runs backwards.
        """
        self._needs_key = (self._needs_key or self._is_too_late(times)) and not coded.is_key
        if self._needs_key:
            self._tally.drops["left out up to a keyframe"] += self._counts
            return
        if is_whole_jpeg(coded.data):
            yield from self._wanted(coded.data, t_ns, times, arrived_s)
            return
        for frame in self._decode(coded.packet or Packet(coded.data)):
            yield from self._wanted(frame, self._time_of(frame, times, t_ns), times, arrived_s)

    def flush(self, times: Times, t_ns: int, arrived_s: float) -> Iterator[Picture]:
        """Those that the decoder still holds; see `frames`."""
        for frame in self._decode(None):
            yield from self._wanted(frame, self._time_of(frame, times, t_ns), times, arrived_s)

    def _decode(self, packet: "Packet[Any] | None") -> list[VideoFrame]:
        began_s = time.monotonic()
        try:
            return self._decoder.decode(packet) if self._decoder is not None else []
        except av.error.EOFError:
            return []
        except (av.error.FFmpegError, ValueError):
            self._tally.drops["broken"] += 1
            return []
        finally:
            self._spent(time.monotonic() - began_s)

    def _wanted(self, image: VideoFrame | bytes, t_ns: int, times: Times, arrived_s: float) -> Iterator[Picture]:
        if t_ns <= self._before_ns:
            return  # it came again after a reconnect
        t_ns = self._last_ns = times.ascending(t_ns)
        if self._adaptive and self._pace == "live":
            self._gate.fps = self._tally.fps = self._rate.look(time.monotonic(), behind=self._is_behind())
        if self._gate.passes(t_ns):
            yield Picture(t_ns, arrived_s, image)
        else:
            self._tally.skipped += 1

    def _is_too_late(self, times: Times) -> bool:
        """Whether pictures wait in the network because decoding them takes longer than they last."""
        return self._pace == "live" and times.late_ns > _LATE_NS and self._share > _BUSY

    def _spent(self, seconds: float) -> None:
        self._busy_s += seconds
        now_s = time.monotonic()
        if now_s - self._window_s >= 1:
            self._share = self._busy_s / (now_s - self._window_s)
            self._window_s, self._busy_s = now_s, 0.0

    def _time_of(self, frame: VideoFrame, times: Times, t_ns: int) -> int:
        """When a frame was taken: it may be another than the picture that came last; that one's, where it says nothing."""
        base = frame.time_base or self._time_base
        if frame.pts is None or base is None:
            return t_ns
        return times.of(frame.pts * base.numerator * _S // base.denominator, time.time_ns())
