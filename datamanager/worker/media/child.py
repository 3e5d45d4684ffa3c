"""What a child process does with one video: a slice of its segments at a time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from datamanager.kinds.source import Source
from datamanager.worker.media.fmp4 import Segment
from datamanager.worker.media.refusing import refusing
from datamanager.worker.media.transcode import TranscodeLimits, Transcoder

__all__ = ["Slice", "SliceRequest", "transcode_slice"]


@dataclass(frozen=True, slots=True)
class SliceRequest:
    """Which part of which video.

    Attributes:
        key: names the video.
        form: its format, as ingest found it.
        start: where to begin, in ticks.
        number: how many segments there are before.
        base: ticks that all times are moved by.
        fps: pictures a second, of a stream that has no times.
        budget_s: how long to work, once there is a segment.
        most_bytes: how much to make, about.
    """

    key: str
    form: str
    start: int
    number: int
    limits: TranscodeLimits
    base: int = 0
    fps: float = 30.0
    budget_s: float = 8.0
    most_bytes: int = 16_000_000


@dataclass(slots=True)
class Slice:
    """What was made.

    Attributes:
        at: where the next slice begins.
        finished: whether there is none.
        cut: why not all of the video was worked on.
    """

    init: bytes = b""
    codecs: str = ""
    size: tuple[int, int] = (0, 0)
    segments: list[Segment] = field(default_factory=list)
    at: int = 0
    finished: bool = False
    cut: str | None = None


class _Renewable:
    """A source that may be exchanged for one of the same content whose address is still good."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def size(self) -> int:
        return self.source.size

    def read(self, offset: int, size: int) -> bytes:
        return self.source.read(offset, size)


@dataclass(slots=True)
class _Open:
    key: str
    source: _Renewable
    transcoder: Transcoder
    segments: Iterator[Segment]


class _Held:
    """The video that was worked on last, as it was left: going on with it needs no seeking."""

    open: _Open | None = None


def transcode_slice(source: Source, request: SliceRequest) -> Slice:
    """Makes the segments that follow `request.start`, as many as the time allows, one at least.

    Raises:
        Refused: `bad_payload`, `too_large`: it cannot be opened or decoded.
    """
    found = Slice(at=request.start)
    try:
        with refusing():
            work = _take_up(source, request)
            found.finished = _make(work, request, found)
    except BaseException:
        _let_go()
        raise
    transcoder = work.transcoder
    found.init, found.codecs, found.size = transcoder.init, transcoder.codecs, transcoder.size
    found.at, found.cut = transcoder.at, transcoder.cut
    if found.finished:
        _let_go()
    return found


def _make(work: _Open, request: SliceRequest, found: Slice) -> bool:
    """Makes segments for as long as the time allows; whether these were the last."""
    until_s, size = time.monotonic() + request.budget_s, 0
    for segment in work.segments:
        found.segments.append(segment)
        size += len(segment.data)
        if time.monotonic() > until_s or size > request.most_bytes:
            return False
    return True


def _take_up(source: Source, request: SliceRequest) -> _Open:
    held = _Held.open
    if held is not None and held.key == request.key and held.transcoder.at == request.start:
        held.source.source = source
        return held
    _let_go()
    renewable = _Renewable(source)
    transcoder = Transcoder(
        renewable, request.form, request.limits, request.start, request.base, request.number, request.fps
    )
    _Held.open = _Open(request.key, renewable, transcoder, transcoder.segments())
    return _Held.open


def _let_go() -> None:
    if _Held.open is not None:
        _Held.open.transcoder.close()
        _Held.open = None
