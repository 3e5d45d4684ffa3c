"""What parameters come to after one another, and what has changed between two of them."""

import json
from collections.abc import Sequence
from typing import Any

from datamanager.errors import RangeTooLarge
from datamanager.kinds.parameters.keys import flatten
from datamanager.kinds.parameters.reading import parse_parameters
from datamanager.kinds.source import Source

__all__ = ["Difference", "apply_all", "difference", "merge"]

Difference = dict[str, dict[str, Any]]
_MOST_DEPTH = 500  # what was taken in under another limit is read all the same
_MOST_BYTES = 32 << 20
_MOST_CHANGES = 100_000


def apply_all(state: bytes, patches: Sequence[tuple[str, Source]]) -> bytes:
    """Applies parameters, each a mode and its content, one after another.

    Args:
        state: JSON of the values before.
        patches: in the order of their times.

    Returns:
        JSON of the values after.

    Raises:
        RangeTooLarge: these are more than any one message holds.
    """
    values: dict[str, Any] = json.loads(state)
    for mode, source in patches:
        read = parse_parameters(source.read(0, source.size), _MOST_DEPTH)
        values = read.values if mode == "replace" else merge(values, read.values)
    made = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if len(made) > _MOST_BYTES:
        raise RangeTooLarge(f"the parameters come to {len(made)} bytes; at most {_MOST_BYTES} are put together")
    return made


def merge(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """RFC 7386, section 2 (JSON Merge Patch): maps are merged, null removes, all else replaces. Changes `target`."""
    merged: dict[str, Any] = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def difference(before: bytes, after: bytes) -> Difference:
    """What was added, removed and changed, by dotted key: `{"added": {key: value}, "removed": …, "changed": {key: {"from", "to"}}}`.

    Raises:
        RangeTooLarge: too much has changed.
    """
    old, new = dict(flatten(json.loads(before))), dict(flatten(json.loads(after)))
    found: Difference = {
        "added": {key: new[key] for key in new.keys() - old.keys()},
        "removed": {key: old[key] for key in old.keys() - new.keys()},
        "changed": {
            key: {"from": old[key], "to": new[key]} for key in old.keys() & new.keys() if _differs(old[key], new[key])
        },
    }
    if sum(map(len, found.values())) > _MOST_CHANGES:
        raise RangeTooLarge(f"more than {_MOST_CHANGES} parameters differ")
    return {name: dict(sorted(part.items())) for name, part in found.items()}


def _differs(one: Any, other: Any) -> bool:
    """Whether two values are told apart: `true` from 1, and an integer from a float."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
