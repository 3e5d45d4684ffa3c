"""MP4, M4A and QuickTime files, whole or in fragments (ISO/IEC 14496-12): checked box by box, nothing decoded."""

from dataclasses import dataclass, field

from datamanager.errors import Refused
from datamanager.kinds.media.boxes import Box, walk_boxes
from datamanager.kinds.media.fragments import Defaults, Run, read_defaults, read_fragment
from datamanager.kinds.media.mp4_track import Mp4Track, read_track
from datamanager.kinds.media.track import Container
from datamanager.kinds.media.window import Window

__all__ = ["Mp4", "read_mp4"]

_MOST_BOXES = 4000  # at the top: a file of more is fragments of which these are looked at
_MOST_FRAGMENTS = 1000
_MOST_TRACKS = 1000


@dataclass(slots=True)
class Mp4:
    """What an MP4 file is.

    Attributes:
        part: `whole`; or `init`, `media`: the head of a stream of fragments, and what may follow it.
        runs: what its fragments hold.
        timescales: ticks in a second of each track, by its number.
        init_end: where `moov` ends, before which all that comes stands that a player needs first.
    """

    container: Container
    part: str = "whole"
    runs: list[Run] = field(default_factory=list)
    timescales: dict[int, int] = field(default_factory=dict)


def read_mp4(window: Window) -> Mp4:
    """Reads the boxes of a file.

    Raises:
        Refused: `bad_payload`: it is cut off, or lacks its table of contents.
    """
    found = Mp4(Container("mp4"))
    moov: Box | None = None
    moofs: list[Box] = []
    has_media = False
    for box in walk_boxes(window, 0, window.size, _MOST_BOXES, is_top=True):
        if box.kind == b"ftyp":
            found.container.format = _format_of(window.get(box.start, 4))
        elif box.kind == b"moov" and moov is None:
            moov = box
        elif box.kind == b"moof" and len(moofs) < _MOST_FRAGMENTS:
            moofs.append(box)
        has_media = has_media or box.kind == b"mdat"
    if moov is None and not moofs:
        raise Refused("bad_payload", "it has no moov box: its writer did not finish it", offset=window.size)
    defaults: Defaults = {} if moov is None else _read_moov(window, moov, found)
    is_fragmented = "fragmented" in found.container.extra
    if moov is None or (is_fragmented and not moofs and not has_media):
        found.part = "media" if moov is None else "init"
    for moof in moofs:
        found.runs += read_fragment(window, moof, defaults)
    _add_fragments(found)
    return found


def _format_of(brand: bytes) -> str:
    return {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a"}.get(brand, "mp4")


def _read_moov(window: Window, moov: Box, found: Mp4) -> Defaults:
    defaults: Defaults = {}
    tracks: list[Mp4Track] = []
    for box in walk_boxes(window, moov.start, moov.end, _MOST_TRACKS):
        if box.kind == b"mvhd":
            found.container.duration_s = _movie_duration(window, box)
        elif box.kind == b"trak":
            tracks.append(read_track(window, box))
        elif box.kind == b"mvex":
            defaults = read_defaults(window, box)
            found.container.extra["fragmented"] = True
        elif box.kind == b"cmov":
            raise Refused("bad_payload", "its table of contents is compressed, which is not taken", offset=box.offset)
    found.container.tracks = [track.track for track in tracks]
    found.timescales = {track.number: track.timescale for track in tracks}
    return defaults


def _movie_duration(window: Window, header: Box) -> float | None:
    data = window.get(header.start, min(36, header.end - header.start))
    if data[:1] == b"\1":
        timescale, duration, unknown = int.from_bytes(data[20:24]), int.from_bytes(data[24:32]), 2**64 - 1
    else:
        timescale, duration, unknown = int.from_bytes(data[12:16]), int.from_bytes(data[16:20]), 2**32 - 1
    return duration / timescale if timescale and duration not in (0, unknown) else None


def _add_fragments(found: Mp4) -> None:
    """What fragments hold belongs to their tracks."""
    for number, track in zip(found.timescales, found.container.tracks, strict=False):
        runs = [run for run in found.runs if run.track == number]
        timescale, samples, ticks = found.timescales[number], sum(r.samples for r in runs), sum(r.ticks for r in runs)
        if not samples or not timescale:
            continue
        track.duration_s = (track.duration_s or 0) + ticks / timescale
        if track.kind == "video":
            track.frames = (track.frames or 0) + samples
            track.keyframes = track.keyframes or None
            track.fps = samples * timescale / ticks if ticks else None
    if found.part == "media":
        found.container.extra["samples"] = sum(run.samples for run in found.runs)
