"""H.264 between its two forms: with start codes, as encoders and robots give it, and with lengths, as MP4 keeps it."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.annexb import SLICE_TYPES, Nal, begins_picture, nals
from datamanager.kinds.media.bits import Bits, without_emulation
from datamanager.kinds.media.sps import read_sps
from datamanager.worker.media.fmp4 import VideoForm

__all__ = ["Picture", "find_form", "has_reordering", "pictures_of", "read_nals", "with_lengths"]

_KEYFRAME, _SPS, _PPS, _DELIMITER, _FILLER = 5, 7, 8, 9, 12
_NOT_KEPT = (_SPS, _PPS, _DELIMITER, _FILLER)
_B_SLICES = (1, 6)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, its units with lengths before them."""

    data: bytes
    is_key: bool


def with_lengths(units: Iterable[Nal]) -> bytes:
    """Units as MP4 keeps them, without those that stand elsewhere there."""
    return b"".join(struct.pack(">I", len(n.data)) + n.data for n in units if n.kind not in _NOT_KEPT)


def find_form(units: Iterable[Nal]) -> VideoForm | None:
    """What a decoder has to know first, of the first parameter sets among some units; None where there are none.

    Raises:
        Refused: `bad_payload`: they are broken.
    """
    sps = pps = None
    for unit in units:
        sps = unit.data if sps is None and unit.kind == _SPS else sps
        pps = unit.data if pps is None and unit.kind == _PPS else pps
        if sps is not None and pps is not None:
            return VideoForm(sps, pps, read_sps(sps))
    return None


def pictures_of(units: Sequence[Nal]) -> list[Picture]:
    """The pictures of a stream; what stands before the first slice of a picture belongs to it."""
    found: list[Picture] = []
    gathered: list[Nal] = []
    has_slice = False
    for unit in units:
        is_new = begins_picture(unit) or unit.kind not in SLICE_TYPES
        if has_slice and is_new:
            found.append(_picture(gathered))
            gathered, has_slice = [], False
        gathered.append(unit)
        has_slice = has_slice or unit.kind in SLICE_TYPES
    if has_slice:
        found.append(_picture(gathered))
    return found


def has_reordering(units: Iterable[Nal]) -> bool:
    """Whether pictures may be shown in another order than they come in: whether there are B slices."""
    for unit in units:
        if unit.kind in SLICE_TYPES:
            bits = Bits(without_emulation(unit.data[1:24]))
            try:
                bits.golomb()
                if bits.golomb() in _B_SLICES:
                    return True
            except Refused:
                continue  # too short to be a slice: a decoder steps over it as well
    return False


def read_nals(data: bytes) -> list[Nal]:
    """The units of a stream.

    Raises:
        Refused: `too_large`: there are too many.
    """
    return list(nals(data))


def _picture(units: Sequence[Nal]) -> Picture:
    return Picture(with_lengths(units), any(unit.kind == _KEYFRAME for unit in units))
