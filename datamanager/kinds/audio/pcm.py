"""Raw samples: what a payload says of a chunk, and the WAV header that makes one readable by any decoder."""

import struct
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.kind import Hints
from datamanager.kinds.media.track import Container, Track
from datamanager.kinds.source import Source

__all__ = ["PCM_FORMATS", "PcmFormat", "read_pcm", "wav_header"]

_MOST_RATE, _MOST_CHANNELS = 1_000_000, 256
_WITHOUT_SIZE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How a sample is written.

    Attributes:
        sample_bytes: bytes of one sample of one channel.
        wav_code: the format's number in WAV files; None of what those do not have.
    """

    sample_bytes: int
    wav_code: int | None


PCM_FORMATS = {
    "pcm_u8": PcmFormat(1, 1),
    "pcm_s16le": PcmFormat(2, 1),
    "pcm_s24le": PcmFormat(3, 1),
    "pcm_s32le": PcmFormat(4, 1),
    "pcm_f32le": PcmFormat(4, 3),
    "pcm_f64le": PcmFormat(8, 3),
    "pcm_alaw": PcmFormat(1, 6),
    "pcm_mulaw": PcmFormat(1, 7),
}
"""By the name that a payload's `format` has."""


def read_pcm(source: Source, hints: Hints, format_name: str) -> Container:
    """What a chunk of raw samples is, by what its payload says.

    Raises:
        Refused: `missing_field`, `wrong_type`, or `bad_payload` where its size is no whole number of samples.
    """
    form = PCM_FORMATS.get(format_name)
    if form is None:
        raise Refused("bad_payload", f"format {format_name[:40]!r} is none of {', '.join(PCM_FORMATS)}")
    rate = _whole(hints, "sample_rate", _MOST_RATE)
    channels = _whole(hints, "channels", _MOST_CHANNELS)
    width = form.sample_bytes * channels
    if not source.size or source.size % width:
        detail = f"{source.size} bytes are no whole number of samples of {channels} channels, {width} bytes each"
        raise Refused("bad_payload", detail, offset=source.size - source.size % width)
    duration_s = source.size / width / rate
    track = Track("audio", format_name, rate=rate, channels=channels, duration_s=duration_s)
    return Container("pcm", [track], duration_s, {"samples": source.size // width})


def wav_header(format_name: str, rate: int, channels: int) -> bytes:
    """A header that makes a WAV file of raw samples that follow it, however many."""
    form = PCM_FORMATS[format_name]
    width = form.sample_bytes * channels
    body = struct.pack("<HHIIHH", form.wav_code or 1, channels, rate, rate * width, width, form.sample_bytes * 8)
    head = struct.pack("<4sI4s4sI", b"RIFF", _WITHOUT_SIZE, b"WAVE", b"fmt ", len(body))
    return head + body + struct.pack("<4sI", b"data", _WITHOUT_SIZE)


def _whole(hints: Hints, name: str, most: int) -> int:
    value = hints.payload.get(name)
    if value is None:
        raise Refused("missing_field", f"raw samples need {name}")
    if type(value) is not int:
        raise Refused("wrong_type", f"{name} must be a whole number, not {type(value).__name__}")
    if not 0 < value <= most:
        raise Refused("bad_payload", f"{name} is {value}; it may be 1 to {most}")
    return value
