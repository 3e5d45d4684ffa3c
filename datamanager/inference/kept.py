"""Pictures that were decoded, kept for the frame that comes after them."""

from collections import OrderedDict

import numpy as np

from datamanager.inference.placement import Placement
from datamanager.inference.preprocess import Small

__all__ = ["KeptPictures"]


class KeptPictures:
    """The newest pictures by frame_id, the one not asked for longest dropped first.

    Their memory is had once and for all. Each in a piece of the heap of its own, they would lie between what calls take
    and give back, and what is free between them would be too small for the next call: a process of 180 MB grew so by
    0.85 MB with each frame, once in four times that it was started.

    Args:
        shape: of each picture: height, width, channels.
        count: how many are kept.
    """

    def __init__(self, shape: tuple[int, int, int], count: int) -> None:
        self._pixels = np.empty((count, *shape), np.uint8)
        self._free = list(range(count))
        self._kept: OrderedDict[str, tuple[int, Placement]] = OrderedDict()

    def get(self, frame_id: str) -> Small | None:
        """A copy of the picture, if it is still here: its place may be another one's before the call is over."""
        found = self._kept.get(frame_id)
        if found is None:
            return None
        self._kept.move_to_end(frame_id)
        at, placement = found
        return Small(self._pixels[at].copy(), placement)

    def put(self, frame_id: str, small: Small) -> None:
        """Keeps a picture, in place of any under that id."""
        if not len(self._pixels):
            return
        if (before := self._kept.pop(frame_id, None)) is not None:
            at = before[0]
        elif self._free:
            at = self._free.pop()
        else:
            at = self._kept.popitem(last=False)[1][0]
        self._pixels[at] = small.pixels
        self._kept[frame_id] = at, small.placement
