"""A cache of what was read, bounded by how much it holds."""

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["BoundedCache"]

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """What was used last stays.

    Args:
        max_weight: of all that is in it.
    """

    def __init__(self, max_weight: int) -> None:
        self._max_weight = max_weight
        self._weight = 0
        self._held: OrderedDict[str, tuple[T, int]] = OrderedDict()

    def get(self, key: str) -> T | None:
        """What was put there; None when it is not there any more."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def put(self, key: str, value: T, weight: int) -> None:
        """Keeps a value, unless it alone is too heavy."""
        if weight > self._max_weight:
            return
        _, before = self._held.pop(key, (None, 0))
        self._held[key] = (value, weight)
        self._weight += weight - before
        while self._weight > self._max_weight:
            _, (_, gone) = self._held.popitem(last=False)
            self._weight -= gone
