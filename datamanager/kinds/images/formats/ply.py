"""PLY: the header, and that the elements it declares are there (Greg Turk, "The PLY Polygon File Format", 1994)."""

from dataclasses import dataclass

import numpy as np

from datamanager.errors import Refused
from datamanager.kinds.images.format import ImageFormat
from datamanager.kinds.images.info import Content, ImageLimits
from datamanager.kinds.images.layout import AXES, CloudLayout, Column, cheap_bounds
from datamanager.kinds.images.lists import Part, end_of_rows
from datamanager.kinds.images.reading import check_leftover

__all__ = ["FORMAT", "read_layout"]

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_MAX_HEADER = 65536
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    count: int
    names: list[str]
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class _Header:
    text: bool
    elements: list[_Element]
    body: int
    newline: bytes


def _recognise(data: bytes) -> bool:
    return data[:3] == b"ply" and data[3:4] in (b"\n", b"\r")


def _inspect(data: bytes, limits: ImageLimits) -> Content:
    layout = read_layout(data, limits)
    return Content(points=layout.points, bounds=cheap_bounds(data, layout), notes=layout.notes)


def read_layout(data: bytes, limits: ImageLimits) -> CloudLayout:
    """Where the vertices are.

    Raises:
        Refused: `bad_payload`: no such PLY, no x, y, z, or more declared than is there; `too_large`: too many points.
    """
    header = _header(data)
    vertex = next((e for e in header.elements if e.name == "vertex"), None)
    if vertex is None:
        raise Refused("bad_payload", "the header declares no vertices", offset=0)
    if not set(AXES) <= set(vertex.names):
        raise Refused("bad_payload", f"the vertices have no x, y, z but {vertex.names[:8]}", offset=0)
    if any(part.count is not None for part in vertex.parts):
        raise Refused("bad_payload", "vertices with lists are not taken", offset=0)
    layout = _text_layout(data, header, vertex) if header.text else _binary_layout(data, header, vertex)
    if layout.points > limits.max_points:
        detail = f"{layout.points} points; at most {limits.max_points} are taken"
        raise Refused("too_large", detail, offset=header.body)
    return layout


def _binary_layout(data: bytes, header: _Header, vertex: _Element) -> CloudLayout:
    at: int | None = header.body
    body = None
    for element in header.elements:
        if at is None:
            break
        if element is vertex:
            body = at
        at = end_of_rows(data, at, element.count, element.parts, element.name)
    if body is None:
        raise Refused("bad_payload", "too many lists of changing length before the vertices", offset=header.body)
    stride = sum(part.dtype.itemsize for part in vertex.parts)
    columns: dict[str, Column] = {}
    offset = 0
    for name, part in zip(vertex.names, vertex.parts, strict=True):
        columns.setdefault(name, Column(part.dtype, offset, stride))
        offset += part.dtype.itemsize
    return CloudLayout(
        points=vertex.count,
        columns=columns,
        encoding="binary",
        body=body,
        size=vertex.count * stride,
        notes=() if at is None else check_leftover(data, at, "elements"),
    )


def _text_layout(data: bytes, header: _Header, vertex: _Element) -> CloudLayout:
    if header.elements[0] is not vertex:
        raise Refused("bad_payload", "a text PLY whose vertices are not its first element is not taken", offset=0)
    left = len(data) - header.body
    for element in header.elements:
        # A word takes two bytes with what parts it from the next; the last may end without.
        if element.count * max(1, len(element.parts)) * 2 - 1 > left:
            detail = f"the header declares {element.count} x {element.name} as text; {left} bytes are left"
            raise Refused("bad_payload", detail, offset=header.body)
    lines = data.count(header.newline, header.body) + (not data.endswith(header.newline))
    due = sum(element.count for element in header.elements)
    if lines < due:
        raise Refused("bad_payload", f"truncated: {due} lines are declared, {lines} are there", offset=len(data))
    words = len(vertex.parts)
    columns: dict[str, Column] = {}
    for place, (name, part) in enumerate(zip(vertex.names, vertex.parts, strict=True)):
        columns.setdefault(name, Column(part.dtype, place, words))
    return CloudLayout(points=vertex.count, columns=columns, encoding="text", body=header.body, size=left)


def _header(data: bytes) -> _Header:
    """The header, line by line; white space at the ends of a line and between words is free."""
    newline = b"\n" if b"\n" in data[:64] else b"\r"
    end = data.find(b"end_header", 0, _MAX_HEADER)
    body = data.find(newline, end) + 1
    if end < 0 or body == 0:
        raise Refused("bad_payload", f"no end_header within {_MAX_HEADER} bytes", offset=min(len(data), _MAX_HEADER))
    order: str | None = None
    elements: list[_Element] = []
    for line in data[:end].split(newline)[1:]:
        words = line.decode("latin-1").split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and order is None and len(words) == 3 and words[1] in _ORDERS and words[2] == "1.0":
            order = words[1]
        elif words[0] == "element" and order is not None:
            elements.append(_element(words, elements))
        elif words[0] == "property" and elements and order is not None:
            _add_property(elements[-1], words, _ORDERS[order])
        else:
            raise Refused("bad_payload", f"{' '.join(words)[:80]!r} has no place in the header", offset=data.find(line))
    if order is None:
        raise Refused("bad_payload", "the header names no format", offset=0)
    return _Header(order == "ascii", elements, body, newline)


def _element(words: list[str], before: list[_Element]) -> _Element:
    # str.isdigit alone would let other scripts' digits through, which int() takes as well
    if len(words) != 3 or not (words[2].isascii() and words[2].isdigit()) or len(words[2]) > _MAX_DIGITS:
        raise Refused("bad_payload", f"{' '.join(words)[:80]!r} is no element", offset=0)
    if any(element.name == words[1] for element in before):
        raise Refused("bad_payload", f"element {words[1][:32]!r} is declared twice", offset=0)
    return _Element(words[1][:32], int(words[2]), [], [])


def _add_property(element: _Element, words: list[str], order: str) -> None:
    types = words[2:-1] if words[1:2] == ["list"] else words[1:-1]
    if len(types) != (2 if words[1:2] == ["list"] else 1) or not set(types) <= _TYPES.keys():
        raise Refused("bad_payload", f"{' '.join(words)[:80]!r} is no property", offset=0)
    dtypes = [np.dtype(order + _TYPES[name]) for name in types]
    if len(dtypes) == 2 and dtypes[0].kind == "f":
        raise Refused("bad_payload", "a list whose length is a fraction", offset=0)
    element.names.append(words[-1])
    element.parts.append(Part(dtypes[-1], dtypes[0] if len(dtypes) == 2 else None))


FORMAT = ImageFormat("ply", "application/x-ply", "ply", True, _recognise, _inspect)
