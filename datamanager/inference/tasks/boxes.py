"""Boxes out of the layouts in which Ultralytics exports detectors and segmenters."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from datamanager.errors import Refused
from datamanager.inference.answers import Box
from datamanager.inference.manifest import Layout, Manifest
from datamanager.inference.nms import suppress
from datamanager.inference.placement import Placement
from datamanager.inference.tasks.choice import Choice
from datamanager.inference.tasks.names import class_names
from datamanager.inference.tasks.task import Array, Call, floats

__all__ = ["Found", "complete_boxes", "find_boxes", "to_boxes"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """The boxes of one picture, the best first.

    Attributes:
        boxes: shape (n, 4): x1, y1, x2, y2 in pixels of the upright picture.
        scores: shape (n,).
        class_ids: shape (n,).
        extras: shape (n, extra columns): of a segmenter, the weights of the prototypes.
    """

    boxes: Floats
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    extras: npt.NDArray[np.float32]


def complete_boxes(
    manifest: Manifest, shape: tuple[int, ...], metadata: Mapping[str, str], extras: int = 0
) -> Manifest:
    """The manifest with its layout and class names.

    Args:
        manifest: as given.
        shape: of the output that holds boxes, for one picture.
        metadata: of the model file.
        extras: columns beside box, score and class.

    Raises:
        Refused: `bad_payload`: this is none of the layouts, or not the manifest's.
    """
    layout = manifest.detect.layout or _layout(manifest, shape, metadata, extras)
    if (
        len(shape) != 3
        or (layout == "yolo_nms" and shape[2] != 6 + extras)
        or (layout == "yolo" and shape[1] < 5 + extras)
    ):
        needs = f"(batch, n, {6 + extras})" if layout == "yolo_nms" else f"(batch, {4 + extras} + classes, anchors)"
        raise Refused("bad_payload", f"layout {layout} is {needs}; the model's output is {shape}")
    names = class_names(manifest, metadata, shape[1] - 4 - extras if layout == "yolo" else None)
    return msgspec.structs.replace(
        manifest, classes=names, detect=msgspec.structs.replace(manifest.detect, layout=layout)
    )


def find_boxes(output: Array, call: Call, extras: int = 0) -> list[Found]:
    """The boxes of every picture of a call, filtered, and placed in the pictures.

    Args:
        output: shape (pictures, 4 + classes + extras, anchors) or (pictures, n, 6 + extras), as the manifest's layout is.
        call: what it is about.
        extras: columns beside box, score and class.
    """
    if call.manifest.detect.layout == "yolo_nms":
        return [_from_rows(floats(rows), call.choice, at) for rows, at in zip(output, call.placements, strict=True)]
    output, last = floats(output), output.shape[1] - extras
    best = output[:, 4:last].max(axis=1)
    return [_from_anchors(output[row], best[row], last, call.choice, at) for row, at in enumerate(call.placements)]


def to_boxes(found: Found, call: Call) -> list[Box]:
    """As they stand in an answer."""
    rows = zip(found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
    return [Box((x1, y1, x2, y2), score, number, call.name(number)) for (x1, y1, x2, y2), score, number in rows]


def _layout(manifest: Manifest, shape: tuple[int, ...], metadata: Mapping[str, str], extras: int) -> Layout:
    """Told by the shape: rows of 6 are boxes after NMS; else there are more anchors than classes."""
    known = len(class_names(manifest, metadata, None))
    if len(shape) == 3 and known and shape[1] == 4 + known + extras:
        return "yolo"
    if len(shape) == 3 and shape[2] == 6 + extras:
        return "yolo_nms"
    if len(shape) == 3 and 4 + extras < shape[1] < shape[2]:
        return "yolo"
    layouts = f"(batch, {4 + extras} + classes, anchors) or (batch, n, {6 + extras})"
    raise Refused("bad_payload", f"the model's output is {shape}; boxes are taken as {layouts}")


def _from_rows(rows: npt.NDArray[np.float32], choice: Choice, at: Placement) -> Found:
    """Rows of x1, y1, x2, y2, score, class, which went through NMS in the model."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    rows = rows[rows[:, 4] >= max(choice.confidence, _LEAST)]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    class_ids = np.rint(rows[:, 5]).astype(np.int64)
    found = Found(at.to_picture(rows[:, :4].astype(np.float64)), rows[:, 4], class_ids, rows[:, 6:])
    return _cut(_wanted(found, choice), choice.max_boxes)


def _from_anchors(output: Array, best: Array, last: int, choice: Choice, at: Placement) -> Found:
    """Columns of cx, cy, w, h and a score for each class."""
    columns = output[:, np.flatnonzero(best >= max(choice.confidence, _LEAST))]
    columns = columns[:, np.isfinite(columns).all(axis=0)]
    class_ids = columns[4:last].argmax(axis=0).astype(np.int64)
    scores = np.take_along_axis(columns[4:last], class_ids[None], axis=0)[0]
    centre, half = columns[:2].T.astype(np.float64), columns[2:4].T.astype(np.float64) / 2
    inside = np.concatenate([centre - half, centre + half], axis=1)
    found = _wanted(Found(inside, scores, class_ids, columns[last:].T), choice)
    kept = suppress(found.boxes, found.scores, found.class_ids, iou=choice.iou, most=choice.max_boxes)
    found = _take(found, kept)
    return _cut(Found(at.to_picture(found.boxes), found.scores, found.class_ids, found.extras), choice.max_boxes)


_LEAST = 1e-6  # a score of 0 is what unused rows are filled with


def _wanted(found: Found, choice: Choice) -> Found:
    if choice.classes is None:
        return found
    return _take(found, np.isin(found.class_ids, list(choice.classes)))


def _cut(found: Found, most: int) -> Found:
    """Without boxes that lie wholly beside the picture; at most so many."""
    has_area = (found.boxes[:, 2] > found.boxes[:, 0]) & (found.boxes[:, 3] > found.boxes[:, 1])
    return _take(found, np.flatnonzero(has_area)[:most])


def _take(found: Found, which: Array) -> Found:
    return Found(found.boxes[which], found.scores[which], found.class_ids[which], found.extras[which])
