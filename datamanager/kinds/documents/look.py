"""Reads in stored documents: a value as JSON, or an array as bytes. Called in a child process."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from datamanager.errors import RangeTooLarge, Refused
from datamanager.kinds.documents.answer import Answer, plain_float, to_json
from datamanager.kinds.documents.json_look import look_up_json, look_up_value
from datamanager.kinds.documents.pack_value import PackPlain, find_value
from datamanager.kinds.documents.pack_walk import TaggedMap, walk_pack
from datamanager.kinds.documents.pointer import parse_pointer, pointer_of
from datamanager.kinds.documents.tensors import Tensor, npy_bytes, read_tensor, values_of
from datamanager.kinds.documents.toml_text import toml_value
from datamanager.kinds.documents.whole import BOM
from datamanager.kinds.documents.yaml_value import yaml_value
from datamanager.kinds.source import Source

__all__ = ["ARRAY_KINDS", "JSON_KINDS", "read_array", "read_json"]

JSON_KINDS = ("json", "log", "msgpack", "toml", "vuer_msg", "yaml")
ARRAY_KINDS = ("vuer_msg",)

_VALUES: Mapping[str, Callable[[bytes], Any]] = {"yaml": yaml_value, "toml": toml_value}
_NO_LIMIT = 1 << 40
_VALUES_WITHIN = 1024
_VALUES_ALONE = 100_000


def read_json(source: Source, kind: str, path: str, arrays_at: str, max_depth: int) -> bytes:
    """What a path leads to, as JSON.

    Args:
        source: the document, as it was taken in.
        kind: one of `JSON_KINDS`.
        path: a JSON Pointer (RFC 6901); empty for the whole.
        arrays_at: the address under which arrays are given as bytes, to which their pointer is added.
        max_depth: how deep it may nest.

    Raises:
        NotFound: nothing is there.
        Refused: `malformed`: the path is no pointer.
        RangeTooLarge: the answer would be too large.
    """
    tokens = parse_pointer(path)
    data = source.read(0, source.size)
    try:
        if kind in ("msgpack", "vuer_msg"):
            tagged = _tagged(data) if kind == "vuer_msg" else {}
            return to_json(_pack_plain(data, tokens, tagged, arrays_at, max_depth))
        if kind in _VALUES:
            return to_json(Answer().plain(look_up_value(_VALUES[kind](data), tokens), pointer_of(tokens)))
        text = _log_text(data) if kind == "log" else data.removeprefix(BOM)
        return look_up_json(text, tokens)
    except MemoryError as exc:
        raise RangeTooLarge("reading it takes more memory than one answer may: read the record's content") from exc


def read_array(source: Source, path: str, form: str) -> bytes:
    """The array that a path leads to, as a `.npy` file or the bytes that it has in the message.

    Args:
        source: a `vuer_msg`, as it was taken in.
        path: a JSON Pointer (RFC 6901).
        form: `npy`, or `raw`, which images and dicts of tensors have too.

    Raises:
        NotFound: nothing is there.
        Refused: `malformed`, or `bad_payload`: what is there is no array, or has no such form.
    """
    tokens = parse_pointer(path)
    data = source.read(0, source.size)
    at = find_value(data, tokens)
    tagged = _tagged(data).get(at)
    tensor = read_tensor(data, tagged) if tagged else None
    if tensor is None:
        raise Refused("bad_payload", f"what stands at {pointer_of(tokens)[:200]!r} is no array")
    return npy_bytes(data, tensor) if form == "npy" else data[tensor.begin : tensor.end]


def _log_text(data: bytes) -> bytes:
    """A log as JSON: as it is when it came as a payload, else `{"lines": […]}`."""
    if _is_entry(data):
        return data
    return to_json({"lines": data.decode("utf-8-sig", "replace").splitlines()})


def _is_entry(data: bytes) -> bool:
    try:
        return b"\n" not in data and isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _tagged(data: bytes) -> dict[int, TaggedMap]:
    return {tagged.at: tagged for tagged in walk_pack(data, _NO_LIMIT, _NO_LIMIT, tagged=True).tagged}


def _pack_plain(data: bytes, tokens: list[str], tagged: dict[int, TaggedMap], arrays_at: str, max_depth: int) -> Any:
    answer, top = Answer(), pointer_of(tokens)

    def special(at: int, path: str) -> Any:
        tensor = read_tensor(data, tagged[at]) if at in tagged else None
        return None if tensor is None else _plain_tensor(data, tensor, answer, path, top, arrays_at)

    return PackPlain(data, answer, top, max_depth, special).at(find_value(data, tokens))


def _plain_tensor(data: bytes, tensor: Tensor, answer: Answer, path: str, top: str, arrays_at: str) -> dict[str, Any]:
    """A tagged map as JSON: what it is, and its numbers when they are few; always where to have them as bytes."""
    metadata = tensor.metadata
    is_npy = tensor.dtype not in (None, "bfloat16")
    address = arrays_at + quote(path, safe="/") + ("" if is_npy else "&format=raw")
    found = {"$dtype": metadata.pop("tag"), **metadata, "array": address}
    answer.count(len(found["array"]), 8)
    if tensor.dtype is None:
        return found
    values = values_of(data, tensor)
    if values.size > (_VALUES_ALONE if path == top else _VALUES_WITHIN):
        return found | {"values": None}
    answer.count(8 * values.size, values.size)
    return found | {"values": _plain_values(values.tolist())}


def _plain_values(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_values(item) for item in value]
    if isinstance(value, complex):
        return [plain_float(value.real), plain_float(value.imag)]
    return plain_float(value) if isinstance(value, float) else value
