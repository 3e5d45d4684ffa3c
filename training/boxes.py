"""What is asked of detections: decoding, suppression, and how many of them are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Scores", "decoded", "letterboxed", "overlaps", "scored"]

Floats = npt.NDArray[np.float32]
_GREY = 114
_MOST = 400  # boxes of one picture, the best ones


@dataclass(frozen=True, slots=True)
class Scores:
    """How good detections are.

    Attributes:
        map50: mean over classes of the average precision, boxes being right from an IoU of 0.5 on.
        map50_95: the mean of that for IoU 0.5, 0.55 to 0.95.
        precision, recall: over all classes, at the confidence that was asked for, IoU 0.5.
        by_class: average precision at IoU 0.5, by class number.
    """

    map50: float
    map50_95: float
    precision: float
    recall: float
    by_class: dict[int, float]


def letterboxed(pixels: npt.NDArray[np.uint8], size: int) -> tuple[Floats, float, float, float]:
    """A picture no larger than `size`, as it is, in the middle of a grey square.

    Returns:
        (3, size, size), 0 to 1; and scale, x and y offsets of its pixels there.
    """
    height, width = pixels.shape[:2]
    square = np.full((size, size, 3), _GREY, np.uint8)
    x, y = (size - width) // 2, (size - height) // 2
    square[y : y + height, x : x + width] = pixels
    return np.asarray(square.transpose(2, 0, 1), np.float32) / np.float32(255), 1.0, float(x), float(y)


def overlaps(a: Floats, b: Floats) -> Floats:
    """IoU of boxes x1 y1 x2 y2: shapes (n, 4) and (m, 4) give (n, m)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9), np.float32)


def decoded(output: Floats, confidence: float, iou: float = 0.45) -> Floats:
    """Of one picture's (4 + classes, boxes): rows of class, score, x1, y1, x2, y2, the best first, suppressed by class."""
    classes = output[4:].argmax(axis=0)
    scores = output[4:].max(axis=0)
    keep = np.flatnonzero(scores >= confidence)
    keep = keep[np.argsort(-scores[keep], kind="stable")][:_MOST]
    middle, half = output[:2, keep].T, output[2:4, keep].T / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    again = (overlaps(boxes, boxes) > iou) & (classes[keep][:, None] == classes[keep][None])
    alive = np.ones(len(keep), np.bool_)
    for at in range(len(keep)):
        if alive[at]:
            alive[at + 1 :] &= ~again[at, at + 1 :]
    rows = np.concatenate([classes[keep][:, None], scores[keep][:, None], boxes], axis=1)
    return np.asarray(rows[alive], np.float32)


def scored(found: Sequence[Floats], true: Sequence[Floats], confidence: float) -> Scores:
    """Compares detections with what is there.

    Args:
        found: per picture, as from `decoded`, with as low a confidence as can be.
        true: per picture, rows of class, x1, y1, x2, y2.
        confidence: for precision and recall.
    """
    classes = sorted({int(row[0]) for rows in true for row in rows})
    steps = np.arange(0.5, 1.0, 0.05)
    table = np.array([[_average_precision(found, true, c, float(step)) for step in steps] for c in classes])
    right = wrong = 0
    for c in classes:
        sure = [rows[rows[:, 1] >= confidence] for rows in found]
        hits, _ = _hits(sure, true, c, 0.5)
        right += int(hits.sum())
        wrong += int((~hits).sum())
    total = sum(len(rows) for rows in true)
    return Scores(
        map50=float(table[:, 0].mean()),
        map50_95=float(table.mean()),
        precision=right / max(right + wrong, 1),
        recall=right / max(total, 1),
        by_class={c: float(row[0]) for c, row in zip(classes, table, strict=True)},
    )


def _hits(
    found: Sequence[Floats], true: Sequence[Floats], class_id: int, least: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Whether each detection of a class is right, and its score; each object is found once, by the best."""
    hits: list[bool] = []
    scores: list[float] = []
    for rows, objects in zip(found, true, strict=True):
        mine, wanted = rows[rows[:, 0] == class_id], objects[objects[:, 0] == class_id]
        shared = overlaps(mine[:, 2:], wanted[:, 1:])
        for at, row in enumerate(mine):
            best = int(shared[at].argmax()) if len(wanted) else -1
            hit = best >= 0 and shared[at, best] >= least
            if hit:
                shared[:, best] = 0
            hits.append(bool(hit))
            scores.append(float(row[1]))
    return np.array(hits, np.bool_), np.array(scores, np.float32)


def _average_precision(found: Sequence[Floats], true: Sequence[Floats], class_id: int, least: float) -> float:
    """The area below precision over recall, precision made monotonic (as in PASCAL VOC from 2010 on)."""
    hits, scores = _hits(found, true, class_id, least)
    total = sum(int((rows[:, 0] == class_id).sum()) for rows in true)
    hits = hits[np.argsort(-scores, kind="stable")]
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((precision * hits).sum() / max(total, 1))
