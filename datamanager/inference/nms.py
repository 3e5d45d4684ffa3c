"""Non-maximum suppression: of boxes that show one object, the best one stays."""

import numpy as np
import numpy.typing as npt

__all__ = ["iou_matrix", "suppress"]

Floats = npt.NDArray[np.float64]

_NO_AREA = 1e-300
_BLOCK = 32  # rows of boxes whose overlaps are worked out together
_BEST = 256  # boxes
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
    while len(left) and len(kept) < most:  # a block's best ones among themselves, then all others against them
        block, left = left[:_BEST], left[_BEST:]
        stays = block[_stay(iou_matrix(apart[block], apart[block]) > iou)]
        kept += stays.tolist()
        if len(left) and len(kept) < most:
            left = left[~(iou_matrix(apart[stays], apart[left]) > iou).any(axis=0)]
    return order[kept[:most]]


def _stay(overlaps: npt.NDArray[np.bool_]) -> list[int]:
    """Who stays of some, the best first, by which overlap: shape (n, n)."""
    gone = np.zeros(len(overlaps), np.bool_)
    stays = []
    for row in range(len(overlaps)):
        if not gone[row]:
            stays.append(row)
            gone |= overlaps[row]
    return stays


def iou_matrix(some: Floats, others: Floats) -> Floats:
    """Intersection over union of each with each: shape (n, m); 0 for two boxes without an area.

    Args:
        some: shape (n, 4): x1, y1, x2, y2.
        others: shape (m, 4).
    """
    overlaps = np.empty((len(some), len(others)))
    b, areas = np.ascontiguousarray(others.T)[:, None, :], _areas(others)[None, :]
    room, down = np.empty((2, _BLOCK, len(others)))
    # In blocks that stay in the processor's cache, and in place: new arrays for every step take three times as long.
    for start in range(0, len(some), _BLOCK):
        rows = some[start : start + _BLOCK]
        a, out, room, down = rows.T[:, :, None], overlaps[start : start + _BLOCK], room[: len(rows)], down[: len(rows)]
        _overlap(a[0], a[2], b[0], b[2], out, room)
        _overlap(a[1], a[3], b[1], b[3], down, room)
        out *= down
        np.add(_areas(rows)[:, None], areas, out=room)
        room -= out
        np.maximum(room, _NO_AREA, out=room)
        out /= room
    return overlaps


def _overlap(low: Floats, high: Floats, other_low: Floats, other_high: Floats, out: Floats, room: Floats) -> None:
    """Length of what two stretches share."""
    np.minimum(high, other_high, out=out)
    np.maximum(low, other_low, out=room)
    out -= room
    np.maximum(out, 0.0, out=out)


def _areas(boxes: Floats) -> Floats:
    areas: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1)
    return areas
