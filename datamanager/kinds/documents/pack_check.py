"""Checks that bytes are one MessagePack value, and says what shape it has; for `msgpack` and `vuer_msg`."""

from typing import Any

import msgpack
import msgspec

from datamanager.errors import Refused
from datamanager.kinds.documents.pack_format import Family, read_head
from datamanager.kinds.documents.pack_value import key_token
from datamanager.kinds.documents.pack_walk import PackWalk, walk_pack
from datamanager.kinds.documents.shape import MAX_KEYS, shape

__all__ = ["check_pack", "encode_pack", "is_costly_pack", "pack_metadata"]

_MAX_STEPS = 100_000  # each takes one to four microseconds
_CHEAP_STEPS = 400
_CHEAP_BYTES = 64 * 1024
_NO_LIMIT = 1 << 40
_MAX_EXT_TYPES = 128
_TYPES = {
    Family.NIL: "null",
    Family.BOOL: "boolean",
    Family.INT: "number",
    Family.FLOAT: "number",
    Family.STR: "string",
    Family.BIN: "bytes",
    Family.EXT: "ext",
    Family.ARRAY: "array",
    Family.MAP: "object",
}


def check_pack(data: bytes, max_depth: int, *, tagged: bool = False) -> PackWalk:
    """Checks that the bytes are one value, whole, and nothing else.

    A document of very many values is walked to `_MAX_STEPS`, and checked from end to end by msgpack's own parser.

    Raises:
        Refused: `bad_payload`, `too_deep`, with the offset.
    """
    walk = walk_pack(data, max_depth, _MAX_STEPS, tagged=tagged)
    if not walk.is_whole:
        walk.end = _skip(data)
    if walk.end < len(data):
        raise Refused("bad_payload", f"{len(data) - walk.end} bytes follow the value", offset=walk.end)
    return walk


def is_costly_pack(data: bytes) -> bool:
    """Whether looking at it takes more than about a millisecond."""
    if len(data) > _CHEAP_BYTES:
        return True
    try:
        return not walk_pack(data, _NO_LIMIT, _CHEAP_STEPS).is_whole
    except Refused:
        return len(data) > _CHEAP_BYTES // 8  # to say what else it may be is work, too


def pack_metadata(data: bytes, walk: PackWalk) -> dict[str, Any]:
    """The top-level shape, and what stood out."""
    head = read_head(data, 0)
    entries = head.size if head.family >= Family.ARRAY else None
    keys = _keys(data, head.body, head.size) if head.family is Family.MAP else None
    depth = walk.depth if walk.is_whole else None
    found: dict[str, Any] = {"shape": shape(_TYPES[head.family], entries=entries, keys=keys, depth=depth)}
    if walk.ext_codes:
        codes = sorted(walk.ext_codes.items())[:_MAX_EXT_TYPES]
        found["ext_types"] = [{"code": code, "count": count} for code, count in codes]
    if walk.bad_texts:
        found["texts_not_utf8"] = walk.bad_texts
    if not walk.is_whole:
        found["walked_values"] = walk.values
    return found


def encode_pack(value: object) -> bytes:
    """A value as MessagePack, every integer and length in its shortest form, floats as float64.

    Raises:
        Refused: `bad_payload` for what MessagePack cannot hold, such as an integer beyond 64 bits; `too_deep`.
    """
    try:
        return msgspec.msgpack.encode(value)
    except RecursionError as exc:
        raise Refused("too_deep", "the value nests deeper than can be written") from exc
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as exc:
        raise Refused("bad_payload", f"the value cannot be kept as MessagePack: {exc}"[:300]) from exc


def _skip(data: bytes) -> int:
    unpacker = msgpack.Unpacker(max_buffer_size=2**31 - 1)
    unpacker.feed(data)
    try:
        unpacker.skip()
    except msgpack.OutOfData as exc:
        raise Refused("bad_payload", "it ends within a value", offset=len(data)) from exc
    except msgpack.StackError as exc:
        raise Refused("too_deep", "it nests deeper than can be read") from exc
    except (msgpack.FormatError, ValueError) as exc:
        raise Refused("bad_payload", "it holds a byte that begins no value in MessagePack") from exc
    end: int = unpacker.tell()
    return end


def _keys(data: bytes, at: int, count: int) -> list[str]:
    """The first keys of a map of known good bytes."""
    unpacker = msgpack.Unpacker(max_buffer_size=2**31 - 1)
    unpacker.feed(memoryview(data)[at:])
    keys = []
    for _ in range(min(count, MAX_KEYS)):
        keys.append(key_token(data, at + unpacker.tell()))
        unpacker.skip()
        unpacker.skip()
    return keys
