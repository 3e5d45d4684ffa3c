"""TIFF and BigTIFF: the directories, and that every strip and tile lies inside the file (TIFF 6.0; Adobe, libtiff)."""

import struct
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.reading import check_pixels, need, unpack

__all__ = ["FORMAT"]

# Size of one value of each field type; 13 and 16 to 18 are IFD, LONG8, SLONG8, IFD8.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 259, 262, 277, 339
_PIECES = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
_MAX_FIELDS = 4096
_MAX_DIRECTORIES = 1024
_PALETTE, _CMYK = 3, 5


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one file writes its numbers."""

    order: str
    big: bool
    count: struct.Struct = field(init=False)
    entry: struct.Struct = field(init=False)
    pointer: struct.Struct = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", struct.Struct(self.order + ("Q" if self.big else "H")))
        object.__setattr__(self, "entry", struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s")))
        object.__setattr__(self, "pointer", struct.Struct(self.order + ("Q" if self.big else "I")))


@dataclass(frozen=True, slots=True)
class _Field:
    kind: int
    count: int
    offset: int  # where its values lie


_SHAPES = {
    b"II*\0": _Shape("<", big=False),
    b"MM\0*": _Shape(">", big=False),
    b"II+\0": _Shape("<", big=True),
    b"MM\0+": _Shape(">", big=True),
}


def _recognise(data: bytes) -> bool:
    return data[:4] in _SHAPES


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    shape = _SHAPES[data[:4]]
    (offset,) = unpack(shape.pointer, data, 8 if shape.big else 4, "the first directory's place")
    fields, following = _directory(data, shape, offset)
    _check_chain(data, shape, {offset}, following)
    width, height = _number(data, shape, fields, _WIDTH), _number(data, shape, fields, _HEIGHT)
    if width is None or height is None:
        raise Refused("bad_payload", "the directory names no width or height", offset=offset)
    check_pixels(width, height, limits, offset)
    bits = _number(data, shape, fields, _BITS) or 1
    samples = _number(data, shape, fields, _SAMPLES) or 1
    stored = _check_pieces(data, shape, fields, offset)
    least = height * (width * samples * bits // 8)
    if _number(data, shape, fields, _COMPRESSION) in (None, 1) and stored < least:
        detail = f"{stored} bytes of picture data cannot hold {width} x {height} pixels"
        raise Refused("bad_payload", detail, offset=offset)
    return Content(width=width, height=height, mode=_mode(data, shape, fields, bits, samples))


def _directory(data: bytes, shape: _Shape, offset: int) -> tuple[dict[int, _Field], int]:
    """The fields of the directory at `offset` by tag, and where the next directory lies (0: nowhere)."""
    (count,) = unpack(shape.count, data, offset, "a directory")
    if not 0 < count <= _MAX_FIELDS:
        raise Refused("bad_payload", f"a directory of {count} fields", offset=offset)
    start = offset + shape.count.size
    need(data, start, count * shape.entry.size + shape.pointer.size, f"a directory of {count} fields")
    fields: dict[int, _Field] = {}
    for at in range(start, start + count * shape.entry.size, shape.entry.size):
        tag, kind, values, _ = shape.entry.unpack_from(data, at)
        size = values * _SIZES.get(kind, 0)
        place = at + shape.entry.size - shape.pointer.size
        if size > shape.pointer.size:
            (place,) = shape.pointer.unpack_from(data, place)
        need(data, place, size, f"field {tag}")
        fields[tag] = _Field(kind, values, place)
    (following,) = shape.pointer.unpack_from(data, start + count * shape.entry.size)
    return fields, following


def _check_chain(data: bytes, shape: _Shape, seen: set[int], offset: int) -> None:
    while offset:
        if offset in seen:
            raise Refused("bad_payload", "the directories form a ring", offset=offset)
        if len(seen) >= _MAX_DIRECTORIES:
            raise Refused("unsafe_content", f"more than {_MAX_DIRECTORIES} directories", offset=offset)
        seen.add(offset)
        _, offset = _directory(data, shape, offset)


def _values(data: bytes, shape: _Shape, found: _Field) -> npt.NDArray[np.unsignedinteger]:
    if found.kind not in _NUMBERS:
        raise Refused("bad_payload", f"a field of type {found.kind} where whole numbers are due", offset=found.offset)
    dtype = np.dtype(_NUMBERS[found.kind]).newbyteorder("<" if shape.order == "<" else ">")
    return np.frombuffer(data, dtype, found.count, found.offset)


def _number(data: bytes, shape: _Shape, fields: dict[int, _Field], tag: int) -> int | None:
    """The first value of a field; None when the field is not there."""
    found = fields.get(tag)
    if found is None or found.count == 0:
        return None
    return int(_values(data, shape, _Field(found.kind, 1, found.offset))[0])


def _check_pieces(data: bytes, shape: _Shape, fields: dict[int, _Field], offset: int) -> int:
    """Bytes in all strips or tiles, each checked to lie inside the file."""
    for starts_tag, sizes_tag in _PIECES:
        if starts_tag in fields and sizes_tag in fields:
            starts = _values(data, shape, fields[starts_tag])
            sizes = _values(data, shape, fields[sizes_tag])
            if len(starts) != len(sizes) or len(starts) == 0:
                raise Refused("bad_payload", f"{len(starts)} pieces with {len(sizes)} sizes", offset=offset)
            # Two checks on unsigned numbers, for their sum could overflow.
            within = (starts <= len(data)) & (sizes <= len(data))
            ends = np.where(within, starts, 0).astype(np.int64) + np.where(within, sizes, 0).astype(np.int64)
            bad = np.flatnonzero(~within | (ends > len(data)))
            if len(bad):
                detail = f"truncated: piece {bad[0]} of the picture lies beyond the end"
                raise Refused("bad_payload", detail, offset=min(int(starts[bad[0]]), len(data)))
            return int(np.where(within, sizes, 0).astype(np.int64).sum())
    raise Refused("bad_payload", "the directory names no strips or tiles", offset=offset)


def _mode(data: bytes, shape: _Shape, fields: dict[int, _Field], bits: int, samples: int) -> str:
    photometric = _number(data, shape, fields, _PHOTOMETRIC)
    if samples == 1:
        if photometric == _PALETTE:
            return "P"
        if bits == 32:
            return "F" if _number(data, shape, fields, _SAMPLE_FORMAT) == 3 else "I"
        return {1: "1", 16: "I;16", 64: "F"}.get(bits, "L")
    if photometric == _CMYK:
        return "CMYK"
    return {2: "LA", 3: "RGB"}.get(samples, "RGBA")


FORMAT = ImageFormat("tiff", "image/tiff", "tif", False, _recognise, _inspect)
