"""The header of a safetensors file: 8 bytes of length, JSON, and then the tensors without a gap.

Format: https://github.com/huggingface/safetensors#format. Stricter than the reference in one point, which the format's
own page asks for: a key that stands there twice is refused.
"""

import json
import re
import struct
from dataclasses import dataclass
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.file import sniff_mime_type
from datamanager.kinds.safetensors.dtypes import DTYPE_BITS
from datamanager.kinds.source import Source

__all__ = ["Header", "Tensor", "parse_header", "read_header"]

_LENGTH_BYTES = 8
_MAX_DIMENSION = 2**63 - 1
_MAX_PRODUCT = 2**64 - 1  # the reference counts elements in 64 bits, and refuses what overflows on the way
_METADATA = "__metadata__"
_SURROGATE = re.compile("[\ud800-\udfff]")  # what JSON can write and UTF-8 cannot


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `dtype` in the format's words, C order, little-endian; its bytes are [start, end) of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: its tensors in the order of their bytes, and the map of strings it bears."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, str]


def read_header(source: Source, max_header_bytes: int) -> Header:
    """Reads and checks the header; nothing else is read.

    Raises:
        Refused: `kind_mismatch`, `bad_payload`, or `too_large` for a header of more than `max_header_bytes`.
    """
    head = source.read(0, _LENGTH_BYTES + 1)
    if len(head) < _LENGTH_BYTES:
        raise Refused("bad_payload", f"{source.size} bytes are too few for a safetensors file", offset=0)
    (length,) = struct.unpack_from("<Q", head)
    if length > source.size - _LENGTH_BYTES or head[_LENGTH_BYTES:] != b"{":
        _refuse_head(source, length)
    if length > max_header_bytes:
        raise Refused("too_large", f"the header has {length} bytes, {max_header_bytes} are allowed", offset=0)
    return parse_header(source.read(_LENGTH_BYTES, length), source.size)


def _refuse_head(source: Source, length: int) -> None:
    mime_type = sniff_mime_type(source.read(0, 4096))
    if mime_type not in ("application/octet-stream", "text/plain"):
        raise Refused("kind_mismatch", f"the content is {mime_type}, not safetensors", offset=0)
    if length > source.size - _LENGTH_BYTES:
        left = source.size - _LENGTH_BYTES
        raise Refused("bad_payload", f"the header is to have {length} bytes, and {left} follow", offset=0)
    raise Refused("bad_payload", "the header is no JSON object", offset=_LENGTH_BYTES)


def parse_header(data: bytes, size: int) -> Header:
    """Checks a header.

    Args:
        data: the header's JSON.
        size: bytes of the whole file.

    Raises:
        Refused: `bad_payload` or `too_deep`.
    """
    entries = _parse_json(data)
    metadata = entries.pop(_METADATA, None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("bad_payload", f"{_METADATA} must be a map of strings", offset=_LENGTH_BYTES)
    if _SURROGATE.search("".join((*metadata, *metadata.values()))):
        raise Refused("bad_payload", f"{_METADATA} has half of a surrogate pair", offset=_LENGTH_BYTES)
    begin = _LENGTH_BYTES + len(data)
    tensors = sorted(
        (_tensor(name, entry, begin) for name, entry in entries.items()), key=lambda tensor: (tensor.start, tensor.end)
    )
    _check_cover(tensors, begin, size)
    return Header(tuple(tensors), metadata)


def _parse_json(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise Refused("bad_payload", "the header is not UTF-8", offset=_LENGTH_BYTES + exc.start) from exc
    try:
        entries = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as exc:
        at = _LENGTH_BYTES + len(text[: exc.pos].encode())
        raise Refused("bad_payload", f"the header is no JSON: {exc.msg}", offset=at) from exc
    except RecursionError as exc:
        raise Refused("too_deep", "the header is nested too deeply", offset=_LENGTH_BYTES) from exc
    except ValueError as exc:  # a number of thousands of digits
        raise Refused("bad_payload", f"the header is no JSON that can be read: {exc}", offset=_LENGTH_BYTES) from exc
    if not isinstance(entries, dict):
        raise Refused("bad_payload", "the header is no JSON object", offset=_LENGTH_BYTES)
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add returns None
        raise Refused("bad_payload", f"the key {twice[:200]!r} stands twice in the header", offset=_LENGTH_BYTES)
    return found


def _no_constant(name: str) -> None:
    raise Refused("bad_payload", f"{name} is no JSON", offset=_LENGTH_BYTES)


def _tensor(name: str, entry: object, begin: int) -> Tensor:
    if not isinstance(entry, dict):
        raise _bad(name, "is described by no map")
    if _SURROGATE.search(name):
        raise _bad(name, "has half of a surrogate pair in its name")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if not isinstance(dtype, str) or bits is None:
        raise _bad(name, f"has the unknown dtype {str(dtype)[:40]!r}")
    if not _are_sizes(shape):
        raise _bad(name, "has a shape that is no list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2:  # type: ignore[arg-type]  # it is a list by now
        raise _bad(name, "has data_offsets that are no two offsets")
    start, end = offsets  # type: ignore[misc]  # as above
    if end - start != _size_bytes(name, dtype, shape, bits):  # type: ignore[arg-type]  # as above
        raise _bad(name, f"is {dtype} of shape {str(shape)[:200]} and has {end - start} bytes")
    return Tensor(name, dtype, tuple(shape), begin + start, begin + end)  # type: ignore[arg-type]  # as above


def _size_bytes(name: str, dtype: str, shape: list[int], bits: int) -> int:
    elements = 1
    for size in shape:
        elements *= size
        if elements > _MAX_PRODUCT:
            raise _bad(name, "has a shape whose product overflows 64 bits")
    if elements * bits % 8:
        raise _bad(name, f"is {dtype} and ends within a byte")
    return elements * bits // 8


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _MAX_DIMENSION for item in value)


def _check_cover(tensors: list[Tensor], begin: int, size: int) -> None:
    """That the tensors fill the file from the header to its end, each byte once."""
    at = begin
    for tensor in tensors:
        if tensor.start != at:
            what = "leaves a hole" if tensor.start > at else "overlaps the one before"
            raise Refused("bad_payload", f"the tensor {tensor.name[:200]!r} {what}", offset=min(tensor.start, at))
        at = tensor.end
    if at != size:
        what = f"{at - size} are missing" if at > size else f"{size - at} more follow"
        raise Refused("bad_payload", f"the tensors end at byte {at} of {size}: {what}", offset=min(at, size))


def _bad(name: str, what: str) -> Refused:
    return Refused("bad_payload", f"the tensor {name[:200]!r} {what}", offset=_LENGTH_BYTES)
