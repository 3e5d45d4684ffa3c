"""The sequence parameter set of H.264 (ITU-T H.264, sections 7.3.2.1.1 and E.1.1): size of pictures, and their rate."""

from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.bits import Bits, without_emulation

__all__ = ["Sps", "read_sps"]

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_ASPECT = 255
_MOST_CYCLE = 255
_MOST_SIDE = 16_888  # what the largest level allows (table A-1)


@dataclass(frozen=True, slots=True)
class Sps:
    """What of it matters here.

    Attributes:
        fps: None of streams that do not say it.
        codec: the name that browsers know, such as `avc1.64001f` (RFC 6381).
        chroma: 1 for 4:2:0, which all players know.
        luma_bits: bits of a sample of brightness.
        chroma_bits: bits of a sample of colour.
    """

    width: int
    height: int
    fps: float | None
    codec: str
    chroma: int = 1
    luma_bits: int = 8
    chroma_bits: int = 8


def read_sps(nal: bytes) -> Sps:
    """Reads one, its NAL header included.

    Raises:
        Refused: `bad_payload`: it is broken.
    """
    bits = Bits(without_emulation(nal[1:]))
    profile, constraints, level = bits.take(8), bits.take(8), bits.take(8)
    bits.golomb()
    form = (1, 0, 8, 8)
    if profile in _HIGH_PROFILES:
        form = _read_high(bits)
    chroma, planes_apart, *depths = form
    bits.golomb()
    _skip_order(bits)
    bits.golomb()
    bits.take(1)
    across, down = bits.golomb() + 1, bits.golomb() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    width, height = across * 16, down * 16 * (2 - frames_only)
    if bits.take(1):
        width, height = _crop(bits, width, height, 0 if planes_apart else chroma, frames_only)
    if not (0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE):
        raise Refused("bad_payload", f"the stream's parameters make pictures of {width} x {height} pixels")
    return Sps(width, height, _rate(bits), f"avc1.{profile:02x}{constraints:02x}{level:02x}", chroma, *depths)


def _read_high(bits: Bits) -> tuple[int, int, int, int]:
    chroma, planes_apart = bits.golomb(), 0
    if chroma == 3:
        planes_apart = bits.take(1)
    luma_bits, chroma_bits = bits.golomb() + 8, bits.golomb() + 8
    bits.take(1)
    if bits.take(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling(bits, 16 if number < 6 else 64)
    if chroma > 3 or luma_bits > 14 or chroma_bits > 14:
        raise Refused("bad_payload", "a parameter set of the stream is broken")
    return chroma, planes_apart, luma_bits, chroma_bits


def _skip_scaling(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) % 256
        last = following or last


def _skip_order(bits: Bits) -> None:
    kind = bits.golomb()
    if kind == 0:
        bits.golomb()
    elif kind == 1:
        bits.take(1)
        bits.signed_golomb()
        bits.signed_golomb()
        count = bits.golomb()
        if count > _MOST_CYCLE:
            raise Refused("bad_payload", "a parameter set of the stream is broken")
        for _ in range(count):
            bits.signed_golomb()


def _crop(bits: Bits, width: int, height: int, chroma: int, frames_only: int) -> tuple[int, int]:
    left, right, top, bottom = (bits.golomb() for _ in range(4))
    unit_x = 2 if chroma in (1, 2) else 1
    unit_y = (2 if chroma == 1 else 1) * (2 - frames_only)
    return width - (left + right) * unit_x, height - (top + bottom) * unit_y


def _rate(bits: Bits) -> float | None:
    """Pictures a second, of streams that say it."""
    if not bits.take(1):
        return None
    if bits.take(1) and bits.take(8) == _EXTENDED_ASPECT:
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if bits.take(1):
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):
        bits.golomb()
        bits.golomb()
    if not bits.take(1):
        return None
    ticks, scale = bits.take(32), bits.take(32)
    fps = scale / (2 * ticks) if ticks else 0
    return fps if 0 < fps <= 1000 else None
