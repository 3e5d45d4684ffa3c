"""Waveform peaks as they are stored, and how fewer are made of them."""

import msgspec
import numpy as np

__all__ = ["MOST_BUCKETS", "Peaks", "Waveform", "read_waveform"]

MOST_BUCKETS = 8192
_SCALE = 32767


class Peaks(msgspec.Struct, frozen=True, kw_only=True):
    """The peaks of a sound, over all its channels.

    Attributes:
        samples: samples of each channel.
        least: the least sample of each bucket: int16, little-endian, 32,767 for 1.
        greatest: the greatest one.
    """

    sample_rate: int
    channels: int
    samples: int
    samples_per_bucket: int
    least: bytes
    greatest: bytes


class Waveform(msgspec.Struct, frozen=True, kw_only=True):
    """The shape of a sound: `min` and `max` of each bucket over all channels, from -1 to 1.

    Attributes:
        samples_per_bucket: of all but the last one, which may be of fewer; a fraction where buckets are not even.
    """

    sample_rate: int
    channels: int
    duration_s: float
    samples_per_bucket: float
    min: list[float]
    max: list[float]


def read_waveform(data: bytes, buckets: int) -> Waveform:
    """At most so many buckets of stored peaks.

    Raises:
        msgspec.DecodeError: the data are none of ours.
    """
    peaks = msgspec.msgpack.decode(data, type=Peaks)
    least, greatest = (np.frombuffer(side, "<i2") / _SCALE for side in (peaks.least, peaks.greatest))
    width = float(peaks.samples_per_bucket)
    if len(least) > buckets:
        starts = np.arange(buckets) * len(least) // buckets
        least, greatest = np.minimum.reduceat(least, starts), np.maximum.reduceat(greatest, starts)
        width *= len(peaks.least) / 2 / buckets
    return Waveform(
        sample_rate=peaks.sample_rate,
        channels=peaks.channels,
        duration_s=round(peaks.samples / peaks.sample_rate, 6),
        samples_per_bucket=width,
        min=np.round(least, 5).tolist(),
        max=np.round(greatest, 5).tolist(),
    )
