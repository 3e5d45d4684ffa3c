"""Task `detect`: boxes with a class and a score."""

from collections import Counter
from collections.abc import Mapping, Sequence

from datamanager.errors import Refused
from datamanager.inference.answers import Box, FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.inference.tasks.boxes import complete_boxes, find_boxes, to_boxes
from datamanager.inference.tasks.task import Call, FrameTask, Outputs, Shapes

__all__ = ["TASK", "count"]


def count(boxes: Sequence[Box]) -> dict[str, float]:
    """`count`, and `counts.<class>` of each class that is there."""
    by_class = Counter(box.name for box in boxes)
    return {"count": float(len(boxes)), **{f"counts.{name}": float(n) for name, n in by_class.items()}}


def _complete(manifest: Manifest, shapes: Shapes, metadata: Mapping[str, str]) -> Manifest:
    if not shapes:
        raise Refused("bad_payload", "the model has no outputs")
    return complete_boxes(manifest, next(iter(shapes.values())), metadata)


def _read(outputs: Outputs, call: Call) -> list[FrameAnswer]:
    answers = []
    for row, found in enumerate(find_boxes(next(iter(outputs.values())), call)):
        boxes = to_boxes(found, call)
        answers.append(call.answer(row, boxes=boxes, values=count(boxes)))
    return answers


TASK = FrameTask(_complete, _read)
