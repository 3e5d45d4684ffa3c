"""One track of an MP4 or QuickTime file: the boxes of `trak` (ISO/IEC 14496-12, sections 8.3 to 8.6)."""

from dataclasses import dataclass

from datamanager.kinds.media.boxes import Box, find_box, walk_boxes
from datamanager.kinds.media.track import Track, TrackKind
from datamanager.kinds.media.window import Window

__all__ = ["Mp4Track", "read_track"]

_HANDLERS: dict[bytes, TrackKind] = {b"vide": "video", b"soun": "audio"}
_MOST_RUNS = 4096  # of sample durations: of more, the mean of these counts
_UNKNOWN = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


@dataclass(slots=True)
class Mp4Track:
    """A track, and what fragments need to know of it.

    Attributes:
        number: as fragments name it.
        timescale: ticks of its clock in a second.
    """

    track: Track
    number: int
    timescale: int


def read_track(window: Window, trak: Box) -> Mp4Track:
    """Reads a `trak`.

    Raises:
        Refused: `bad_payload`: a box in it is broken.
    """
    parts = {box.kind: box for box in walk_boxes(window, trak.start, trak.end, 64)}
    number = _track_number(window, parts.get(b"tkhd"))
    media = parts.get(b"mdia")
    if media is None:
        return Mp4Track(Track("other", ""), number, 0)
    boxes = {box.kind: box for box in walk_boxes(window, media.start, media.end, 64)}
    timescale, duration = _media_header(window, boxes.get(b"mdhd"))
    handler = boxes.get(b"hdlr")
    kind = window.get(handler.start + 8, 4) if handler else b""
    track = Track(_HANDLERS.get(kind, "other"), "")
    if timescale and duration not in _UNKNOWN:
        track.duration_s = duration / timescale
    information = boxes.get(b"minf")
    table = find_box(window, information, b"stbl") if information else None
    if table is not None:
        _read_table(window, table, track, timescale)
    return Mp4Track(track, number, timescale)


def _track_number(window: Window, header: Box | None) -> int:
    if header is None:
        return 0
    is_long = window.take(header.start, 1, "the track's header")[0] == 1
    return int.from_bytes(window.take(header.start + (20 if is_long else 12), 4, "the track's header"))


def _media_header(window: Window, header: Box | None) -> tuple[int, int]:
    if header is None:
        return 0, 0
    data = window.get(header.start, min(36, header.end - header.start))
    if data[:1] == b"\1":
        return int.from_bytes(data[20:24]), int.from_bytes(data[24:32])
    return int.from_bytes(data[12:16]), int.from_bytes(data[16:20])


def _read_table(window: Window, table: Box, track: Track, timescale: int) -> None:
    boxes = {box.kind: box for box in walk_boxes(window, table.start, table.end, 64)}
    if b"stsd" in boxes:
        _read_description(window, boxes[b"stsd"], track)
    if b"stts" in boxes:
        frames, ticks = _runs(window, boxes[b"stts"])
        track.frames = frames or None
        if frames and ticks and timescale and track.kind == "video":
            track.fps = frames * timescale / ticks
    if track.kind != "video":
        track.frames = None
    elif b"stss" in boxes:
        track.keyframes = _count(window, boxes[b"stss"], 4)
    else:
        track.keyframes = track.frames  # without that table every picture stands by itself


def _read_description(window: Window, box: Box, track: Track) -> None:
    entry = next(walk_boxes(window, box.start + 8, box.end, 1), None)
    if entry is None:
        return
    track.codec = entry.name.strip()
    fields = window.get(entry.start, min(36, entry.end - entry.start))
    if track.kind == "video" and len(fields) >= 28:
        track.width, track.height = int.from_bytes(fields[24:26]), int.from_bytes(fields[26:28])
    if track.kind == "audio" and len(fields) >= 28:
        track.channels = int.from_bytes(fields[16:18]) or None
        track.rate = int.from_bytes(fields[24:26]) or None  # 16.16 fixed point


def _count(window: Window, box: Box, entry_bytes: int) -> int:
    """How many entries a table has: what it says, but no more than it has room for."""
    said = int.from_bytes(window.get(box.start + 4, 4)) if box.end - box.start >= 8 else 0
    return min(said, max(0, box.end - box.start - 8) // entry_bytes)


def _runs(window: Window, box: Box) -> tuple[int, int]:
    """Samples and ticks of the table of sample durations."""
    runs = min(_count(window, box, 8), _MOST_RUNS)
    data = window.get(box.start + 8, runs * 8)
    samples = ticks = 0
    for at in range(0, len(data) - 7, 8):
        count, ticks_each = int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])
        samples += count
        ticks += count * ticks_each
    return samples, ticks
