"""The shape of a document: what goes into the metadata, bounded whatever the document holds."""

from collections.abc import Sequence
from typing import Any

__all__ = ["MAX_KEYS", "clipped", "shape"]

MAX_KEYS = 100
_MAX_KEY_CHARS = 120


def shape(
    type_: str, *, entries: int | None = None, keys: Sequence[str] | None = None, depth: int | None = None
) -> dict[str, Any]:
    """The shape of a document's top level.

    Args:
        type_: `object`, `array`, `string`, `number`, `boolean`, `null`, `bytes` or `ext`.
        entries: of an object or array.
        keys: of an object; the first `MAX_KEYS` are kept, each cut to 120 characters.
        depth: how deep objects and arrays nest; 0 for a value that is neither.
    """
    found: dict[str, Any] = {"type": type_}
    if entries is not None:
        found["entries"] = entries
    if keys is not None:
        found["keys"] = [clipped(key) for key in keys[:MAX_KEYS]]
    if depth is not None:
        found["depth"] = depth
    return found


def clipped(text: str, most: int = _MAX_KEY_CHARS) -> str:
    """A text as metadata can hold it: cut, and without the lone surrogates that no database takes."""
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")
