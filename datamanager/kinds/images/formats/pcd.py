"""PCD: the header, and that the points it declares are there (Point Cloud Library, "The PCD file format", 0.7)."""

import struct
from dataclasses import dataclass

import numpy as np

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.layout import AXES, CloudLayout, Column, cheap_bounds
from datamanager.kinds.images.lzf import MAX_RATIO
from datamanager.kinds.images.reading import check_leftover, need, unpack

__all__ = ["FORMAT", "read_layout"]

_SIZES = struct.Struct("<II")
_TYPES = {
    "F4": "<f4", "F8": "<f8", "I1": "<i1", "I2": "<i2", "I4": "<i4", "I8": "<i8",
    "U1": "<u1", "U2": "<u2", "U4": "<u4", "U8": "<u8",
}  # fmt: skip
_KEYS = frozenset("VERSION FIELDS COLUMNS SIZE TYPE COUNT WIDTH HEIGHT VIEWPOINT POINTS DATA".split())
_MAX_HEADER = 65536
_MAX_DIGITS = 15
_MAX_FIELD_COUNT = 65536  # values of one field in one point: histograms have some hundred


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    dtype: np.dtype[np.generic]
    count: int

    @property
    def size(self) -> int:
        return self.dtype.itemsize * self.count


def _recognise(data: bytes) -> bool:
    return data.startswith((b"# .PCD", b"VERSION ", b"VERSION\t", b"FIELDS "))


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    layout = read_layout(data, limits)
    bounds = cheap_bounds(data, layout)
    return Content(width=layout.width, height=layout.height, points=layout.points, bounds=bounds, notes=layout.notes)


def read_layout(data: bytes, limits: ImageLimits) -> CloudLayout:
    """Where the points are.

    Raises:
        Refused: `bad_payload`: no such PCD, no x, y, z, or more declared than is there; `too_large`: too many points.
    """
    header, body = _header(data)
    fields = _fields(header)
    width, height = _whole(header, "WIDTH", 0), _whole(header, "HEIGHT", 0)
    points = _whole(header, "POINTS", 0, width * height)
    if points != width * height:
        raise Refused("bad_payload", f"WIDTH {width} x HEIGHT {height} are not POINTS {points}", offset=0)
    encoding = header["DATA"][0] if header["DATA"] else ""
    if encoding not in _LAYOUTS:
        raise Refused("bad_payload", f"DATA {encoding[:32]!r} is not ascii, binary or binary_compressed", offset=0)
    layout = _LAYOUTS[encoding](data, body, fields, points, (width, height) if height > 1 else (None, None))
    if points > limits.max_points:
        raise Refused("too_large", f"{points} points; at most {limits.max_points} are taken", offset=0)
    return layout


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    """The header's words by key, and where the points begin."""
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at, _MAX_HEADER)
        if end < 0:
            raise Refused("bad_payload", f"no DATA line within {_MAX_HEADER} bytes", offset=at)
        words = data[at:end].decode("latin-1").split()
        if words and not words[0].startswith("#"):
            key = words[0].upper()
            if key not in _KEYS or key in header:
                raise Refused("bad_payload", f"{words[0][:32]!r} has no place in the header", offset=at)
            header["FIELDS" if key == "COLUMNS" else key] = words[1:]
        at = end + 1
    return header, at


def _whole(header: dict[str, list[str]], key: str, place: int, default: int | None = None) -> int:
    words = header.get(key)
    if words is None and default is not None:
        return default
    word = words[place] if words and len(words) > place else ""
    if not (word.isascii() and word.isdigit()) or len(word) > _MAX_DIGITS:
        raise Refused("bad_payload", f"{key} is {word[:32]!r} and no whole number", offset=0)
    return int(word)


def _fields(header: dict[str, list[str]]) -> list[_Field]:
    names, sizes, types = (header.get(key, []) for key in ("FIELDS", "SIZE", "TYPE"))
    counts = header.get("COUNT", ["1"] * len(names))
    if not len(names) == len(sizes) == len(types) == len(counts):
        detail = f"{len(names)} FIELDS, {len(sizes)} SIZE, {len(types)} TYPE, {len(counts)} COUNT"
        raise Refused("bad_payload", detail, offset=0)
    fields = []
    for place, (name, size, kind) in enumerate(zip(names, sizes, types, strict=True)):
        count = _whole({"COUNT": counts}, "COUNT", place)
        if kind + size not in _TYPES or not 0 < count <= _MAX_FIELD_COUNT:
            raise Refused(
                "bad_payload", f"field {name[:32]!r}: type {kind[:8]}, size {size[:8]}, count {count}", offset=0
            )
        fields.append(_Field(name, np.dtype(_TYPES[kind + size]), count))
    if not set(AXES) <= set(names):
        raise Refused("bad_payload", f"the points have no x, y, z but {names[:8]}", offset=0)
    return fields


_Size = tuple[int, int] | tuple[None, None]


def _binary(data: bytes, body: int, fields: list[_Field], points: int, size: _Size) -> CloudLayout:
    stride = sum(field.size for field in fields)
    need(data, body, points * stride, f"{points} points of {stride} bytes")
    columns: dict[str, Column] = {}
    offset = 0
    for field in fields:
        columns.setdefault(field.name, Column(field.dtype, offset, stride))
        offset += field.size
    end = body + points * stride
    notes = check_leftover(data, end, "points")
    return CloudLayout(
        points=points, columns=columns, encoding="binary", body=body, size=end - body, width=size[0], height=size[1],
        notes=notes,
    )  # fmt: skip


def _packed(data: bytes, body: int, fields: list[_Field], points: int, size: _Size) -> CloudLayout:
    packed, raw = unpack(_SIZES, data, body, "the sizes of the packed points")
    need(data, body + 8, packed, "the packed points")
    due = points * sum(field.size for field in fields)
    if raw != due:
        raise Refused("bad_payload", f"{points} points take {due} bytes, not {raw}", offset=body + 4)
    if raw > packed * MAX_RATIO:
        raise Refused("bad_payload", f"{packed} packed bytes cannot make {raw}", offset=body)
    columns: dict[str, Column] = {}
    offset = 0
    for field in fields:  # one column after the other, each for all points
        columns.setdefault(field.name, Column(field.dtype, offset, field.size))
        offset += field.size * points
    notes = check_leftover(data, body + 8 + packed, "points")
    return CloudLayout(
        points=points, columns=columns, encoding="lzf", body=body + 8, size=packed, raw_size=raw, width=size[0],
        height=size[1], notes=notes,
    )  # fmt: skip


def _text(data: bytes, body: int, fields: list[_Field], points: int, size: _Size) -> CloudLayout:
    words, left = sum(field.count for field in fields), len(data) - body
    lines = data.count(b"\n", body) + (not data.endswith(b"\n"))
    if points * words * 2 - 1 > left or lines < points:
        detail = f"truncated: {points} points of {words} numbers are declared; {lines} lines of {left} bytes are there"
        raise Refused("bad_payload", detail, offset=body)
    columns: dict[str, Column] = {}
    place = 0
    for field in fields:
        columns.setdefault(field.name, Column(field.dtype, place, words))
        place += field.count
    return CloudLayout(
        points=points, columns=columns, encoding="text", body=body, size=left, width=size[0], height=size[1]
    )


_LAYOUTS = {"ascii": _text, "binary": _binary, "binary_compressed": _packed}

FORMAT = ImageFormat("pcd", "application/x-pcd", "pcd", True, _recognise, _inspect)
