"""H.264 from containers as a stream with start codes (ITU-T H.264, annex B; ISO/IEC 14496-15, section 5.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.annexb import SLICE_TYPES, Nal, nals
from datamanager.kinds.media.bits import Bits, without_emulation

__all__ = ["AvcForm", "Look", "look_at", "read_form", "with_start_codes"]

_START = b"\0\0\0\1"
_IDR, _SPS, _PPS = 5, 7, 8
_B_SLICES = (1, 6)
_AVCC_BYTES = 7


@dataclass(frozen=True, slots=True)
class AvcForm:
    """How a source writes its units.

    Attributes:
        length_bytes: of the length before each unit; 0 where they have start codes.
        parameters: SPS and PPS that came beside the stream, without start codes.
    """

    length_bytes: int
    parameters: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What is in one picture's data.

    Attributes:
        parameters: its SPS and PPS.
        has_idr: whether it can be decoded without those before.
        has_b: whether it is shown before a picture that came earlier.
        has_slices: whether it is a picture at all.
    """

    parameters: tuple[bytes, ...]
    has_idr: bool
    has_b: bool
    has_slices: bool


def read_form(extradata: bytes | None) -> AvcForm:
    """How a source writes its units, from what its container says of the codec.

    Raises:
        Refused: `bad_payload`: it is neither of both forms.
    """
    if not extradata:
        return AvcForm(0, ())
    if extradata[:3] == b"\0\0\1" or extradata[:4] == _START:
        return AvcForm(0, tuple(nal.data for nal in nals(extradata) if nal.kind in {_SPS, _PPS}))
    if extradata[0] != 1 or len(extradata) < _AVCC_BYTES:
        raise Refused("bad_payload", "the source describes its H.264 in a form that is not known")
    sets: list[bytes] = []
    at = 5
    for mask in (31, 255):  # how many SPS, then how many PPS
        count, at = extradata[at] & mask if at < len(extradata) else 0, at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2])
            if not size or at + 2 + size > len(extradata):
                raise Refused("bad_payload", "the source's H.264 parameters are cut off")
            sets.append(extradata[at + 2 : at + 2 + size])
            at += 2 + size
    return AvcForm((extradata[4] & 3) + 1, tuple(sets))


def with_start_codes(data: bytes, length_bytes: int) -> bytes:
    """One picture's units with start codes.

    Raises:
        Refused: `bad_payload`: a length leads beyond the end.
    """
    if not length_bytes:
        return data
    units: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + length_bytes])
        at += length_bytes
        if not size or at + size > len(data):
            raise Refused("bad_payload", "a picture's length leads beyond its end")
        units.append(data[at : at + size])
        at += size
    return joined(units)


def joined(units: Iterable[bytes]) -> bytes:
    """Units with start codes."""
    return b"".join(_START + unit for unit in units)


def look_at(data: bytes) -> Look:
    """What is in a picture's data.

    Raises:
        Refused: `too_large`: it has too many units.
    """
    units = list(nals(data))
    slices = [unit for unit in units if unit.kind in SLICE_TYPES]
    return Look(
        tuple(unit.data for unit in units if unit.kind in {_SPS, _PPS}),
        any(unit.kind == _IDR for unit in units),
        _has_b(slices),
        bool(slices),
    )


def _has_b(slices: Sequence[Nal]) -> bool:
    for unit in slices[:1]:
        bits = Bits(without_emulation(unit.data[1:24]))
        try:
            bits.golomb()
            return bits.golomb() in _B_SLICES
        except Refused:
            return False  # too short to be a slice: a decoder steps over it as well
    return False
