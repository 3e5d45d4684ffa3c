"""Draco: header and attributes of a point cloud, then a bounded decode (Google, "Draco 3D Data Compression bitstream").

Draco has no lengths: only decoding tells whether it is whole. And its decoder makes room for what the header promises
before it looks at the rest: 200 bytes that declare 100 million points took 2.3 GB and 6 s here. So the counts are read
first, as the decoder reads them, and what would take more than `MAX_ROOM` is not decoded here: with that, none of
288,000 mutated files took more than 0.16 s and 71 MB. A mesh hides its counts behind its connectivity (0.2 kB took
7 s), so that it is never decoded here, but by the worker, in a child process with limits (`datamanager.worker.draco`).
"""

import struct
from dataclasses import dataclass

import DracoPy
import numpy as np

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.layout import bounds_of
from datamanager.kinds.images.reading import need, unpack

__all__ = ["FORMAT", "MAX_ROOM", "DracoHeader", "read_header"]

MAX_ROOM = 32 << 20  # bytes that the decoded attributes may take

_HEADER = struct.Struct("<5sBBBBH")
_U32 = struct.Struct("<I")
_HAS_METADATA = 0x8000
_ITEM_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 8, 8: 8, 9: 4, 10: 8, 11: 1}
_MAX_METADATA = 4096
_SEQUENTIAL, _KD_TREE = 0, 1
_MAX_KD_LEVEL = 6
_POSITION = 0


@dataclass(frozen=True, slots=True)
class DracoHeader:
    """What a Draco file says of itself.

    Attributes:
        is_mesh: a mesh, whose counts are not read.
        points: points of a cloud; None of a mesh.
        room: bytes that decoding the attributes takes at the least; None of a mesh.
    """

    is_mesh: bool
    points: int | None
    room: int | None


def _recognise(data: bytes) -> bool:
    return data.startswith(b"DRACO")


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    header = read_header(data, limits)
    if header.room is None or header.room > MAX_ROOM:
        return Content(points=header.points, notes=("not decoded when it arrived: its bounds are not known",))
    try:
        xyz = np.asarray(DracoPy.decode(data).points)
    except Exception as exc:  # DracoPy raises its own classes, MemoryError, ValueError and AttributeError alike
        raise Refused("bad_payload", f"the points cannot be decoded: {exc}") from exc
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise Refused("bad_payload", f"the points are of shape {xyz.shape}, not (n, 3)")
    return Content(points=len(xyz), bounds=bounds_of(xyz[:, 0], xyz[:, 1], xyz[:, 2]))


def read_header(data: bytes, limits: ImageLimits) -> DracoHeader:
    """The header, and of a cloud its attributes.

    Raises:
        Refused: `bad_payload` for what is broken or of an unknown version, `too_large` for too many points.
    """
    _, major, minor, kind, method, flags = unpack(_HEADER, data, 0, "the Draco header")
    newest = (2, 3) if kind == 0 else (2, 2)
    if kind > 1 or method > 1 or not (1, 0) <= (major, minor) <= newest:
        raise Refused("bad_payload", f"Draco {major}.{minor}, type {kind}, method {method}: not known", offset=5)
    cursor = _Cursor(data, _HEADER.size)
    if flags & _HAS_METADATA:
        cursor.skip_metadata()
    if kind == 1:
        need(data, cursor.at, 8, "the connectivity")
        return DracoHeader(is_mesh=True, points=None, room=None)
    (points,) = unpack(_U32, data, cursor.at, "the number of points")
    if points > limits.max_points:
        detail = f"the header declares {points} points; at most {limits.max_points} are taken"
        raise Refused("too_large", detail, offset=cursor.at)
    cursor.at += 4
    room = points * cursor.bytes_a_point((major, minor), method)
    if method == _KD_TREE and (major, minor) == (2, 3):
        need(data, cursor.at, 1, "the points")
        if data[cursor.at] > _MAX_KD_LEVEL:  # the library prints to standard output about it
            raise Refused("bad_payload", f"compression level {data[cursor.at]}", offset=cursor.at)
    return DracoHeader(is_mesh=False, points=points, room=room)


class _Cursor:
    """Reads what stands before the coded points, one thing after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        need(self.data, self.at, 1, "the header")
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise Refused("bad_payload", "a number of more than 5 bytes", offset=self.at)

    def skip(self, size: int) -> None:
        need(self.data, self.at, size, "the metadata")
        self.at += size

    def skip_metadata(self) -> None:
        """Passes over the metadata of attributes and of the whole: trees of named entries."""
        left = _MAX_METADATA
        for last in range(self.varint(), -1, -1):
            if last:
                self.varint()  # whose attribute it is
            waiting, is_root = 1, True
            while waiting:
                waiting, left = waiting - 1, left - 1
                if not is_root:
                    self.skip(self.byte())  # its name
                is_root = False
                for _ in range(self.varint()):
                    left -= 1
                    self.skip(self.byte())
                    self.skip(self.varint())
                    self._check_left(left)
                waiting += self.varint()
                self._check_left(left)

    def _check_left(self, left: int) -> None:
        if left < 0:
            raise Refused("unsafe_content", f"more than {_MAX_METADATA} entries of metadata", offset=self.at)

    def bytes_a_point(self, version: tuple[int, int], method: int) -> int:
        """Bytes that one point takes in all its attributes, 4 a number at the least."""
        total, has_position = 0, False
        for _ in range(self.byte()):
            count = self.varint() if version >= (2, 0) else self._u32()
            if count == 0 or count * 5 > len(self.data) - self.at:
                raise Refused("bad_payload", f"{count} attributes", offset=self.at)
            for _ in range(count):
                use, kind, components, _ = (self.byte() for _ in range(4))
                if kind not in _ITEM_SIZES or components == 0:
                    detail = f"an attribute of {components} numbers of type {kind}"
                    raise Refused("bad_payload", detail, offset=self.at - 4)
                if version >= (1, 3):
                    self.varint()  # its id
                else:
                    self.skip(2)
                total += max(4, _ITEM_SIZES[kind]) * components
                has_position = has_position or use == _POSITION
            if method == _SEQUENTIAL:
                self.skip(count)  # how each is coded
        if not has_position:
            raise Refused("bad_payload", "no attribute is a position", offset=self.at)
        return total

    def _u32(self) -> int:
        (value,) = unpack(_U32, self.data, self.at, "the number of attributes")
        self.at += 4
        return int(value)


FORMAT = ImageFormat("draco", "application/x-draco", "drc", True, _recognise, _inspect)
