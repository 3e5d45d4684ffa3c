"""The arrays of a `vuer_msg`: maps whose tag says what their bytes are, checked and read where they stand."""

import io
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.kinds.documents.pack_format import Family, read_head, scalar_value
from datamanager.kinds.documents.pack_walk import Member, TaggedMap
from datamanager.kinds.images.table import recognise
from datamanager.kinds.vuer_tags import ARRAY_TAGS, IMAGE, SAFETENSORS, TYPED_ARRAYS, check_size, number_type

__all__ = ["Tensor", "npy_bytes", "read_tensor", "values_of"]

_SMALL_BYTES = 4096  # of a tag, a dtype, a shape
_SAFETENSORS_HEADER = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a tagged map is.

    Attributes:
        tag: its tag.
        begin: where its bytes are.
        end: where they end.
        dtype: of its numbers; None of an image or a `safetensor.dict`.
        shape: their shape.
        format: of an image; None when it is none that is known.
    """

    tag: str
    begin: int
    end: int
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    format: str | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The same as a map, without what it does not have."""
        found: dict[str, Any] = {"tag": self.tag, "size_bytes": self.end - self.begin}
        if self.dtype is not None and self.shape is not None:
            found |= {"dtype": self.dtype, "shape": list(self.shape)}
        return found if self.format is None else found | {"format": self.format}


def read_tensor(data: bytes, tagged: TaggedMap) -> Tensor | None:
    """What a tagged map is; None when its tag is none that is known: then it is a map like any other.

    Raises:
        Refused: `bad_payload`, with the map's offset: its tag is known, and it is not what its tag says.
    """
    mark = tagged.members.get(b"$dtype") or tagged.members[b"ztype"]
    tag = _small(data, mark)
    if not isinstance(tag, str) or tag not in ARRAY_TAGS | TYPED_ARRAYS.keys() | {IMAGE, SAFETENSORS}:
        return None
    try:
        return _read(data, tag, tagged)
    except Refused as refused:
        raise Refused("bad_payload", f"{tag}: {refused.detail}", offset=tagged.at) from refused


def values_of(data: bytes, tensor: Tensor) -> npt.NDArray[Any]:
    """The numbers of an array, as float32 where numpy has no such type (bfloat16)."""
    raw = memoryview(data)[tensor.begin : tensor.end]
    shape = tensor.shape or ()
    if tensor.dtype == "bfloat16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    return np.frombuffer(raw, np.dtype(tensor.dtype).newbyteorder("<")).reshape(shape)


def npy_bytes(data: bytes, tensor: Tensor) -> bytes:
    """An array as a `.npy` file (version 1.0; numpy.lib.format).

    Raises:
        Refused: `bad_payload` when it is no array, or of a type that numpy lacks.
    """
    if tensor.dtype is None or tensor.dtype == "bfloat16":
        what = tensor.dtype or tensor.tag
        raise Refused("bad_payload", f"{what} has no form as .npy; ask for format=raw")
    out = io.BytesIO()
    np.lib.format.write_array(out, values_of(data, tensor), version=(1, 0), allow_pickle=False)
    return out.getvalue()


def _read(data: bytes, tag: str, tagged: TaggedMap) -> Tensor:
    b = tagged.members.get(b"b")
    if b is None or b.head.family is not Family.BIN:
        raise Refused("bad_payload", "b must be bytes" if b else "it has no b")
    begin, end = b.head.body, b.head.end
    if tag in TYPED_ARRAYS:
        shape = check_size(TYPED_ARRAYS[tag], [_needed(data, tagged, b"length")], end - begin)
        return Tensor(tag, begin, end, TYPED_ARRAYS[tag], shape)
    if tag in ARRAY_TAGS:
        dtype = number_type(_needed(data, tagged, b"dtype"))
        return Tensor(tag, begin, end, dtype, check_size(dtype, _needed(data, tagged, b"shape"), end - begin))
    if tag == IMAGE:
        image = recognise(data[begin:end])
        return Tensor(tag, begin, end, format=image.name if image else None)
    _check_safetensors(data, begin, end)
    return Tensor(tag, begin, end)


def _needed(data: bytes, tagged: TaggedMap, name: bytes) -> Any:
    member = tagged.members.get(name)
    if member is None:
        raise Refused("bad_payload", f"it has no {name.decode()}")
    return _small(data, member)


def _small(data: bytes, member: Member) -> Any:
    """A value that takes few bytes; None for any other."""
    if member.head.size > _SMALL_BYTES:
        return None
    if member.head.family < Family.ARRAY:
        return _decode(data[member.at : member.head.end])
    return _integers(data, member) if member.head.family is Family.ARRAY else None


def _integers(data: bytes, member: Member) -> list[int | None] | None:
    """The integers of an array; None when it holds anything else."""
    found, at = [], member.head.body
    for _ in range(member.head.size):
        head = read_head(data, at)
        if head.family is not Family.INT:
            return None
        found.append(scalar_value(data, at, head))
        at = head.end
    return found  # type: ignore[return-value]  # the family says that they are integers


def _decode(data: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError):  # a text that is no UTF-8, an extension: nothing that a tensor has
        return None


def _check_safetensors(data: bytes, begin: int, end: int) -> None:
    """The header's length and its braces; the file is looked into where somebody asks for it."""
    size = int.from_bytes(data[begin : begin + _SAFETENSORS_HEADER], "little")
    start = begin + _SAFETENSORS_HEADER
    if not 2 <= size <= end - start or data[start : start + 1] != b"{":
        raise Refused("bad_payload", "b is no safetensors file: its header does not fit in")
