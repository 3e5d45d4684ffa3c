"""AVIF: the boxes of an ISO media file, the primary picture's size, and that its data are there.

Source: ISO/IEC 14496-12 (boxes), 23008-12 (HEIF items and properties), the AVIF specification of AOMedia.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.reading import check_pixels, need, unpack

__all__ = ["FORMAT"]

_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")
_BOX = struct.Struct(">I4s")
_SIZE = struct.Struct(">4xII")  # an `ispe` behind its box header: version and flags, width, height
_BRANDS = (b"avif", b"avis")
_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
_MAX_BOXES = 4096
_MAX_ITEMS = 4096


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    start: int  # of what it holds
    end: int


def _recognise(data: bytes) -> bool:
    if data[4:8] != b"ftyp":
        return False
    size = min(int.from_bytes(data[:4], "big"), 256)
    return any(data[at : at + 4] in _BRANDS for at in (8, *range(16, size, 4)))


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    top = {box.kind: box for box in _boxes(data, 0, len(data))}
    if b"meta" not in top:
        raise Refused("bad_payload", "no `meta` box: the file describes no picture", offset=0)
    meta = {box.kind: box for box in _boxes(data, top[b"meta"].start + 4, top[b"meta"].end)}
    for kind in (b"pitm", b"iprp", b"iloc"):
        if kind not in meta:
            raise Refused("bad_payload", f"no {kind!r} box in `meta`", offset=top[b"meta"].start)
    _check_places(data, meta[b"iloc"])
    parts = {box.kind: box for box in _boxes(data, meta[b"iprp"].start, meta[b"iprp"].end)}
    if b"ipco" not in parts or b"ipma" not in parts:
        raise Refused("bad_payload", "no properties in `iprp`", offset=meta[b"iprp"].start)
    properties = list(_boxes(data, parts[b"ipco"].start, parts[b"ipco"].end))
    width, height = _size(data, properties, _linked(data, parts[b"ipma"], _primary(data, meta[b"pitm"])))
    check_pixels(width, height, limits, parts[b"ipco"].start)
    alpha = any(p.kind == b"auxC" and data[p.start + 4 : p.end].startswith(_ALPHA) for p in properties)
    return Content(width=width, height=height, mode="RGBA" if alpha else "RGB")


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """The boxes from `start` to `end`; each is checked to fit."""
    for _ in range(_MAX_BOXES):
        if start == end:
            return
        size, kind = unpack(_BOX, data[:end], start, "a box") if end - start < 8 else _BOX.unpack_from(data, start)
        body = start + 8
        if size == 1:  # the real size follows
            (size,) = unpack(_U64, data, body, f"the size of box {kind!r}")
            body += 8
        elif size == 0:  # to the end of the file
            size = end - start
        if size < body - start or start + size > end:
            detail = f"box {kind!r} of {size} bytes does not fit into the {end - start} left"
            raise Refused("bad_payload", detail, offset=start)
        yield _Box(kind, body, start + size)
        start += size
    raise Refused("unsafe_content", f"more than {_MAX_BOXES} boxes", offset=start)


class _Cursor:
    """Reads numbers of changing width, one after the other, inside one box."""

    def __init__(self, data: bytes, box: _Box) -> None:
        self.data, self.at, self.box = data, box.start, box

    def number(self, size: int) -> int:
        if self.at + size > self.box.end:
            raise Refused("bad_payload", f"box {self.box.kind!r} ends too early", offset=self.at)
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def _primary(data: bytes, box: _Box) -> int:
    cursor = _Cursor(data, box)
    version = cursor.number(4) >> 24
    return cursor.number(2 if version == 0 else 4)


def _linked(data: bytes, box: _Box, item: int) -> list[int]:
    """Numbers, from 1, of the properties that belong to an item."""
    cursor = _Cursor(data, box)
    flags = cursor.number(4)
    width, mask = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
    for _ in range(_items(cursor.number(4), box)):
        found = cursor.number(2 if flags >> 24 == 0 else 4)
        numbers = [cursor.number(width) & mask for _ in range(cursor.number(1))]
        if found == item:
            return numbers
    raise Refused("bad_payload", f"the primary picture {item} has no properties", offset=box.start)


def _size(data: bytes, properties: list[_Box], numbers: list[int]) -> tuple[int, int]:
    for number in numbers:
        if 0 < number <= len(properties) and properties[number - 1].kind == b"ispe":
            width, height = unpack(_SIZE, data, properties[number - 1].start, "the picture's size")
            return width, height
    raise Refused("bad_payload", "the primary picture has no size (ispe)")


def _check_places(data: bytes, box: _Box) -> None:
    """Checks that every item's data lie inside the file."""
    cursor = _Cursor(data, box)
    version = cursor.number(4) >> 24
    widths = cursor.number(2)
    offset_size, length_size, base_size = widths >> 12, widths >> 8 & 15, widths >> 4 & 15
    index_size = widths & 15 if version else 0
    for _ in range(_items(cursor.number(2 if version < 2 else 4), box)):
        cursor.number(2 if version < 2 else 4)
        in_file = (cursor.number(2) & 15) == 0 if version else True
        cursor.number(2)
        base = cursor.number(base_size)
        for _ in range(_items(cursor.number(2), box)):
            cursor.number(index_size)
            offset, length = cursor.number(offset_size), cursor.number(length_size)
            if in_file:
                need(data, base + offset, length, "a picture's data")


def _items(count: int, box: _Box) -> int:
    if count > _MAX_ITEMS:
        raise Refused("unsafe_content", f"box {box.kind!r} lists {count} items", offset=box.start)
    return count


FORMAT = ImageFormat("avif", "image/avif", "avif", False, _recognise, _inspect)
