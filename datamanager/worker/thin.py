"""Thinning a cloud evenly: at most one point a cell of space."""

import numpy as np
import numpy.typing as npt

from datamanager.worker.cloud import Cloud

__all__ = ["thin_cloud"]

_SAMPLES_A_POINT = 8  # more than this many points for each one kept are thinned at random first
_TRIES = 6
_SLOTS_BITS = 21
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: spreads neighbouring cells over the slots
_CELLS = 2**20 - 1  # cells along an axis


def thin_cloud(cloud: Cloud, most: int) -> Cloud:
    """At most `most` points, spread evenly in space; the same for the same cloud.

    Cells grow or shrink until about `most` of them have a point. Each keeps the first of its points, so that edges and
    colours stay as sharp as they were.
    """
    count = len(cloud.xyz)
    if count <= most:
        return cloud
    if count > most * _SAMPLES_A_POINT:
        chosen = np.random.default_rng(count).integers(0, count, most * _SAMPLES_A_POINT)
        cloud = cloud.pick(np.sort(chosen))
    low, high = np.percentile(cloud.xyz[::16], (1, 99), axis=0)
    span = np.maximum(high - low, 1e-9 * max(1.0, float(np.abs(high).max())))
    edge = float(np.sqrt((span[0] * span[1] + span[1] * span[2] + span[2] * span[0]) / most))
    best = np.arange(0)
    for _ in range(_TRIES):
        kept = _first_of_cells(cloud.xyz - low, edge)
        if len(best) < len(kept) <= most:
            best = kept
        if 0.8 * most <= len(best):
            break
        edge *= float(np.sqrt(len(kept) / (0.9 * most)))  # most clouds are surfaces
    if len(best) == 0:
        best = kept[:: -(-len(kept) // most)]
    return cloud.pick(best)


def _first_of_cells(xyz: npt.NDArray[np.float64], edge: float) -> npt.NDArray[np.int64]:
    """Indices, ascending, of the first point of each cell of size `edge`.

    Cells share a table of slots by hash: where two meet, one of them stays empty, which an even thinning can bear and
    sorting 400,000 keys can't.
    """
    cells = np.clip(np.floor(xyz / edge) + _CELLS // 2, 0, _CELLS).astype(np.uint64)
    keys = cells[:, 0] << np.uint64(40) | cells[:, 1] << np.uint64(20) | cells[:, 2]
    slots = (keys * _MIX) >> np.uint64(64 - _SLOTS_BITS)
    first = np.full(1 << _SLOTS_BITS, -1, np.int32)
    first[slots[::-1]] = np.arange(len(slots) - 1, -1, -1, dtype=np.int32)  # of equal slots the last write stays
    return np.sort(first[first >= 0])
