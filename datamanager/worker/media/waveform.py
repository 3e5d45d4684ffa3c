"""The peaks of a sound, in one pass and little memory, however long it is."""

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.kinds.media.peaks import Peaks

__all__ = ["PeakMeter"]

_FIRST_SAMPLES = 32
_MOST_BUCKETS = 8192
_SCALE = 32767

Floats = npt.NDArray[np.float32]


class PeakMeter:
    """Finds the least and greatest sample of each bucket. When there are too many buckets, two become one."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._width = _FIRST_SAMPLES
        self._least = np.empty(_MOST_BUCKETS, np.float32)
        self._greatest = np.empty(_MOST_BUCKETS, np.float32)
        self._count = 0
        self._begun = 0  # samples of the bucket that is not full yet, whose peaks are:
        self._part = (np.float32(1), np.float32(-1))
        self.samples = 0

    def add(self, sound: Floats) -> None:
        """Takes in what comes next: shape (channels, samples), -1 to 1."""
        self.samples += sound.shape[1]
        least, greatest = sound.min(axis=0), sound.max(axis=0)
        at = 0
        while at < len(least):
            if self._begun or len(least) - at < self._width:
                used = min(self._width - self._begun, len(least) - at)
                self._fill(least[at : at + used], greatest[at : at + used])
            else:
                whole = min((len(least) - at) // self._width, _MOST_BUCKETS - self._count)
                used = whole * self._width
                shape = (whole, self._width)
                self._append(
                    least[at : at + used].reshape(shape).min(axis=1),
                    greatest[at : at + used].reshape(shape).max(axis=1),
                )
            at += used

    def encode(self) -> bytes:
        """The peaks, as they are stored; the last bucket may be of fewer samples."""
        least, greatest = self._least[: self._count], self._greatest[: self._count]
        if self._begun:
            least, greatest = np.append(least, self._part[0]), np.append(greatest, self._part[1])
        return msgspec.msgpack.encode(
            Peaks(
                sample_rate=self._rate,
                channels=self._channels,
                samples=self.samples,
                samples_per_bucket=self._width,
                least=_packed(least),
                greatest=_packed(greatest),
            )
        )

    def _fill(self, least: Floats, greatest: Floats) -> None:
        before = self._part if self._begun else (least[0], greatest[0])
        self._part = (min(before[0], least.min()), max(before[1], greatest.max()))
        self._begun += len(least)
        if self._begun == self._width:
            self._begun = 0
            self._append(np.array(self._part[:1]), np.array(self._part[1:]))

    def _append(self, least: Floats, greatest: Floats) -> None:
        span = slice(self._count, self._count + len(least))
        self._least[span], self._greatest[span] = least, greatest
        self._count += len(least)
        if self._count == _MOST_BUCKETS:
            self._join()

    def _join(self) -> None:
        half = _MOST_BUCKETS // 2
        self._least[:half] = self._least.reshape(half, 2).min(axis=1)
        self._greatest[:half] = self._greatest.reshape(half, 2).max(axis=1)
        self._count, self._width = half, self._width * 2


def _packed(values: Floats) -> bytes:
    return np.rint(np.clip(values, -1, 1) * _SCALE).astype("<i2").tobytes()
