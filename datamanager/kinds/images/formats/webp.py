"""WebP: the RIFF container and the first bytes of each bitstream (RFC 9649)."""

import struct

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.reading import check_leftover, check_pixels, need, unpack

__all__ = ["FORMAT"]

_U32 = struct.Struct("<I")
_CHUNK = struct.Struct("<4sI")
_VP8 = struct.Struct("<3s3sHH")
_VP8L = struct.Struct("<BI")
_VP8X = struct.Struct("<B3x3s3s")
_ALPHA_FLAG = 0x10
_MAX_CHUNKS = 16384


def _recognise(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    (size,) = _U32.unpack_from(data, 4)
    need(data, 8, size, "the RIFF container")
    end, offset, canvas, picture = 8 + size, 12, None, False
    for _ in range(_MAX_CHUNKS):
        if offset + 8 > end:
            break
        kind, length = _CHUNK.unpack_from(data, offset)
        if offset + 8 + length > end:
            raise Refused("bad_payload", f"chunk {kind!r} of {length} bytes reaches over its container", offset=offset)
        found = _READERS[kind](data, offset + 8) if kind in _READERS else None
        if found is not None:
            check_pixels(*found[:2], limits, offset + 8)
            canvas = canvas or found
        picture = picture or kind in (b"VP8 ", b"VP8L", b"ANMF")
        offset += 8 + length + (length & 1)  # chunks are padded to even lengths
    else:
        raise Refused("unsafe_content", f"more than {_MAX_CHUNKS} chunks", offset=offset)
    if canvas is None or not picture:
        raise Refused("bad_payload", "the container holds no picture", offset=12)
    width, height, mode = canvas
    return Content(width=width, height=height, mode=mode, notes=check_leftover(data, end, "picture"))


def _lossy(data: bytes, offset: int) -> tuple[int, int, str]:
    tag, start, width, height = unpack(_VP8, data, offset, "the VP8 header")
    if start != b"\x9d\x01\x2a" or tag[0] & 1:
        raise Refused("bad_payload", "the VP8 data do not begin with a key frame", offset=offset)
    need(data, offset + 10, int.from_bytes(tag, "little") >> 5, "the first VP8 partition")
    return width & 0x3FFF, height & 0x3FFF, "RGB"


def _lossless(data: bytes, offset: int) -> tuple[int, int, str]:
    signature, bits = unpack(_VP8L, data, offset, "the VP8L header")
    if signature != 0x2F or bits >> 29:
        raise Refused("bad_payload", "the VP8L data do not begin with their signature", offset=offset)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, "RGBA" if bits >> 28 & 1 else "RGB"


def _extended(data: bytes, offset: int) -> tuple[int, int, str]:
    flags, width, height = unpack(_VP8X, data, offset, "the VP8X header")
    mode = "RGBA" if flags & _ALPHA_FLAG else "RGB"
    return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1, mode


_READERS = {b"VP8 ": _lossy, b"VP8L": _lossless, b"VP8X": _extended}

FORMAT = ImageFormat("webp", "image/webp", "webp", False, _recognise, _inspect)
