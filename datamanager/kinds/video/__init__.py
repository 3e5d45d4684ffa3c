"""Kind `video`: MP4, QuickTime, WebM, Matroska and AVI whole; fragments of MP4 or H.264 (annex B) in chunks."""

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.media.annexb import read_annexb
from datamanager.kinds.media.avi import read_avi
from datamanager.kinds.media.ebml import read_ebml
from datamanager.kinds.media.jobs import HLS_JOB, THUMBNAILS_JOB
from datamanager.kinds.media.mp4 import read_mp4
from datamanager.kinds.media.said import check_said
from datamanager.kinds.media.sniff import name_other, sniff_media
from datamanager.kinds.media.track import Container, check_tracks, describe
from datamanager.kinds.media.window import Window
from datamanager.kinds.source import Source

__all__ = ["examine"]

_MIME_TYPES = {
    "mp4": ("video/mp4", "mp4"),
    "m4a": ("video/mp4", "mp4"),
    "mov": ("video/quicktime", "mov"),
    "webm": ("video/webm", "webm"),
    "mkv": ("video/x-matroska", "mkv"),
    "avi": ("video/x-msvideo", "avi"),
    "h264": ("video/h264", "h264"),
}
_ACCEPTED = "MP4, QuickTime, WebM, Matroska, AVI, fragments of MP4, and H.264 (annex B)"
_SOUNDS = {"wav": "a WAV", "ogg": "an Ogg", "flac": "a FLAC", "mp3": "an MP3"}
_HEAD_BYTES = 64
_MOST_FPS = 1000


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a video by the structure of its file, and says what it is.

    Raises:
        Refused: `kind_mismatch` for pictures that do not move, and sound without pictures; `bad_payload` for what is
            broken or cut off, with the offset; `too_large` beyond the limits.
    """
    container, part = _read(source)
    if part == "chunk":
        _add_rate(container, hints)
    check_tracks(container.tracks, limits)
    if part != "media" and not container.of("video"):
        if container.of("audio"):
            detail = f"the content is {container.format} with sound only (kind audio), not video"
            raise Refused("kind_mismatch", detail)
        raise Refused("bad_payload", f"the {container.format} has no track of pictures")
    mime_type, ending = _MIME_TYPES[container.format]
    metadata = describe(container) | check_said(hints, container.format)
    if part == "chunk" and not container.tracks[0].frames:
        part = "init"  # parameters alone: what follows needs them
    metadata["part"] = part
    wants = {"whole": (THUMBNAILS_JOB, HLS_JOB), "chunk": (HLS_JOB,), "media": (HLS_JOB,), "init": ()}[part]
    return Found(mime_type, f"video.{ending}", metadata, wants=wants)


def _add_rate(container: Container, hints: Hints) -> None:
    """A chunk of a stream often does not say how many pictures a second there are: its payload may."""
    said = hints.payload.get("fps")
    if said is None:
        return
    if isinstance(said, bool) or not isinstance(said, int | float):
        raise Refused("wrong_type", f"fps must be a number, not {type(said).__name__}")
    if not 0 < said <= _MOST_FPS:
        raise Refused("bad_payload", f"fps is {said}; it may be up to {_MOST_FPS}")
    track = container.tracks[0]
    track.fps = float(said)
    track.duration_s = (track.frames or 0) / track.fps


def _read(source: Source) -> tuple[Container, str]:
    """What it holds, and whether that is a `whole` video, a `chunk`, or `init` or `media` of a stream of fragments."""
    if not source.size:
        raise Refused("bad_payload", "it is empty", offset=0)
    window = Window(source)
    head = window.get(0, _HEAD_BYTES)
    match sniff_media(head):
        case "mp4":
            found = read_mp4(window)
            return found.container, found.part
        case "ebml":
            return read_ebml(window), "whole"
        case "avi":
            return read_avi(window), "whole"
        case "h264":
            return read_annexb(source), "chunk"
        case "wav" | "ogg" | "flac" | "mp3" as sound:
            other: str | None = f"{_SOUNDS[sound]} (kind audio)"
        case None:
            other = name_other(head)
    if other is not None:
        raise Refused("kind_mismatch", f"the content is {other}, not video")
    raise Refused("bad_payload", f"the content is none of {_ACCEPTED}", offset=0)
