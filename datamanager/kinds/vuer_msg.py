"""Kind `vuer_msg`: a MessagePack value in which tagged maps are arrays; kept as it is.

    {"$dtype": "numpy.ndarray", "b": bin, "dtype": "float32", "shape": [2, 2]}

A map whose tag is known has to be what the tag says. One with any other tag is a map like any other.
"""

from collections.abc import Mapping
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.documents.base64_forms import with_bytes
from datamanager.kinds.documents.mismatch import naming_others
from datamanager.kinds.documents.pack_check import check_pack, encode_pack, is_costly_pack, pack_metadata
from datamanager.kinds.documents.pack_value import key_token
from datamanager.kinds.documents.pack_walk import PackWalk
from datamanager.kinds.documents.pointer import pointer_of
from datamanager.kinds.documents.shape import clipped
from datamanager.kinds.documents.tensors import Tensor, read_tensor
from datamanager.kinds.documents.whole import read_document
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["encode", "examine", "is_costly", "tensors_in"]

_MAX_LISTED = 200


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a message and every array in it.

    Raises:
        Refused: `bad_payload` with the offset, `too_deep`, `too_large`, `kind_mismatch`.
    """
    data = read_document(source, hints, limits.max_document_bytes)
    with naming_others(data, text_is_other=True):
        walk = check_pack(data, limits.max_depth, tagged=True)
        if not walk.is_whole:
            raise Refused(
                "too_large", f"more than {walk.values} values; arrays belong into tagged maps", offset=walk.end
            )
        tensors = tensors_in(data, walk)
    metadata = pack_metadata(data, walk)
    listed = list(tensors.items())[:_MAX_LISTED]
    metadata["tensors"] = [{"path": clipped(path, 400), **tensor.metadata} for path, tensor in listed]
    metadata["tensor_count"] = len(tensors)
    return Found("application/msgpack", "vuer.msgpack", metadata)


def tensors_in(data: bytes, walk: PackWalk) -> dict[str, Tensor]:
    """The arrays, images and dicts of tensors that a message holds, by their JSON Pointer.

    Raises:
        Refused: `bad_payload`: one is not what its tag says.
    """
    found = {}
    for tagged in walk.tagged:
        tensor = read_tensor(data, tagged)
        if tensor is not None:
            path = pointer_of([key_token(data, at) if is_key else str(at) for at, is_key in tagged.steps])
            found[path] = tensor
    return found


def is_costly(data: bytes) -> bool:
    """Whether to look at it in a child process."""
    return is_costly_pack(data)


def encode(payload: Mapping[str, Any], limits: KindLimits) -> bytes:
    """The payload's `value` as MessagePack.

    Over JSON text a value has no bytes: there `b` of a map that has a known tag is base64; and as for `msgpack`, with
    `"encoding": "base64"` beside `value`, so is `{"encoding": "base64", "data": text}` wherever it stands.

    Raises:
        Refused: `missing_field`; `bad_payload` for what MessagePack cannot hold; `too_deep`.
    """
    if "value" not in payload:
        raise Refused("missing_field", "the payload has neither data nor value")
    return encode_pack(with_bytes(payload["value"], payload.get("encoding"), limits.max_depth, tagged=True))
