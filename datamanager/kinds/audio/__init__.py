"""Kind `audio`: WAV, MP3, Ogg, FLAC, M4A and audio-only WebM whole, raw samples in chunks."""

from collections.abc import Callable

from datamanager.errors import Refused
from datamanager.kinds.audio.pcm import read_pcm
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.media.ebml import read_ebml
from datamanager.kinds.media.flac import read_flac
from datamanager.kinds.media.jobs import AUDIO_JOB
from datamanager.kinds.media.mp3 import find_sound, read_mp3
from datamanager.kinds.media.mp4 import read_mp4
from datamanager.kinds.media.ogg import read_ogg
from datamanager.kinds.media.said import check_said
from datamanager.kinds.media.sniff import name_other, sniff_media
from datamanager.kinds.media.track import Container, check_tracks, describe
from datamanager.kinds.media.wav import read_wav
from datamanager.kinds.media.window import Window
from datamanager.kinds.source import Source

__all__ = ["examine"]

_MIME_TYPES = {
    "wav": ("audio/wav", "wav"),
    "mp3": ("audio/mpeg", "mp3"),
    "ogg": ("audio/ogg", "ogg"),
    "flac": ("audio/flac", "flac"),
    "m4a": ("audio/mp4", "m4a"),
    "mp4": ("audio/mp4", "m4a"),
    "mov": ("audio/mp4", "m4a"),
    "webm": ("audio/webm", "weba"),
    "mkv": ("audio/x-matroska", "mka"),
    "pcm": ("audio/pcm", "pcm"),
}
_ACCEPTED = "WAV, MP3, Ogg, FLAC, M4A, WebM, and raw samples with a format such as pcm_s16le"
_HEAD_BYTES = 64


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks sound by the structure of its file, and says what it is.

    Raises:
        Refused: `kind_mismatch` for pictures, still or moving; `bad_payload` for what is broken or cut off, with the
            offset; `too_large` beyond the limits.
    """
    declared = hints.text("format", 64)
    if declared is not None and declared.startswith("pcm"):
        container = read_pcm(source, hints, declared)
    else:
        container = _read(source)
    check_tracks(container.tracks, limits)
    _refuse_pictures(container)
    mime_type, ending = _MIME_TYPES[container.format]
    wants = () if container.format == "pcm" else (AUDIO_JOB,)  # of chunks, which are many, only when asked for
    metadata = describe(container) | check_said(hints, container.format)
    return Found(mime_type, ending, metadata, wants=wants)


def _read(source: Source) -> Container:
    if not source.size:
        raise Refused("bad_payload", "it is empty", offset=0)
    window = Window(source)
    head = window.get(0, _HEAD_BYTES)
    sniffed = sniff_media(head)
    if sniffed in _VIDEOS:
        raise Refused("kind_mismatch", f"the content is {_VIDEOS[sniffed]} (kind video), not audio")
    return _READERS[sniffed](window) if sniffed in _READERS else _read_unknown(window, head)


def _read_tagged(window: Window) -> Container:
    start = find_sound(window)
    return read_flac(window, start) if window.get(start, 4) == b"fLaC" else read_mp3(window, start)


_READERS: dict[str | None, Callable[[Window], Container]] = {
    "wav": read_wav,
    "ogg": read_ogg,
    "flac": read_flac,
    "mp3": _read_tagged,
    "mp4": lambda window: read_mp4(window).container,
    "ebml": read_ebml,
}
_VIDEOS: dict[str | None, str] = {"avi": "an AVI", "h264": "an H.264 stream"}


def _read_unknown(window: Window, head: bytes) -> Container:
    other = name_other(head)
    if other is not None:
        raise Refused("kind_mismatch", f"the content is {other}, not audio")
    try:  # MP3 that was cut out of a stream begins with a part of a frame
        return read_mp3(window)
    except Refused as refused:
        raise Refused("bad_payload", f"the content is none of {_ACCEPTED}", offset=0) from refused


def _refuse_pictures(container: Container) -> None:
    moving = [track for track in container.of("video") if track.codec not in ("jpeg", "png ", "mjpeg", "")]
    if moving and container.format != "m4a":
        detail = f"the content is {container.format} with a picture track ({moving[0].codec}; kind video), not audio"
        raise Refused("kind_mismatch", detail)
    if not container.of("audio"):
        raise Refused("bad_payload", f"the {container.format} has no track of sound")
