"""Ogg files (RFC 3533) with Opus (RFC 7845), Vorbis, FLAC or Speex: the first page and the last one."""

from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.track import Container, Track
from datamanager.kinds.media.window import Window

__all__ = ["read_ogg"]

_HEADER = 27
_TAIL_BYTES = 128 * 1024  # a page has 65,307 bytes at most
_OPUS_RATE = 48_000
_MOST_STREAMS = 32
_BEGINS = 2


@dataclass(frozen=True, slots=True)
class _Page:
    flags: int
    granule: int
    stream: bytes
    start: int
    end: int


def read_ogg(window: Window) -> Container:
    """Reads the heads of its streams, and when the first ends.

    Raises:
        Refused: `bad_payload`: it is cut off, or holds no codec that is known.
    """
    container = Container("ogg")
    offset = 0
    first: _Page | None = None
    skip = 0
    for _ in range(_MOST_STREAMS):  # each stream begins with a page of its own, before all else
        if offset >= window.size:
            break
        if first is not None and window.get(offset, 4) != b"OggS":
            break  # something was lost after the first page: players find the next one
        page = _read_page(window, offset)
        if not page.flags & _BEGINS:
            break
        track, before = _read_head(window.get(page.start, min(page.end - page.start, 256)))
        container.tracks.append(track)
        if first is None and track.kind == "audio":
            first, skip = page, before
        offset = page.end
    if not container.tracks:
        raise Refused("bad_payload", "its first page begins no stream", offset=0)
    granule = _last_granule(window, first)
    audio = next(iter(container.of("audio")), None)
    if audio is not None and audio.rate and granule is not None and granule >= skip:
        clock = _OPUS_RATE if audio.codec == "opus" else audio.rate
        audio.duration_s = container.duration_s = (granule - skip) / clock
    return container


def _read_page(window: Window, offset: int) -> _Page:
    header = window.take(offset, _HEADER, "a page")
    if header[:4] != b"OggS" or header[4] != 0:
        raise Refused("bad_payload", "there is no page where one has to begin", offset=offset)
    table = window.take(offset + _HEADER, header[26], "the table of a page")
    start = offset + _HEADER + header[26]
    end = start + sum(table)
    if end > window.size:
        raise Refused(
            "bad_payload", f"a page has {end - offset} bytes, of which {window.size - offset} are there", offset=offset
        )
    granule = int.from_bytes(header[6:14], "little", signed=True)
    return _Page(header[5], granule, header[14:18], start, end)


def _read_head(data: bytes) -> tuple[Track, int]:
    """What a stream holds, and how many samples of its clock come before its beginning."""
    if data.startswith(b"OpusHead") and len(data) >= 19:
        return Track("audio", "opus", rate=_OPUS_RATE, channels=data[9]), int.from_bytes(data[10:12], "little")
    if data.startswith(b"\1vorbis") and len(data) >= 30:
        return Track("audio", "vorbis", rate=int.from_bytes(data[12:16], "little"), channels=data[11]), 0
    if data.startswith(b"\x7fFLAC") and len(data) >= 51:
        info = int.from_bytes(data[27:31])
        return Track("audio", "flac", rate=info >> 12, channels=(info >> 9 & 7) + 1), 0
    if data.startswith(b"Speex   ") and len(data) >= 52:
        rate, channels = int.from_bytes(data[36:40], "little"), int.from_bytes(data[48:52], "little")
        return Track("audio", "speex", rate=rate, channels=channels), 0
    if data.startswith((b"\x80theora", b"\1video")):
        return Track("video", "theora"), 0
    return Track("other", ""), 0


def _last_granule(window: Window, first: _Page | None) -> int | None:
    """The time of the last page that has one; the last page must be whole."""
    offset = max(0, window.size - _TAIL_BYTES)
    tail = window.get(offset, window.size - offset)
    at = tail.rfind(b"OggS\0")
    is_last = True
    while at >= 0:
        if is_last and len(tail) - at < _HEADER:
            raise Refused("bad_payload", "its last page is cut off", offset=offset + at)
        page = _read_page(window, offset + at)
        is_last = False
        if page.granule >= 0 and (first is None or page.stream == first.stream):
            return page.granule
        at = tail.rfind(b"OggS\0", 0, at)
    return None
