"""The sound of a preview: decoded sound in, packets of AAC out, each on a grid of 1,024 samples from the beginning."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame

from datamanager.worker.media.fmp4 import AUDIO_RATE, AudioForm, Piece, Run
from datamanager.worker.media.sound import samples_of

__all__ = ["Soundtrack"]

_GRID = 1024
_AHEAD = 2  # packets that are encoded before the first that is kept, and thrown away: each needs those before it
_JITTER = AUDIO_RATE // 10  # times that are off by less are no gap
_BIT_RATES = {1: 48_000, 2: 80_000}

Floats = npt.NDArray[np.float32]


class Soundtrack:
    """Encodes one.

    Args:
        channels: 1 or 2; more are made one.
        start: where it begins, in samples at 48 kHz.
    """

    def __init__(self, channels: int, start: int) -> None:
        self.channels = 1 if channels != 2 else 2
        self._layout = "mono" if self.channels == 1 else "stereo"
        self._first = -(-start // _GRID) * _GRID
        self._at = max(0, self._first - _AHEAD * _GRID)
        self._encoder: Any = av.CodecContext.create("aac", "w")
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = AUDIO_RATE, self._layout, "fltp"
        self._encoder.bit_rate = _BIT_RATES[self.channels]
        self._encoder.time_base = Fraction(1, AUDIO_RATE)
        self._encoder.flags |= 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER: its configuration stands apart
        self._encoder.open()
        self._resampler: av.AudioResampler | None = None
        self._resampled: tuple[int, int] | None = None
        self._waiting: Floats = np.empty((self.channels, 0), np.float32)
        self._packets: list[tuple[int, bytes]] = []
        self.end = self._first

    @property
    def form(self) -> AudioForm:
        """What a decoder has to know first."""
        return AudioForm(self.channels, bytes(self._encoder.extradata))

    def add(self, frame: AudioFrame, seconds: float | None) -> None:
        """Takes in what comes next, which is heard at `seconds`; None for right after what came before."""
        sound = self._resample(samples_of(frame), frame.sample_rate)
        due = self._at + self._waiting.shape[1]
        begins = due if seconds is None else round(seconds * AUDIO_RATE)
        if begins > due + _JITTER:
            self._feed(np.zeros((self.channels, begins - due), np.float32))
        elif begins < due - _JITTER:
            sound = sound[:, due - begins :]
        self._feed(sound)

    def take(self, until: int) -> Run | None:
        """The packets that begin before `until`, in samples at 48 kHz, and were not taken yet."""
        taken = [packet for packet in self._packets if packet[0] < until]
        self._packets = [packet for packet in self._packets if packet[0] >= until]
        return Run(taken[0][0], [Piece(data, _GRID) for _, data in taken]) if taken else None

    def finish(self) -> None:
        """Encodes what is left."""
        if self._waiting.shape[1]:
            self._feed(np.zeros((self.channels, _GRID - self._waiting.shape[1]), np.float32))
        self._encode(None)

    def _resample(self, sound: Floats, rate: int) -> Floats:
        if self.channels == 1:
            sound = sound.mean(axis=0, keepdims=True)
        elif len(sound) == 1:
            sound = np.repeat(sound, 2, axis=0)
        elif len(sound) > 2:
            sound = np.repeat(sound.mean(axis=0, keepdims=True), 2, axis=0)
        if rate == AUDIO_RATE:
            return sound
        if self._resampler is None or self._resampled != (rate, len(sound)):
            self._resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=AUDIO_RATE)
            self._resampled = (rate, len(sound))
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(sound), "fltp", self._layout)
        frame.sample_rate = rate
        parts = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(parts, axis=1) if parts else sound[:, :0]

    def _feed(self, sound: Floats) -> None:
        self._waiting = np.concatenate([self._waiting, sound], axis=1)
        used = 0
        while self._waiting.shape[1] - used >= _GRID:
            block = np.ascontiguousarray(np.clip(self._waiting[:, used : used + _GRID], -1, 1))
            frame = AudioFrame.from_ndarray(block, "fltp", self._layout)
            frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, self._at, Fraction(1, AUDIO_RATE)
            self._encode(frame)
            self._at += _GRID
            used += _GRID
        self._waiting = self._waiting[:, used:]

    def _encode(self, frame: AudioFrame | None) -> None:
        for packet in self._encoder.encode(frame):
            if packet.pts is not None and packet.pts >= self._first:
                self._packets.append((packet.pts, bytes(packet)))
                self.end = packet.pts + _GRID
