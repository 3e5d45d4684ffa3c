"""Class names: the manifest's, else those that the exporter wrote into the model."""

import ast
from collections.abc import Mapping

from datamanager.errors import Refused
from datamanager.inference.manifest import Manifest

__all__ = ["class_names"]

_LONGEST = 1 << 20


def class_names(manifest: Manifest, metadata: Mapping[str, str], count: int | None) -> list[str]:
    """Names by class number; of a class without a name, the number.

    Ultralytics' exporter writes `names` as the text of a Python dict: `{0: 'person', 1: 'bicycle'}`.

    Args:
        manifest: its names go first.
        metadata: of the model file.
        count: how many classes the outputs have; None where that cannot be seen.

    Raises:
        Refused: `bad_payload`: the manifest names another number of classes than the outputs have.
    """
    if manifest.classes:
        if count is not None and len(manifest.classes) != count:
            detail = f"the manifest names {len(manifest.classes)} classes; the model's output has {count}"
            raise Refused("bad_payload", detail)
        return manifest.classes
    found = _exported(metadata.get("names", ""))
    size = count if count is not None else max(found, default=-1) + 1
    return [found.get(number, str(number)) for number in range(size)]


def _exported(text: str) -> dict[int, str]:
    """Names as they stand in the metadata; none where that is nothing of the kind: they are an extra."""
    if len(text) > _LONGEST:
        return {}
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {key: str(name) for key, name in pairs if isinstance(key, int) and 0 <= key < _MOST}


_MOST = 100_000  # classes: a list is made as long as the largest number
