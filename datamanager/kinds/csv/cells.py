"""Cells: the narrowest type that a column's texts all have, and what a text is as a value of a type."""

import math
import re
from collections.abc import Iterable

__all__ = ["TYPES", "is_missing", "type_of", "value_of", "widen"]

# Letter, as records keep it, to type.
TYPES = {"n": "null", "b": "bool", "i": "int", "I": "bigint", "f": "float", "t": "time", "s": "string"}

_MISSING = frozenset({"", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "None"})
_INT = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,18})\Z")
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|(?:nan|inf|infinity))\Z", re.IGNORECASE
)
_ZEROS_FIRST = re.compile(r"[+-]?0[0-9]+\Z")  # 007 is a name, not seven
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,12})?)?(?:Z|z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
    r"|[0-9]{8}T[0-9]{6}(?:\.[0-9]{1,12})?Z?\Z"
)
_EXACT = 2**53
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value, wherever it does not stand among texts."""
    return text.strip() in _MISSING


def type_of(text: str) -> str:  # one a type
    """The narrowest type of one cell. `bigint`: int64 that is not exact as a float."""
    text = text.strip()
    if text in _MISSING:
        return "null"
    first = text[0]
    if first.isalpha() and text.lower() in ("true", "false"):
        return "bool"
    if _INT.match(text):
        value = int(text)
        if -_EXACT <= value <= _EXACT:
            return "int"
        return "bigint" if _INT64_MIN <= value <= _INT64_MAX else "string"
    if _FLOAT.match(text) and not _ZEROS_FIRST.match(text):
        return "float"
    return "time" if _TIME.match(text) else "string"


def widen(one: str, texts: Iterable[str]) -> str:
    """The narrowest type of a column that has been of type `one` so far, and goes on with these cells."""
    for text in set(texts):
        if one == "string":
            return one
        one = _wider(one, type_of(text))
    return one


def _wider(one: str, other: str) -> str:
    if other in (one, "null"):
        return one
    if one == "null":
        return other
    pair = {one, other}
    if pair == {"int", "bigint"}:
        return "bigint"
    return "float" if pair == {"int", "float"} else "string"


def value_of(text: str, kind: str) -> object:
    """A cell as JSON can carry it: null for a missing one, the wire's words for what is no number to JSON.

    A cell that is not of its column's type, as may be in rows that were not looked at, is the text that it is.
    """
    if not text or (kind != "string" and is_missing(text)):
        return None
    try:
        if kind in ("int", "bigint"):
            return int(text) if type_of(text) in ("int", "bigint") else text
        if kind == "float":
            value = float(text) if "_" not in text else math.nan
            return value if math.isfinite(value) else _not_finite(text, value)
    except ValueError:
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    return text


def _not_finite(text: str, value: float) -> str:
    if "_" in text:
        return text
    return _NOT_FINITE.get(value, "NaN")
