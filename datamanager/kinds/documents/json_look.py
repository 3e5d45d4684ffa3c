"""Looks up a path in JSON text without reading the values beside it; what stands there is given as it was written."""

import json
from typing import Any

import msgspec

from datamanager.errors import RangeTooLarge
from datamanager.kinds.documents.answer import MAX_ANSWER_BYTES, Tagged, to_json
from datamanager.kinds.documents.pointer import array_index, missing

__all__ = ["look_up_json", "look_up_value"]

_MAP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_NAMES = {str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}


def look_up_json(body: bytes, tokens: list[str]) -> bytes:
    """The JSON text that a path leads to, its numbers as they were written, however large.

    Args:
        body: known to be good, without a byte order mark.
        tokens: of the path.

    Raises:
        NotFound: nothing is there.
        RangeTooLarge: it has more bytes than an answer may.
    """
    try:
        found = bytes(_descend(body, tokens))
    except (msgspec.MsgspecError, ValueError):  # a lone surrogate, of which msgspec wants two
        found = to_json(look_up_value(json.loads(body, parse_int=_integer), tokens))
    if len(found) > MAX_ANSWER_BYTES:
        size = f"{len(found)} bytes, an answer {MAX_ANSWER_BYTES} at the most"
        raise RangeTooLarge(f"what is there has {size}: name a path, or read the record's content")
    return found


def look_up_value(value: Any, tokens: list[str]) -> Any:
    """The value in maps, lists and tagged values that a path leads to.

    Raises:
        NotFound: nothing is there.
    """
    for depth, token in enumerate(tokens):
        value = value.value if isinstance(value, Tagged) else value
        if isinstance(value, dict) and token in value:
            value = value[token]
            continue
        index = array_index(token) if isinstance(value, list) else None
        if index is None or index >= len(value):
            raise missing(tokens, depth, _describe(value))
        value = value[index]
    return value


def _descend(body: bytes, tokens: list[str]) -> bytes | msgspec.Raw:
    raw: bytes | msgspec.Raw = body.strip(b" \t\r\n")
    for depth, token in enumerate(tokens):
        lead = bytes(memoryview(raw)[:1])
        inner: Any = _MAP.decode(raw) if lead == b"{" else _LIST.decode(raw) if lead == b"[" else None
        if isinstance(inner, dict):
            if token not in inner:
                raise missing(tokens, depth, _describe(inner))
            raw = inner[token]
            continue
        index = array_index(token) if inner is not None else None
        if index is None or index >= len(inner):
            raise missing(tokens, depth, _describe(json.loads(bytes(raw)) if inner is None else inner))
        raw = inner[index]
    return raw


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)} entries"
    if isinstance(value, list):
        return f"an array of {len(value)} entries"
    return _NAMES.get(type(value), "a value")


def _integer(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:  # more digits than Python reads
        return text
