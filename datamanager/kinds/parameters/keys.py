"""Nested maps by their dotted keys."""

from collections.abc import Iterator
from typing import Any

__all__ = ["flatten", "list_keys", "type_name"]

_MOST_CHARS = 200
_TYPES = {dict: "map", list: "list", str: "string", bool: "bool", int: "int", float: "float", type(None): "null"}


def flatten(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    r"""Dotted key and value of each leaf, in the maps' order. Lists and empty maps are leaves; a dot in a key is `\.`."""
    levels: list[tuple[str, Iterator[tuple[str, Any]]]] = [("", iter(values.items()))]
    while levels:
        prefix, items = levels[-1]
        for key, value in items:
            name = prefix + key.replace("\\", "\\\\").replace(".", "\\.")
            if isinstance(value, dict) and value:
                levels.append((f"{name}.", iter(value.items())))
                break
            yield name, value
        else:
            levels.pop()


def list_keys(values: dict[str, Any], most: int) -> tuple[list[dict[str, str]], int]:
    """The first `most` dotted keys, each with the type of its value, and how many there are."""
    shown: list[dict[str, str]] = []
    count = 0
    for name, value in flatten(values):
        count += 1
        if count <= most:
            key = name if len(name) <= _MOST_CHARS else name[: _MOST_CHARS - 1] + "…"
            shown.append({"key": key.encode("utf-8", "replace").decode(), "type": type_name(value)})
    return shown, count


def type_name(value: object) -> str:
    """The type of a JSON value: map, list, string, bool, int, float or null."""
    return _TYPES[type(value)]
