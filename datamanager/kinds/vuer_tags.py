"""The tags of `vuer_msg`: which maps stand for arrays, and of what numbers. Shared by the server and the robot's client.

A map with `$dtype` (or, older, `ztype`) and `b` is what the tag says: github.com/vuer-ai/vuer-message-protocol.
"""

from collections.abc import Mapping
from types import MappingProxyType

from datamanager.errors import Refused

__all__ = ["ARRAY_TAGS", "IMAGE", "ITEM_SIZES", "MARKS", "SAFETENSORS", "TYPED_ARRAYS", "check_size", "number_type"]

MARKS = ("$dtype", "ztype")
ARRAY_TAGS = frozenset({"numpy.ndarray", "torch.Tensor"})
IMAGE = "image"
SAFETENSORS = "safetensor.dict"
# JavaScript's typed arrays, which have one dimension and a `length`.
TYPED_ARRAYS: Mapping[str, str] = MappingProxyType({
    "Int8Array": "int8", "Uint8Array": "uint8", "Uint8ClampedArray": "uint8", "Int16Array": "int16",
    "Uint16Array": "uint16", "Int32Array": "int32", "Uint32Array": "uint32", "BigInt64Array": "int64",
    "BigUint64Array": "uint64", "Float16Array": "float16", "Float32Array": "float32", "Float64Array": "float64",
})  # fmt: skip
# Plain numbers, and no others: an object's dtype would have whoever reads it run what the bytes say.
ITEM_SIZES: Mapping[str, int] = MappingProxyType({
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4,
    "float32": 4, "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16,
})  # fmt: skip
_SHORT = {
    "?": "bool", "b1": "bool", "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f2": "float16", "f4": "float32", "f8": "float64", "c8": "complex64",
    "c16": "complex128",
}  # fmt: skip
_MAX_DIMENSIONS = 32


def number_type(dtype: object) -> str:
    """The name of a plain number type, of a spelling of numpy's or torch's: `float32`, `<f4`, `torch.float32`.

    Raises:
        Refused: `bad_payload`.
    """
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.")
        name = _SHORT.get(name.lstrip("<|="), name)
        if name in ITEM_SIZES:
            return name
    said = repr(dtype)[:60]
    raise Refused("bad_payload", f"dtype {said} is no plain number in little-endian order: {', '.join(ITEM_SIZES)}")


def check_size(dtype: str, shape: object, size_bytes: int) -> tuple[int, ...]:
    """The shape of an array, when it has as many bytes as that takes.

    Raises:
        Refused: `bad_payload`.
    """
    if not isinstance(shape, list | tuple) or len(shape) > _MAX_DIMENSIONS:
        raise Refused("bad_payload", f"shape must be a list of at most {_MAX_DIMENSIONS} integers")
    count = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < 2**63:
            raise Refused("bad_payload", f"shape holds {repr(length)[:40]}, which is no length")
        count *= length
    if count * ITEM_SIZES[dtype] != size_bytes:
        needed = count * ITEM_SIZES[dtype]
        raise Refused("bad_payload", f"{dtype} of shape {list(shape)} takes {needed} bytes, b has {size_bytes}"[:300])
    return tuple(shape)
