"""PNG: every chunk with its length and checksum, the header first, the end last (W3C PNG, third edition)."""

import struct
from dataclasses import dataclass

from isal.isal_zlib import crc32  # 16 times zlib's rate: the one thing here that reads every byte

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.reading import check_leftover, check_pixels, need, unpack

__all__ = ["FORMAT"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_HEADER = struct.Struct(">IIBBBBB")
# Colour type to its channels, the bit depths it may have, and Pillow's mode.
_COLOURS = {
    0: (1, (1, 2, 4, 8, 16), "L"),
    2: (3, (8, 16), "RGB"),
    3: (1, (1, 2, 4, 8), "P"),
    4: (2, (8, 16), "LA"),
    6: (4, (8, 16), "RGBA"),
}
_MAX_CHUNKS = 65536
_MAX_INFLATION = 1032  # the most that deflate can do, to one byte (zlib's technical notes)


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    mode: str
    least_raw_bytes: int


def _recognise(data: bytes) -> bool:
    return data.startswith(_SIGNATURE)


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    header = _header(data, limits)
    packed, end = _walk(data)
    if packed * _MAX_INFLATION < header.least_raw_bytes:
        detail = f"{packed} bytes of picture data cannot hold {header.width} x {header.height} pixels"
        raise Refused("bad_payload", detail, offset=16)
    notes = check_leftover(data, end, "picture")
    return Content(width=header.width, height=header.height, mode=header.mode, notes=notes)


def _header(data: bytes, limits: ImageLimits) -> _Header:
    length, kind = unpack(_CHUNK, data, 8, "the first chunk")
    if kind != b"IHDR" or length != _HEADER.size:
        raise Refused("bad_payload", f"the first chunk is {kind!r} of {length} bytes, not IHDR of 13", offset=8)
    width, height, bits, colour, packing, filtering, interlace = unpack(_HEADER, data, 16, "the header")
    check_pixels(width, height, limits, 16)
    channels, depths, mode = _COLOURS.get(colour, (0, (), ""))
    if bits not in depths or packing != 0 or filtering != 0 or interlace > 1:
        detail = f"colour type {colour}, {bits} bits, methods {packing}, {filtering}, {interlace}: no such PNG"
        raise Refused("bad_payload", detail, offset=24)
    if mode == "L" and bits in (1, 16):
        mode = "1" if bits == 1 else "I;16"
    return _Header(width, height, mode, height * (width * channels * bits // 8))


def _walk(data: bytes) -> tuple[int, int]:
    """Bytes of packed picture data, and where the last chunk ends; all lengths and checksums checked."""
    view, offset, packed, palette = memoryview(data), 8, 0, False
    for _ in range(_MAX_CHUNKS):
        length, kind = unpack(_CHUNK, data, offset, "a chunk")
        need(data, offset, 12 + length, f"chunk {kind!r}")
        (crc,) = _CRC.unpack_from(data, offset + 8 + length)
        if crc32(view[offset + 4 : offset + 8 + length]) != crc:
            raise Refused("bad_payload", f"chunk {kind!r} does not match its checksum", offset=offset)
        offset += 12 + length
        if kind == b"IDAT":
            packed += length
        elif kind == b"PLTE":
            palette = True
        elif kind == b"IEND":
            _check_order(data, packed, palette=palette)
            return packed, offset
    raise Refused("unsafe_content", f"more than {_MAX_CHUNKS} chunks", offset=offset)


def _check_order(data: bytes, packed: int, *, palette: bool) -> None:
    if packed == 0:
        raise Refused("bad_payload", "no picture data (IDAT)")
    if data[25] == 3 and not palette:
        raise Refused("bad_payload", "a palette picture without a palette (PLTE)")


FORMAT = ImageFormat("png", "image/png", "png", False, _recognise, _inspect)
