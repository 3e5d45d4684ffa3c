"""What YAML's scalars mean: the core schema of YAML 1.2 (section 10.3.2).

So `yes`, `no`, `on`, `off` are texts, `012` is twelve, `12:30` and `2024-01-31` are texts, where YAML 1.1 has booleans,
octals, base 60 and dates. The bytes that are kept are the same either way.
"""

import base64
import binascii
import re
from typing import Any

from datamanager.kinds.documents.answer import plain_float
from datamanager.kinds.documents.yaml_events import Event

__all__ = ["scalar_of", "type_of_scalar"]

_CORE = "tag:yaml.org,2002:"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NANS = frozenset({".nan", ".NaN", ".NAN"})
_MAX_DIGITS = 4000  # Python reads 4300
_NAMES = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null", bytes: "bytes"}
_NUMERIC = frozenset({"null", "bool", "int", "float"})


def scalar_of(event: Event) -> Any:
    """The value of a scalar: None, a boolean, a number, a text, or bytes (`!!binary`).

    Floats that JSON lacks are the wire's words; integers of thousands of digits are texts. A tag of the document's own
    leaves a text.
    """
    text, tag = event.value, event.tag
    if tag is None or tag == "":
        return _plain(text) if event.implicit[0] else text
    if tag == _CORE + "binary":
        try:
            return base64.b64decode(text)
        except (binascii.Error, ValueError):
            return text
    return _plain(text) if tag.removeprefix(_CORE) in _NUMERIC else text


def type_of_scalar(event: Event) -> str:
    """What type a scalar has: `string`, `number`, `boolean`, `null` or `bytes`."""
    if event.implicit[0] and (_INFINITE.fullmatch(event.value) or event.value in _NANS):
        return "number"
    return _NAMES[type(scalar_of(event))]


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return plain_float(float(text))
    if _INFINITE.fullmatch(text):
        return plain_float(float(text.replace(".", "").lower()))
    return "NaN" if text in _NANS else text


def _integer(text: str) -> int | str:
    if len(text) > _MAX_DIGITS:
        return text
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
