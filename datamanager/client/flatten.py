"""A nested sample as dotted channels: maps by key, lists and arrays by index (DESIGN section 4)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from datamanager.errors import Refused

__all__ = ["Value", "flatten"]

Value = float | int | bool | str | None

_INT64_MIN = -(2**63)
_INT64_MAX = 2**63 - 1
_MAX_DEPTH = 64


def flatten(sample: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Value, ...]]:
    """A sample's channel names and their values, in the order in which they stand.

    Values are float, int (within int64), bool, str or None; numpy scalars and arrays become these, exactly. An empty
    map or list has no channel.

    Raises:
        Refused: `bad_payload` when nothing is in it, two keys flatten to one channel, or an integer is beyond int64;
            `wrong_type` for a key or value of another type; `too_deep` below 64 levels.
    """
    if not isinstance(sample, Mapping):
        raise Refused("wrong_type", f"a sample is a map of channels, not {type(sample).__name__}")
    names: list[str] = []
    values: list[Value] = []
    _check_keys("a sample", sample)
    _walk("", sample.items(), names, values, 0)
    if not names:
        raise Refused("bad_payload", "a sample without a value")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused("bad_payload", f"two keys flatten to the channel {twice[:140]!r}")
    return tuple(names), tuple(values)


def _walk(prefix: str, items: Any, names: list[str], values: list[Value], depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise Refused("too_deep", f"{prefix[:140]!r} is nested deeper than {_MAX_DEPTH} levels")
    for key, value in items:
        name = f"{prefix}{key}"
        kind = type(value)
        if kind is float or kind is bool or value is None:
            names.append(name)
            values.append(value)
        elif kind is str:
            names.append(name)
            values.append(_text(name, value))
        elif kind is int:
            names.append(name)
            values.append(_int64(name, value))
        elif isinstance(value, Mapping):
            _check_keys(name, value)
            _walk(f"{name}.", value.items(), names, values, depth + 1)
        elif isinstance(value, list | tuple):
            _walk(f"{name}.", enumerate(value), names, values, depth + 1)
        else:
            _foreign(name, value, names, values, depth)


def _check_keys(where: str, value: Mapping[Any, Any]) -> None:
    for key in value:
        if type(key) is not str:
            raise Refused("wrong_type", f"a channel's name in {where[:140]} is a string, not {type(key).__name__}")


def _int64(name: str, value: int) -> int:
    if not _INT64_MIN <= value <= _INT64_MAX:
        raise Refused("bad_payload", f"the integer in {name[:140]!r} is beyond int64")
    return value


def _text(name: str, value: str) -> str:
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError as error:
        raise Refused("bad_payload", f"the text in {name[:140]!r} is no Unicode: {error}") from error
    return value


def _foreign(name: str, value: object, names: list[str], values: list[Value], depth: int) -> None:
    """Numpy scalars and arrays, and subclasses of the plain types."""
    if isinstance(value, np.ndarray):
        plain = value.tolist()
    elif isinstance(value, np.generic):
        plain = value.item()
    else:
        plain = next((base(value) for base in (bool, int, float, str) if isinstance(value, base)), value)
    if type(plain) is type(value) or not isinstance(plain, bool | int | float | str | list):
        raise Refused("wrong_type", f"{name[:140]!r} holds a {type(value).__name__}, which is no value of a channel")
    if isinstance(plain, list):
        _walk(f"{name}.", enumerate(plain), names, values, depth + 1)
    else:
        names.append(name)
        values.append(_plain(name, plain))


def _plain(name: str, value: float | bool | str) -> Value:
    if type(value) is int:
        return _int64(name, value)
    return _text(name, value) if isinstance(value, str) else value
