"""A value that came in a message, as the bytes of a JSON text.

What MessagePack has and JSON has not takes a form that JSON can hold, the same that the wire uses: NaN and the
infinities their words, bytes base64 text, times RFC 3339, keys that are no text their text. An extension type, or two
keys that become one, cannot be told by anybody who reads the text: they are refused.
"""

import base64
import json
import math
from datetime import datetime
from typing import Any

from datamanager.errors import Refused

__all__ = ["encode_json_value", "key_text"]

_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def encode_json_value(value: object, max_depth: int) -> bytes:
    """Compact JSON in UTF-8; keys keep their order, numbers have their shortest form.

    Raises:
        Refused: `bad_payload` for what JSON cannot hold, `too_deep`.
    """
    try:
        plain = _plain(value, max_depth)
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as exc:  # a UnicodeEncodeError is a ValueError
        raise Refused("bad_payload", f"the value cannot be kept as JSON: {exc}"[:300]) from exc


def key_text(key: object) -> str:
    """A key of a map as JSON can hold it.

    Raises:
        Refused: `bad_payload` for an extension type.
    """
    match key:
        case str():
            return key
        case bool() | int() | None:
            return json.dumps(key)
        case float():
            return json.dumps(key) if math.isfinite(key) else _NOT_FINITE.get(key, "NaN")
        case tuple() | list():
            return json.dumps([key_text(part) for part in key])
        case bytes():
            return base64.b64encode(key).decode("ascii")
        case datetime():
            return key.isoformat()
        case _:
            raise Refused("bad_payload", f"a key of the value is a {type(key).__name__}, which JSON cannot hold")


def _plain(value: Any, levels: int) -> Any:
    match value:
        case str() | bool() | int() | None:
            return value
        case float():
            return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
        case dict():
            _check_levels(levels)
            return _plain_map(value, levels - 1)
        case list() | tuple():
            _check_levels(levels)
            return [_plain(item, levels - 1) for item in value]
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime():
            return value.isoformat()
        case _:
            raise Refused("bad_payload", f"the value holds a {type(value).__name__}, which JSON cannot hold")


def _plain_map(value: dict[Any, Any], levels: int) -> dict[str, Any]:
    plain = {key_text(key): _plain(item, levels) for key, item in value.items()}
    if len(plain) < len(value):
        raise Refused("bad_payload", "two keys of a map become one as text, which is what keys are in JSON")
    return plain


def _check_levels(levels: int) -> None:
    if levels <= 0:
        raise Refused("too_deep", "the value nests deeper than a document may")
