"""Maps that a sender may fill as it likes, checked before MongoDB has to keep them."""

from datetime import datetime

from datamanager.errors import Refused

__all__ = ["check_map"]

_KEPT = (dict, list, str, bytes, int, float, datetime, type(None))
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_OVERHEAD = 16  # of one value, at least
# MongoDB takes a map with one of these for a reference to another document, and checks it as such.
_REFERENCES = frozenset({"$ref", "$id", "$db"})


def check_map(value: object, what: str, *, max_bytes: int, max_depth: int) -> None:
    """Returns when MongoDB can keep a map: text keys, values that BSON has a form for, not too large.

    Args:
        value: the map.
        what: its name, for the refusal.
        max_bytes: of its keys and values, with 16 for each value.
        max_depth: how deep maps and lists may nest.

    Raises:
        Refused: `wrong_type`, `bad_payload`, `too_deep` or `too_large`.
    """
    if not isinstance(value, dict):
        raise Refused("wrong_type", f"{what} must be a map, not {type(value).__name__}")
    level: list[object] = [value]
    size = 0
    for _ in range(max_depth):
        inner: list[object] = []
        for node in level:
            if isinstance(node, dict):
                size += sum(_key_bytes(key, what) for key in node)
            for child in node.values() if isinstance(node, dict) else node:  # type: ignore[attr-defined]  # a map or list
                size += _OVERHEAD + _value_bytes(child, what)
                if isinstance(child, dict | list):
                    inner.append(child)
            if size > max_bytes:
                raise Refused("too_large", f"{what} has more than the {max_bytes} bytes that are allowed")
        if not inner:
            return
        level = inner
    raise Refused("too_deep", f"{what} nests deeper than {max_depth} levels")


def _key_bytes(key: object, what: str) -> int:
    if type(key) is not str:
        raise Refused("bad_payload", f"a key of {what} is a {type(key).__name__}, not a string")
    if "\0" in key or key in _REFERENCES:
        raise Refused("bad_payload", f"{what} has the key {key[:80]!r}, which cannot be kept")
    return len(key)


def _value_bytes(value: object, what: str) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, int) and not _INT64_MIN <= value <= _INT64_MAX:
        raise Refused("bad_payload", f"{what} holds the integer {str(value)[:40]}, which is beyond int64")
    if not isinstance(value, _KEPT):
        raise Refused("bad_payload", f"{what} holds a {type(value).__name__}, which cannot be kept")
    return 0
