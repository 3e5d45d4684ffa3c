"""Non-maximum suppression: of boxes that show one object, the best one stays."""

import numpy as np
import numpy.typing as npt

__all__ = ["iou_matrix", "suppress"]

Floats = npt.NDArray[np.float64]

_MAX_CANDIDATES = 4096  # boxes that are compared with each other, the best ones


def suppress(
    boxes: Floats, scores: npt.NDArray[np.floating], class_ids: npt.NDArray[np.integer], *, iou: float, most: int
) -> npt.NDArray[np.int64]:
    """Numbers of the boxes that stay, the best first; of equal scores, the one given first.

    A box is dropped when it overlaps a better one of its class, that stays, by more than `iou`. Classes are kept apart
    by moving each to a place of its own, so that all are compared at once.

    Args:
        boxes: shape (n, 4): x1, y1, x2, y2.
        scores: shape (n,).
        class_ids: shape (n,).
        iou: intersection over union.
        most: most boxes that stay.
    """
    order = np.argsort(-scores, kind="stable")[:_MAX_CANDIDATES]
    if len(order) == 0:
        return order
    chosen = boxes[order]
    span = float(chosen.max() - chosen.min()) + 1.0
    apart = chosen + (class_ids[order].astype(np.float64) * span)[:, None]
    kept: list[int] = []
    left = np.arange(len(order))
    while len(left) and len(kept) < most:
        best, rest = left[0], left[1:]
        kept.append(int(best))
        left = rest[iou_matrix(apart[best : best + 1], apart[rest])[0] <= iou]
    return order[kept]


def iou_matrix(some: Floats, others: Floats) -> Floats:
    """Intersection over union of each with each: shape (n, m); 0 for two boxes without an area.

    Args:
        some: shape (n, 4): x1, y1, x2, y2.
        others: shape (m, 4).
    """
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared: Floats = np.clip(high - low, 0.0, None).prod(axis=2)
    total = _areas(some)[:, None] + _areas(others)[None, :] - shared
    overlaps: Floats = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return overlaps


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1)
    return areas
