"""What results are searched by: `facts` of a result, [{"k": name, "v": value}, …].

Names are data there and no paths, so that nothing in a name can be an operator, and one index serves names that nobody
knew before.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["BEST", "STATUS", "channel_name", "facts_of", "values_of"]

Value = float | int | str

BEST = "~"
"""Before the name of a class: the best score that a box of it has."""
STATUS = "!status"
"""The status of a result that is not `ok`."""

_MOST_VALUES = 256  # each is an entry of an index; windows over a stream of thousands of channels would have as many


def channel_name(name: str) -> str:
    """A value's name as that of its channel: what stands behind the first dot is one word."""
    head, dot, rest = name.partition(".")
    return head + dot + rest.replace(".", "_")


def values_of(values: Mapping[str, Any]) -> dict[str, Value]:
    """The values of a result's document, which are nested once, by the names of their channels (`counts.car`)."""
    flat: dict[str, Value] = {}
    for name, value in values.items():
        flat |= {f"{name}.{inner}": v for inner, v in value.items()} if isinstance(value, Mapping) else {name: value}
    return flat


def facts_of(values: Mapping[str, Any], boxes: Sequence[Mapping[str, Any]] = (), status: str = "ok") -> list[Any]:
    """What is searched of a result: its values, its best boxes, how it failed. Of more than 256 values none is.

    Args:
        values: as its document has them, nested once.
        boxes: of a detector.
        status: of the result.
    """
    flat = values_of(values)
    facts: list[Any] = [{"k": name, "v": value} for name, value in flat.items()] if len(flat) <= _MOST_VALUES else []
    best: dict[str, float] = {}
    for box in boxes:
        best[box["class"]] = max(box["score"], best.get(box["class"], box["score"]))
    facts += [{"k": BEST + name, "v": score} for name, score in best.items()]
    return facts if status == "ok" else [*facts, {"k": STATUS, "v": status}]
