"""Arrays as `vuer_msg` has them: a map `{"$dtype": "numpy.ndarray", "b": bytes, "dtype", "shape"}` for each."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.kinds.vuer_tags import (
    ARRAY_TAGS,
    IMAGE,
    MARKS,
    SAFETENSORS,
    TYPED_ARRAYS,
    check_size,
    number_type,
)

__all__ = ["from_vuer", "to_vuer", "vuer_image"]

_HEADER_SIZE = 8
# The types of a safetensors header that numpy has, and bfloat16.
_STORED = {
    "BOOL": "bool", "I8": "int8", "U8": "uint8", "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16",
    "I32": "int32", "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64", "F64": "float64",
}  # fmt: skip


def to_vuer(value: Any) -> Any:
    """A value as MessagePack can carry it: each array in it, at any depth, becomes a tagged map.

    Args:
        value: maps, lists, tuples, texts, numbers, bytes, None; numpy arrays of plain numbers in any order and byte order;
            numpy's own scalars, which become Python's; torch tensors (they are told by their type; torch is not imported).

    Raises:
        Refused: `bad_payload` for an array of anything but plain numbers.
    """
    if isinstance(value, np.ndarray):
        return _tagged("numpy.ndarray", value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {to_vuer(key): to_vuer(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_vuer(item) for item in value]
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "numpy"):
        return _tagged("torch.Tensor", value.detach().cpu().numpy())
    return value


def from_vuer(value: Any) -> Any:
    """What `to_vuer` was given, of its result or of the bytes of a `vuer_msg`.

    Arrays, tensors and JavaScript's typed arrays become numpy arrays, which share the bytes and cannot be written; bfloat16
    becomes float32. An `image` becomes its file's bytes, a `safetensor.dict` a dict of arrays. A map with any other tag
    stays as it is.

    Args:
        value: bytes of a whole message, or a value.

    Raises:
        Refused: `bad_payload`: a tagged map is not what its tag says; `malformed`, `too_deep`: the
            bytes cannot be read.
    """
    try:
        return _decoded(msgspec.msgpack.decode(value) if isinstance(value, bytes) else value)
    except RecursionError as exc:
        raise Refused("too_deep", "the message nests deeper than can be read") from exc
    except (msgspec.MsgspecError, ValueError) as exc:
        raise Refused("malformed", f"no MessagePack: {exc}") from exc


def vuer_image(file: bytes) -> dict[str, Any]:
    """An encoded picture (JPEG, PNG, …) as a message has it."""
    return {"$dtype": IMAGE, "b": file}


def _tagged(tag: str, array: npt.NDArray[Any]) -> dict[str, Any]:
    dtype = number_type(array.dtype.name)
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {"$dtype": tag, "b": little.tobytes(), "dtype": dtype, "shape": list(array.shape)}


def _decoded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next((value[mark] for mark in MARKS if mark in value), None)
    if isinstance(tag, str) and (tag in ARRAY_TAGS or tag in TYPED_ARRAYS or tag in (IMAGE, SAFETENSORS)):
        return _untagged(tag, value)
    return {key: _decoded(item) for key, item in value.items()}


def _untagged(tag: str, value: dict[str, Any]) -> Any:
    data = value.get("b")
    if not isinstance(data, bytes):
        raise Refused("bad_payload", f"{tag}: b must be bytes")
    if tag == IMAGE:
        return data
    if tag == SAFETENSORS:
        return _stored(data)
    if tag in TYPED_ARRAYS:
        return _array(data, TYPED_ARRAYS[tag], [value.get("length")])
    return _array(data, number_type(value.get("dtype")), value.get("shape"))


def _array(data: bytes, dtype: str, shape: Any) -> npt.NDArray[Any]:
    lengths = check_size(dtype, shape, len(data))
    if dtype == "bfloat16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(lengths)
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(lengths)


def _stored(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a safetensors file (github.com/huggingface/safetensors, its format)."""
    begin = _HEADER_SIZE + int.from_bytes(data[:_HEADER_SIZE], "little")
    try:
        header = msgspec.json.decode(data[_HEADER_SIZE:begin], type=dict[str, dict[str, Any]])
        found = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                found[name] = _array(data[begin + start : begin + end], _STORED[entry["dtype"]], entry["shape"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as exc:
        raise Refused("bad_payload", f"{SAFETENSORS}: b is no safetensors file: {exc}"[:200]) from exc
    return found
