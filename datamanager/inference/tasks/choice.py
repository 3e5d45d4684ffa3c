"""Which boxes and classes are wanted: the manifest's, unless an enrichment says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamanager.errors import Refused
from datamanager.inference.manifest import Manifest

__all__ = ["Choice", "choose"]

_MOST_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class Choice:
    """What an answer is filtered by.

    Attributes:
        confidence: least score of a box.
        iou: boxes of one class that overlap by more than this are one.
        max_boxes: most boxes of one picture.
        classes: numbers of the classes that are wanted; None: all.
    """

    confidence: float
    iou: float
    max_boxes: int
    classes: frozenset[int] | None = None


def choose(manifest: Manifest, options: Mapping[str, Any]) -> Choice:
    """The manifest's choice, with what `options` say instead: `confidence`, `iou`, `max_boxes`, `classes`.

    `classes` are names or numbers. Other options are somebody else's.

    Raises:
        Refused: `wrong_type` or `bad_payload`; the detail names the option.
    """
    of = manifest.detect
    return Choice(
        confidence=_fraction("confidence", options.get("confidence", of.confidence)),
        iou=_fraction("iou", options.get("iou", of.iou)),
        max_boxes=_count("max_boxes", options.get("max_boxes", of.max_boxes)),
        classes=_classes(manifest, options.get("classes")),
    )


def _fraction(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("wrong_type", f"{name} is a number from 0 to 1, not {type(value).__name__}")
    if not 0 <= value <= 1:
        raise Refused("bad_payload", f"{name} is from 0 to 1, not {value}")
    return float(value)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused("wrong_type", f"{name} is a whole number, not {type(value).__name__}")
    if not 1 <= value <= _MOST_BOXES:
        raise Refused("bad_payload", f"{name} is from 1 to {_MOST_BOXES}, not {value}")
    return value


def _classes(manifest: Manifest, value: object) -> frozenset[int] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise Refused("wrong_type", f"classes is a list of names or numbers, not {type(value).__name__}")
    return frozenset(_class_id(manifest, entry) for entry in value)


def _class_id(manifest: Manifest, entry: object) -> int:
    if isinstance(entry, int) and not isinstance(entry, bool) and entry >= 0:
        return entry
    if isinstance(entry, str) and entry in manifest.classes:
        return manifest.classes.index(entry)
    if isinstance(entry, str) and entry.isdecimal():
        return int(entry)
    raise Refused("bad_payload", f"{manifest.name} has no class {entry!r}"[:200])
