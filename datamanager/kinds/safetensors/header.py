"""The header of a safetensors file: 8 bytes of length, JSON, and then the tensors without a gap.

Format: https://github.com/huggingface/safetensors#format. Stricter than the reference in one point, which the format's
own page asks for: a key that stands there twice is refused.
"""

import gc
import json
import re
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from datamanager.errors import Refused
from datamanager.kinds.file import sniff_mime_type
from datamanager.kinds.safetensors.dtypes import DTYPE_BITS
from datamanager.kinds.source import Source

__all__ = ["Header", "Tensor", "parse_header", "read_header"]

_LENGTH_BYTES = 8
_MAX_DIMENSION = 2**63 - 1
_MAX_PRODUCT = 2**64 - 1  # the reference counts elements in 64 bits, and refuses what overflows on the way
_METADATA = "__metadata__"
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD]")  # what JSON can write and UTF-8 cannot


class Tensor(NamedTuple):
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
    metadata = entries.pop(_METADATA, None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("bad_payload", f"{_METADATA} must be a map of strings", offset=_LENGTH_BYTES)
    if _ESCAPED_SURROGATE.search(data):
        _check_texts([*entries, *metadata, *metadata.values()])
    begin = _LENGTH_BYTES + len(data)
    with _uncollected():
        tensors = [_tensor(name, entry, begin) for name, entry in entries.items()]
        for field in (4, 3):  # by start, and where these are the same, by end
            tensors.sort(key=itemgetter(field))
    _check_cover(tensors, begin, size)
    return Header(tuple(tensors), metadata)


def _parse_json(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise Refused("bad_payload", "the header is not UTF-8", offset=_LENGTH_BYTES + exc.start) from exc
    try:
        with _uncollected():
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


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without collections of garbage: among so many containers that all stay they take half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # add returns None
        raise Refused("bad_payload", f"the key {twice[:200]!r} stands twice in the header", offset=_LENGTH_BYTES)
    return found


def _no_constant(name: str) -> None:
    raise Refused("bad_payload", f"{name} is no JSON", offset=_LENGTH_BYTES)


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise Refused("bad_payload", f"{text[:200]!r} has half of a surrogate pair", offset=_LENGTH_BYTES) from exc


def _tensor(name: str, entry: object, begin: int) -> Tensor:
    if not isinstance(entry, dict):
        raise _bad(name, "is described by no map")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    bits = DTYPE_BITS.get(dtype) if isinstance(dtype, str) else None
    if not isinstance(dtype, str) or bits is None:
        raise _bad(name, f"has the unknown dtype {str(dtype)[:40]!r}")
    elements, sizes = _elements(name, shape)
    if elements * bits % 8:
        raise _bad(name, f"is {dtype} and ends within a byte")
    start, end = offsets if isinstance(offsets, list) and len(offsets) == 2 else (None, None)
    if not (type(start) is int and type(end) is int and 0 <= start <= _MAX_DIMENSION and 0 <= end <= _MAX_DIMENSION):
        raise _bad(name, "has data_offsets that are no two offsets")
    if (end - start) * 8 != elements * bits:
        raise _bad(name, f"is {dtype} of shape {str(shape)[:200]} and has {end - start} bytes")
    return Tensor(name, dtype, sizes, begin + start, begin + end)


def _elements(name: str, shape: object) -> tuple[int, tuple[int, ...]]:
    if not isinstance(shape, list):
        raise _bad(name, "has a shape that is no list of sizes")
    elements = 1
    for size in shape:
        if type(size) is not int or not 0 <= size <= _MAX_DIMENSION:
            raise _bad(name, "has a shape that is no list of sizes")
        elements *= size
        if elements > _MAX_PRODUCT:
            raise _bad(name, "has a shape whose product overflows 64 bits")
    return elements, tuple(shape)


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
