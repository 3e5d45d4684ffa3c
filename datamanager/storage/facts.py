"""What results are searched by: `facts` of a result, [{"k": name, "v": value}, …].

Names are data there and no paths, so that nothing in a name can be an operator, and one index serves names that nobody
knew before.
"""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["BEST", "STATUS", "facts_of", "values_of"]

Value = float | int | str

BEST = "~"
"""Before the name of a class: the best score that a box of it has. No channel's name begins so."""
STATUS = "!status"
"""The status of a result that is not `ok`."""


def facts_of(values: Mapping[str, Value], boxes: Sequence[Mapping[str, Any]] = (), status: str = "ok") -> list[Any]:
    """What is searched of a result: its values by their flat names (`counts.car`), its best boxes, how it failed."""
    facts: list[Any] = [{"k": name, "v": value} for name, value in values.items()]
    best: dict[str, float] = {}
    for box in boxes:
        best[box["class"]] = max(box["score"], best.get(box["class"], box["score"]))
    facts += [{"k": BEST + name, "v": score} for name, score in best.items()]
    return facts if status == "ok" else [*facts, {"k": STATUS, "v": status}]


def values_of(facts: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """The values, by their flat names."""
    return {fact["k"]: fact["v"] for fact in facts if not fact["k"].startswith((BEST, STATUS))}
