"""What a child process makes of a sound: peaks of its waveform, and a preview in Opus."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

from datamanager.errors import Refused
from datamanager.kinds.audio.pcm import wav_header
from datamanager.kinds.joined import JoinedSource
from datamanager.kinds.source import BytesSource, Source
from datamanager.worker.media.opening import codec_of, decoded, opened
from datamanager.worker.media.refusing import refusing
from datamanager.worker.media.waveform import PeakMeter

__all__ = ["SoundLimits", "SoundProducts", "samples_of", "sound_products"]

_RATE = 48_000  # what Opus works at
_BIT_RATES = {1: 40_000, 2: 72_000}
_MOST_RATE = 1_000_000
_LEAST_S = 0.02

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SoundLimits:
    """How much of a sound is worked on.

    Attributes:
        max_duration_s: of the waveform.
        preview_s: of the preview.
    """

    max_duration_s: float
    preview_s: float


@dataclass(frozen=True, slots=True)
class SoundProducts:
    """What was made: peaks as `kinds.media.peaks` reads them, and an Ogg file of Opus."""

    peaks: bytes
    preview: bytes
    duration_s: float
    is_cut: bool


def sound_products(source: Source, form: str, raw: tuple[str, int, int] | None, limits: SoundLimits) -> SoundProducts:
    """Decodes a sound once, and makes both.

    Args:
        source: the content.
        form: its format, as ingest found it.
        raw: of raw samples: format, rate and channels.
        limits: how much of it is worked on.

    Raises:
        Refused: `bad_payload`: it cannot be decoded, or there is nothing in it.
    """
    if raw is not None:
        source = JoinedSource([BytesSource(wav_header(*raw)), source])
    with refusing(), opened(source, form) as container:
        if not container.streams.audio:
            raise Refused("bad_payload", "no track of sound is found in it")
        stream = container.streams.audio[0]
        codec_of(stream)
        frames = (frame for frame in decoded(container, [stream]) if isinstance(frame, AudioFrame))
        return _make(frames, limits)


def samples_of(frame: AudioFrame) -> Floats:
    """Decoded sound as numbers: shape (channels, samples), -1 to 1, what is no number as 0."""
    data = frame.to_ndarray()
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    sound = data.astype(np.float32)
    if data.dtype == np.uint8:
        return np.asarray((sound - 128) / 128, np.float32)
    if data.dtype.kind == "i":
        return np.asarray(sound / 2 ** (8 * data.dtype.itemsize - 1), np.float32)
    return np.nan_to_num(sound, nan=0.0, posinf=1.0, neginf=-1.0)


def _make(frames: Iterator[AudioFrame], limits: SoundLimits) -> SoundProducts:
    first = next(frames, None)
    rate = first.sample_rate if first is not None else 0
    if first is None or not 0 < rate <= _MOST_RATE:
        raise Refused("bad_payload", "nothing in it can be decoded")
    sound = samples_of(first)
    meter, preview = PeakMeter(rate, len(sound)), _Preview(rate, min(2, len(sound)))
    is_cut = False
    while True:
        meter.add(sound)
        if meter.samples <= limits.preview_s * rate:
            preview.add(sound)
        following = next(frames, None)
        if following is None:
            break
        if meter.samples >= limits.max_duration_s * rate:
            is_cut = True
            break
        if following.sample_rate == rate:  # a track that changes its rate midway is heard up to there
            sound = samples_of(following)
    if meter.samples < rate * _LEAST_S:  # less than Opus makes a packet of
        preview.add(np.zeros((len(sound), int(rate * _LEAST_S) + 1), np.float32))
    return SoundProducts(meter.encode(), preview.finish(), meter.samples / rate, is_cut)


class _Preview:
    """An Ogg file of Opus, mono or stereo; more channels become one."""

    def __init__(self, rate: int, channels: int) -> None:
        self._file = io.BytesIO()
        self._rate = rate
        self._layout = "mono" if channels == 1 else "stereo"
        self._container = av.open(self._file, "w", format="ogg")
        self._stream = self._container.add_stream("libopus", rate=_RATE, layout=self._layout)
        self._stream.bit_rate = _BIT_RATES[channels]
        self._stream.options = {"compression_level": "5"}
        self._resampler = av.AudioResampler(format="s16", layout=self._layout, rate=_RATE)

    def add(self, sound: Floats) -> None:
        """Takes in what comes next."""
        if self._layout == "mono" or len(sound) > 2:
            sound = sound.mean(axis=0, keepdims=True)
        if self._layout == "stereo" and len(sound) == 1:
            sound = np.repeat(sound, 2, axis=0)
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(np.clip(sound, -1, 1)), "fltp", self._layout)
        frame.sample_rate = self._rate
        self._encode(self._resampler.resample(frame))

    def finish(self) -> bytes:
        """The file."""
        self._encode(self._resampler.resample(None))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._file.getvalue()

    def _encode(self, frames: list[AudioFrame]) -> None:
        for frame in frames:
            frame.pts = None
            self._container.mux(self._stream.encode(frame))
