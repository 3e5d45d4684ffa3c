"""Pictures that were decoded, kept for the frame that comes after them."""

from collections import OrderedDict

from datamanager.inference.preprocess import Small

__all__ = ["KeptPictures"]


class KeptPictures:
    """The newest pictures by frame_id, the one not asked for longest dropped first.

    Args:
        max_bytes: of their pixels together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pictures: OrderedDict[str, Small] = OrderedDict()

    def get(self, frame_id: str) -> Small | None:
        """The picture, if it is still here."""
        small = self._pictures.get(frame_id)
        if small is not None:
            self._pictures.move_to_end(frame_id)
        return small

    def put(self, frame_id: str, small: Small) -> None:
        """Keeps a picture, in place of any under that id; one that is larger than the limit is not kept."""
        self.drop(frame_id)
        if small.pixels.nbytes > self._max_bytes:
            return
        self._pictures[frame_id] = small
        self._bytes += small.pixels.nbytes
        while self._bytes > self._max_bytes:
            self.drop(next(iter(self._pictures)))

    def drop(self, frame_id: str) -> None:
        """Forgets a picture."""
        small = self._pictures.pop(frame_id, None)
        self._bytes -= 0 if small is None else small.pixels.nbytes
