"""Values of MongoDB and msgpack as JSON can carry them, by the rules of the wire."""

import math
from base64 import b64encode
from typing import Any

import msgspec

__all__ = ["PLAIN_TYPES", "encode_json", "plain", "timestamp_s"]

_ENCODER = msgspec.json.Encoder()
PLAIN_TYPES = frozenset({str, int, bool, type(None)})
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def encode_json(value: Any) -> bytes:
    """JSON of Structs and plain values; bytes as base64."""
    return _ENCODER.encode(value)


def plain(value: Any) -> Any:  # noqa: PLR0911  # one a type
    """The same value as JSON can carry it: `"NaN"`, `"Infinity"` and `"-Infinity"` for what JSON has no number for.

    Maps get text keys, bytes become base64 text. Whatever else JSON lacks becomes its text.
    """
    kind = type(value)
    if kind in PLAIN_TYPES:  # most values are, and a page has ten thousands of them
        return value
    match value:
        case float():
            return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
        case int():
            return int(value)  # MongoDB's 64-bit integers are a type of their own, which JSON's encoder refuses
        case dict():
            return {key if isinstance(key, str) else str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case bytes():
            return b64encode(value).decode()
        case _:
            return str(value)


def timestamp_s(t_ns: int) -> float:
    """Unix nanoseconds as the float of seconds that stands beside them; exact to about a quarter microsecond."""
    return t_ns / 1e9
