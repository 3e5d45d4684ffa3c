"""Pictures as cameras send them, encoded before the clock runs."""

import io
from collections.abc import Sequence
from functools import cache, cached_property

import msgpack
import numpy as np
from PIL import Image

__all__ = ["Frames", "jpeg_of"]

_VARIANTS = 16
_STEP_NS = 33_333_333  # 30 a second


@cache
def jpeg_of(size_bytes: int, seed: int, width: int = 640, height: int = 480) -> bytes:
    """A JPEG of about that size: smooth shapes under noise, as strong as the size asks for."""
    generator = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    shapes = 128 + 60 * np.sin(across + seed)[..., None] * np.cos(down)[..., None] * np.array([1.0, 0.7, 0.4])
    noise = generator.normal(size=(height, width, 3))
    data, strength = b"", 1.0
    while len(data) < size_bytes:
        picture = Image.fromarray(np.clip(shapes + strength * noise, 0, 255).astype(np.uint8))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=85)
        data, strength = out.getvalue(), strength * 1.1
    return data


class Frames:
    """MessagePack messages of one JPEG each.

    Args:
        stream: whose.
        start_ns: time of the first.
        size_bytes: of one picture, about.
    """

    each = 1
    text = False

    def __init__(self, stream: str, start_ns: int, size_bytes: int) -> None:
        self.stream = stream
        self.start_ns = start_ns
        self.size_bytes = size_bytes

    def __getstate__(self) -> tuple[str, int, int]:
        return self.stream, self.start_ns, self.size_bytes  # the pictures are made again where they are used

    def __setstate__(self, state: tuple[str, int, int]) -> None:
        self.stream, self.start_ns, self.size_bytes = state

    @cached_property
    def pictures(self) -> list[bytes]:
        """The pictures, which are sent in turn."""
        return [jpeg_of(self.size_bytes, seed) for seed in range(_VARIANTS)]

    def pieces(self, number: int) -> Sequence[bytes]:
        """The message of one frame; its seq is its number."""
        seq, t_ns = number.to_bytes(4, "big"), (self.start_ns + number * _STEP_NS).to_bytes(8, "big")
        picture = self.pictures[number % _VARIANTS]
        return self._head + seq, self._middle + t_ns, self._tail + len(picture).to_bytes(4, "big"), picture

    @cached_property
    def _head(self) -> bytes:
        fields = {"data_type": "images", "stream": self.stream}
        return b"\x85" + b"".join(_pack(word) for pair in fields.items() for word in pair) + _pack("seq") + b"\xce"

    @cached_property
    def _middle(self) -> bytes:
        return _pack("t_ns") + b"\xcf"

    @cached_property
    def _tail(self) -> bytes:
        return _pack("payload") + b"\x82" + _pack("format") + _pack("jpeg") + _pack("data") + b"\xc6"


def _pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed
