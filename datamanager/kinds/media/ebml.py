"""WebM and Matroska files (RFC 8794, RFC 9559): tracks, durations, cues; clusters are stepped over."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.track import Container, Track, TrackKind
from datamanager.kinds.media.window import Window

__all__ = ["read_ebml"]

_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_DOCTYPE, _INFO, _TRACKS, _CUES, _CUE_POINT = 0x4282, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0xBB
_TIMESCALE, _DURATION = 0x2AD7B1, 0x4489
_ENTRY, _TYPE, _CODEC, _DEFAULT_DURATION, _VIDEO, _AUDIO = 0xAE, 0x83, 0x86, 0x23E383, 0xE0, 0xE1
_WIDTH, _HEIGHT, _RATE, _CHANNELS = 0xB0, 0xBA, 0xB5, 0x9F
_MOST_ELEMENTS = 2000
_MOST_CUES = 20_000
_MOST_CUE_BYTES = 1 << 20
_MOST_VALUE_BYTES = 4096
_KINDS: dict[int, TrackKind] = {1: "video", 2: "audio"}


@dataclass(frozen=True, slots=True)
class _Element:
    """One element; `end` is None where its size is unknown, which live recordings have."""

    id: int
    offset: int
    start: int
    end: int | None


def read_ebml(window: Window) -> Container:
    """Reads what stands before and between the clusters.

    Raises:
        Refused: `bad_payload`: it is cut off or broken; `kind_mismatch`: it is EBML of another sort.
    """
    head = _read(window, 0, window.size)
    doctype = next((_text(window, e) for e in _walk(window, head.start, head.end or 0) if e.id == _DOCTYPE), "")
    if doctype not in ("webm", "matroska"):
        raise Refused("kind_mismatch", f"the content is EBML of type {doctype[:40]!r}, not WebM or Matroska")
    container = Container("webm" if doctype == "webm" else "mkv")
    at = head.end or 0
    segment = _read(window, at, window.size)
    if segment.id != _SEGMENT:
        raise Refused("bad_payload", "no segment follows its head", offset=at)
    _read_segment(window, segment, container)
    if not container.tracks:
        raise Refused("bad_payload", "it has no tracks", offset=segment.start)
    _add_keyframes(container)
    if segment.end is None:
        container.extra["live"] = True
    return container


def _read_segment(window: Window, segment: _Element, container: Container) -> None:
    for element in _walk(window, segment.start, segment.end or window.size, is_live=segment.end is None):
        if element.end is None:
            break  # a cluster of unknown size: what follows can only be found by reading all of it
        if element.id == _INFO:
            scale, ticks = _read_info(window, element)
            container.duration_s = ticks * scale / 1e9 or None
        elif element.id == _TRACKS:
            entries = [e for e in _walk(window, element.start, element.end) if e.id == _ENTRY]
            container.tracks = [_read_track(window, e) for e in entries]
        elif element.id == _CUES:
            container.extra["cues"] = _count_cues(window, element)


def _walk(window: Window, start: int, end: int, *, is_live: bool = False) -> Iterator[_Element]:
    offset = start
    for _ in range(_MOST_ELEMENTS):
        if offset >= end:
            return
        try:
            element = _read(window, offset, end)
        except Refused:
            if is_live:  # a recording without an end may break off anywhere
                return
            raise
        yield element
        if element.end is None:
            return
        offset = element.end


def _read(window: Window, offset: int, end: int) -> _Element:
    """One element's header (RFC 8794, sections 4 to 6)."""
    data = window.get(offset, 12)
    id_bytes = _length(data, 4)
    if id_bytes is None or len(data) < id_bytes + 1:
        raise Refused("bad_payload", "no element begins where one has to", offset=offset)
    size_bytes = _length(data[id_bytes:], 8)
    if size_bytes is None or len(data) < id_bytes + size_bytes:
        raise Refused("bad_payload", "an element has no size", offset=offset)
    number = int.from_bytes(data[:id_bytes])
    raw = int.from_bytes(data[id_bytes : id_bytes + size_bytes])
    mask = (1 << 7 * size_bytes) - 1
    start = offset + id_bytes + size_bytes
    if raw & mask == mask:
        if number not in (_SEGMENT, _CLUSTER):
            raise Refused("bad_payload", f"element {number:#x} may not be of unknown size", offset=offset)
        return _Element(number, offset, start, None)
    size = raw & mask
    if start + size > end:
        detail = f"element {number:#x} has {size} bytes, of which {end - start} are there"
        raise Refused("bad_payload", detail, offset=offset)
    return _Element(number, offset, start, start + size)


def _length(data: bytes, most: int) -> int | None:
    """How many bytes a number takes, by the zeros that it begins with."""
    if not data or not data[0]:
        return None
    length = 9 - data[0].bit_length()
    return length if length <= most else None


def _read_info(window: Window, element: _Element) -> tuple[int, float]:
    scale, ticks = 1_000_000, 0.0
    for e in _walk(window, element.start, element.end or 0):
        if e.id == _TIMESCALE:
            scale = _number(window, e) or scale
        elif e.id == _DURATION:
            ticks = _float(window, e)
    return scale, ticks


def _read_track(window: Window, entry: _Element) -> Track:
    track = Track("other", "")
    for e in _walk(window, entry.start, entry.end or 0):
        if e.id == _TYPE:
            track.kind = _KINDS.get(_number(window, e), "other")
        elif e.id == _CODEC:
            track.codec = _text(window, e)
        elif e.id == _DEFAULT_DURATION and (nanoseconds := _number(window, e)):
            track.fps = 1e9 / nanoseconds
        elif e.id in (_VIDEO, _AUDIO):
            _read_form(window, e, track)
    if track.kind != "video":
        track.fps = None
    if track.kind == "audio":
        track.rate, track.channels = track.rate or 8000, track.channels or 1  # the defaults of the format
    return track


def _read_form(window: Window, form: _Element, track: Track) -> None:
    for e in _walk(window, form.start, form.end or 0):
        if e.id == _WIDTH:
            track.width = _number(window, e)
        elif e.id == _HEIGHT:
            track.height = _number(window, e)
        elif e.id == _RATE:
            rate = _float(window, e)
            track.rate = int(rate) if 0 < rate < 1e7 else None
        elif e.id == _CHANNELS:
            track.channels = _number(window, e)


def _count_cues(window: Window, cues: _Element) -> int | None:
    """How many places the index has: one a keyframe, mostly; None of more than are looked at."""
    end = cues.end or 0
    if end - cues.start > _MOST_CUE_BYTES:
        return None
    offset, count = cues.start, 0
    while offset < end and count < _MOST_CUES:
        element = _read(window, offset, end)
        count += element.id == _CUE_POINT
        offset = element.end or end
    return count


def _add_keyframes(container: Container) -> None:
    videos, cues = container.of("video"), container.extra.pop("cues", None)
    if videos and cues:
        videos[0].keyframes = cues
    if videos and videos[0].fps and container.duration_s and container.duration_s < 1e7:
        videos[0].frames = round(videos[0].fps * container.duration_s)


def _value(window: Window, element: _Element) -> bytes:
    size = (element.end or element.start) - element.start
    if size > _MOST_VALUE_BYTES:
        raise Refused("bad_payload", f"element {element.id:#x} has {size} bytes for one value", offset=element.offset)
    return window.get(element.start, size)


def _number(window: Window, element: _Element) -> int:
    return int.from_bytes(_value(window, element)[:8])


def _float(window: Window, element: _Element) -> float:
    data = _value(window, element)
    form = {4: ">f", 8: ">d"}.get(len(data))
    value = float(struct.unpack(form, data)[0]) if form else 0.0
    return value if 0 <= value < 1e300 else 0.0


def _text(window: Window, element: _Element) -> str:
    return _value(window, element)[:64].rstrip(b"\0").decode("utf-8", "replace")
