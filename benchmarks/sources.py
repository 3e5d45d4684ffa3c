"""What robots send, encoded before it is sent: only numbers and times are put in while the clock runs."""

import json
from collections.abc import Sequence
from functools import cached_property

import msgpack
import numpy as np

__all__ = ["CHANNELS", "Columnar", "SeedJson"]

CHANNELS = tuple(
    sorted([f"joints.{part}.{i}" for part in ("positions", "velocities", "torques") for i in range(7)])
    + [f"pose.{axis}" for axis in ("qw", "x", "y", "yaw", "z")]
)
"""26 of them, as an arm with seven joints and a pose has."""

_SAMPLES = 100  # in one batch
_VARIANTS = 32  # of values, so that no batch is the one before it
_STEP_NS = 10_000_000  # 100 Hz
_SECONDS_NS = 1_000_000_000
Values = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class Columnar:
    """Columnar MessagePack batches of 100 samples of 26 channels at 100 Hz.

    The values are random: nothing that is compressed on the way to the disk gains by it.

    Args:
        stream: whose.
        start_ns: time of the first sample.
    """

    each = 1
    text = False

    def __init__(self, stream: str, start_ns: int) -> None:
        self.stream = stream
        self.start_ns = start_ns

    def __getstate__(self) -> tuple[str, int]:
        return self.stream, self.start_ns  # the pieces are made again where they are used

    def __setstate__(self, state: tuple[str, int]) -> None:
        self.stream, self.start_ns = state

    def values(self, number: int) -> Values:
        """The values of one batch: `[26, 100]`, channels in the order of `CHANNELS`."""
        return self._variants[number % _VARIANTS]

    def times_ns(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The times of one batch: `[100]`, Unix nanoseconds."""
        return self._offsets_ns + number * _SAMPLES * _STEP_NS

    def pieces(self, number: int) -> Sequence[bytes]:
        """The message of one batch; its seq is its number."""
        head, middle = self._ends
        return (
            head + number.to_bytes(4, "big"),
            middle + self.times_ns(number).tobytes(),
            self._channels[number % _VARIANTS],
        )

    @cached_property
    def _variants(self) -> list[Values]:
        return list(np.random.default_rng(26).normal(size=(_VARIANTS, len(CHANNELS), _SAMPLES)))

    @cached_property
    def _offsets_ns(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return self.start_ns + np.arange(_SAMPLES, dtype=np.int64) * _STEP_NS

    @cached_property
    def _channels(self) -> list[bytes]:
        packed = [
            {name: row.astype("<f8").tobytes() for name, row in zip(CHANNELS, values, strict=True)}
            for values in self._variants
        ]
        return [_pack("channels") + _pack(channels) for channels in packed]

    @cached_property
    def _ends(self) -> tuple[bytes, bytes]:
        """What stands before the seq, and between it and the times: a map of four, the last of them a map of two."""
        fields = {"data_type": "time_series", "stream": self.stream}
        head = b"\x84" + b"".join(_pack(word) for pair in fields.items() for word in pair) + _pack("seq") + b"\xce"
        times = b"\xc5" + (8 * _SAMPLES).to_bytes(2, "big")
        return head, _pack("payload") + b"\x82" + _pack("t_ns") + times


class SeedJson:
    """JSON batches of 100 nested messages, each a sample of 28 values, as the seed's clients send them.

    Args:
        robot_id: whose.
        session_id: of which run.
        start_ns: time of the first sample.
    """

    stream = "telemetry"
    each = _SAMPLES
    text = True

    def __init__(self, robot_id: str, session_id: str, start_ns: int) -> None:
        self.robot_id = robot_id
        self.session_id = session_id
        self.start_ns = start_ns

    def pieces(self, number: int) -> Sequence[bytes]:
        """The message of one batch."""
        first_s = (self.start_ns + number * _SAMPLES * _STEP_NS) / _SECONDS_NS
        stamps = ",".join([f'{{"timestamp": {first_s + k / 100:.3f}, %s' for k in range(_SAMPLES)])
        return [f'{{"batch_id": "batch-{number}", "messages": [{stamps % self._bodies}]}}'.encode()]

    @cached_property
    def _bodies(self) -> tuple[str, ...]:
        """Every message without its time."""
        return tuple(json.dumps(self._message(values))[1:] for values in self._values())

    def _values(self) -> list[list[float]]:
        values: list[list[float]] = np.random.default_rng(28).normal(size=(_SAMPLES, 28)).round(6).tolist()
        return values

    def _message(self, values: list[float]) -> dict[str, object]:
        joints = {name: values[7 * k : 7 * k + 7] for k, name in enumerate(("positions", "velocities", "torques"))}
        pose = {
            "position": dict(zip("xyz", values[21:24], strict=True)),
            "orientation": dict(zip("xyzw", values[24:], strict=True)),
        }
        return {
            "robot_id": self.robot_id,
            "session_id": self.session_id,
            "data_type": "telemetry",
            "payload": {"pose": pose, "joints": joints},
        }


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed
