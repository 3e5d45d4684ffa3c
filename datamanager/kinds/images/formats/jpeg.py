"""JPEG: markers and segments to the first scan, then the end marker (ITU-T T.81, annex B)."""

import re
import struct
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.reading import check_leftover, check_pixels, need, unpack

__all__ = ["FORMAT"]

_NO_FILL = re.compile(rb"[^\xff]")
_LENGTH = struct.Struct(">H")
_FRAME = struct.Struct(">BHHB")
_START_OF_SCAN, _END_OF_IMAGE, _TEM = 0xDA, 0xD9, 0x01
# SOF0 to SOF15; C4 (DHT), C8 (JPG) and CC (DAC) lie between them and are no frames.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_HUFFMAN_DCT = frozenset({0xC0, 0xC1, 0xC2})
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
# Real files have some ten; a million of empty segments or scans would keep a decoder busy for minutes.
_MAX_SEGMENTS = 4096
_MAX_SCANS = 200


@dataclass(frozen=True, slots=True)
class _Frame:
    marker: int
    offset: int
    width: int
    height: int
    components: int


def _recognise(data: bytes) -> bool:
    return data[:3] == b"\xff\xd8\xff"


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    frame, scan = _walk(data)
    check_pixels(frame.width, frame.height, limits, frame.offset)
    end = data.rfind(b"\xff\xd9", scan)  # coded data stuff every FF, so that this is a marker
    if end < 0:
        raise Refused("bad_payload", "truncated: no end marker (FF D9) after the picture data", offset=len(data))
    _check_coded(data, frame, end - scan, scan)
    notes = check_leftover(data, end + 2, "picture")
    return Content(width=frame.width, height=frame.height, mode=_MODES[frame.components], notes=notes)


def _walk(data: bytes) -> tuple[_Frame, int]:
    """The frame header, and where the first scan's coded data begin."""
    frame, offset = None, 2
    for _ in range(_MAX_SEGMENTS):
        marker, offset = _marker(data, offset)
        if marker == _TEM:
            continue
        (length,) = unpack(_LENGTH, data, offset, f"the length of segment FF {marker:02X}")
        if length < 2:
            raise Refused("bad_payload", f"segment FF {marker:02X} has length {length}", offset=offset)
        need(data, offset, length, f"segment FF {marker:02X}")
        if marker in _FRAMES:
            if frame is not None:
                raise Refused("bad_payload", "a second frame header", offset=offset)
            frame = _frame(data, marker, offset, length)
        elif marker == _START_OF_SCAN:
            if frame is None:
                raise Refused("bad_payload", "picture data before a frame header", offset=offset)
            return frame, offset + length
        offset += length
    raise Refused("unsafe_content", f"more than {_MAX_SEGMENTS} segments before the picture data", offset=offset)


def _marker(data: bytes, offset: int) -> tuple[int, int]:
    """The marker at `offset`, and where what follows it begins. A marker may be preceded by any number of FF."""
    need(data, offset, 2, "a marker")
    found = _NO_FILL.search(data, offset)
    if data[offset] != 0xFF or found is None:
        raise Refused("bad_payload", f"a marker is due, not {data[offset]:02X}", offset=offset)
    marker = data[found.start()]
    if marker == 0 or 0xD0 <= marker <= _END_OF_IMAGE:  # restarts, start and end have no place and no length here
        raise Refused("bad_payload", f"marker FF {marker:02X} before the picture data", offset=found.start() - 1)
    return marker, found.start() + 1


def _frame(data: bytes, marker: int, offset: int, length: int) -> _Frame:
    if length < 8:
        raise Refused("bad_payload", f"a frame header of {length} bytes", offset=offset)
    precision, height, width, components = _FRAME.unpack_from(data, offset + 2)
    if precision not in (8, 12, 16) or components not in _MODES or length != 8 + 3 * components:
        detail = f"a frame header of {length} bytes with {components} components of {precision} bits"
        raise Refused("bad_payload", detail, offset=offset)
    return _Frame(marker, offset, width, height, components)


def _check_coded(data: bytes, frame: _Frame, coded_bytes: int, scan: int) -> None:
    if frame.marker in _HUFFMAN_DCT:
        # No block of 8 x 8 takes less than one bit: what has fewer is cut, or its header lies.
        blocks = -(-frame.width // 8) * -(-frame.height // 8)
        if coded_bytes * 8 < blocks:
            detail = f"{coded_bytes} bytes of picture data cannot hold {frame.width} x {frame.height} pixels"
            raise Refused("bad_payload", detail, offset=scan)
    if frame.marker in _PROGRESSIVE and data.count(b"\xff\xda", scan) > _MAX_SCANS:
        raise Refused("unsafe_content", f"more than {_MAX_SCANS} scans", offset=scan)


FORMAT = ImageFormat("jpeg", "image/jpeg", "jpg", False, _recognise, _inspect)
