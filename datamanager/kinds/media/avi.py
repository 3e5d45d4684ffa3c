"""AVI files, with the extension for more than 1 GB (OpenDML): the headers of streams, and the old index."""

from datamanager.errors import Refused
from datamanager.kinds.media.riff import UNKNOWN_SIZES, Chunk, walk_chunks
from datamanager.kinds.media.track import Container, Track, TrackKind
from datamanager.kinds.media.window import Window

__all__ = ["read_avi"]

_MOST_CHUNKS = 4096
_MOST_INDEX_BYTES = 2 << 20
_KINDS: dict[bytes, TrackKind] = {b"vids": "video", b"auds": "audio"}
_INDEX_ENTRY, _IS_KEYFRAME = 16, 0x10


def read_avi(window: Window) -> Container:
    """Reads its headers.

    Raises:
        Refused: `bad_payload`: it is cut off, or has no headers or no pictures.
    """
    container = Container("avi")
    has_media = False
    for riff in _riffs(window):
        for chunk in walk_chunks(window, riff.start + 4, riff.end, _MOST_CHUNKS):
            form = window.get(chunk.start, 4) if chunk.kind == b"LIST" else b""
            if form == b"hdrl":
                _read_headers(window, chunk, container)
            elif form == b"movi":
                has_media = True
            elif chunk.kind == b"idx1" and container.of("video"):
                _read_index(window, chunk, container)
    if not container.tracks or not has_media:
        missing = "headers of streams" if not container.tracks else "list of pictures"
        raise Refused("bad_payload", f"it has no {missing}", offset=window.size)
    return container


def _riffs(window: Window) -> list[Chunk]:
    said = int.from_bytes(window.take(0, 12, "the file")[4:8], "little")
    if said in UNKNOWN_SIZES:  # its writer did not come to the end: what there is counts
        return [Chunk(b"RIFF", 0, 8, window.size)]
    return [c for c in walk_chunks(window, 0, window.size, 256) if c.kind == b"RIFF"]


def _read_headers(window: Window, headers: Chunk, container: Container) -> None:
    for chunk in walk_chunks(window, headers.start + 4, headers.end, _MOST_CHUNKS):
        if chunk.kind == b"LIST" and window.get(chunk.start, 4) == b"strl":
            parts = {c.kind: c for c in walk_chunks(window, chunk.start + 4, chunk.end, 64)}
            if b"strh" in parts:
                container.tracks.append(_read_stream(window, parts[b"strh"], parts.get(b"strf")))


def _read_stream(window: Window, header: Chunk, form: Chunk | None) -> Track:
    data = window.take(header.start, 36, "the header of a stream")
    details = window.get(form.start, min(40, form.end - form.start)) if form else b""
    track = Track(_KINDS.get(data[:4], "other"), "")
    scale, rate, length = (int.from_bytes(data[i : i + 4], "little") for i in (20, 24, 32))
    if scale and rate:
        track.duration_s = length * scale / rate or None
    if track.kind == "video":
        code = details[16:20] if len(details) >= 20 else data[4:8]
        track.codec = code.rstrip(b"\0 ").decode("latin-1").encode("unicode_escape").decode()
        track.fps = rate / scale if scale and rate else None
        track.frames = length or None
        if len(details) >= 12:
            track.width = int.from_bytes(details[4:8], "little")
            track.height = abs(int.from_bytes(details[8:12], "little", signed=True))  # negative: from the top down
    elif track.kind == "audio" and len(details) >= 8:
        track.codec = f"0x{int.from_bytes(details[:2], 'little'):04x}"
        track.channels = int.from_bytes(details[2:4], "little")
        track.rate = int.from_bytes(details[4:8], "little")
    return track


def _read_index(window: Window, chunk: Chunk, container: Container) -> None:
    """Counts the keyframes of the first picture track, by an index that is not too long and names all of its pictures.

    That of a file above a gigabyte names those in the first one alone (OpenDML 1.02).
    """
    size = chunk.end - chunk.start
    if size > _MOST_INDEX_BYTES:
        return
    data = window.get(chunk.start, size)
    track = container.of("video")[0]
    number = b"%02d" % container.tracks.index(track)
    flags = [data[i + 4] & _IS_KEYFRAME for i in range(0, len(data) - 15, _INDEX_ENTRY) if data[i : i + 2] == number]
    if track.frames is None or len(flags) >= track.frames:
        track.keyframes = sum(1 for flag in flags if flag)
