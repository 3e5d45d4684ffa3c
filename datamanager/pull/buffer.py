"""What waits between the thread that reads and the one that sends: a bounded number of items, the oldest dropped."""

import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["Buffer", "Weighed"]


class Weighed(Protocol):
    """What can wait."""

    @property
    def nbytes(self) -> int:
        """How large it is in memory."""
        ...


T = TypeVar("T", bound=Weighed)


class Buffer(Generic[T]):
    """A queue between two threads.

    Attributes:
        dropped: how many found no room: the oldest, when a newer one came.

    Args:
        most: how many items wait.
        most_bytes: how large they are together; one may always wait.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.dropped = 0
        self._most = most
        self._most_bytes = most_bytes
        self._items: deque[T] = deque()
        self._nbytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def fill(self) -> float:
        """How full it is, 0 to 1."""
        return max(len(self._items) / self._most, min(1.0, self._nbytes / self._most_bytes))

    def put(self, item: T) -> None:
        """Adds one; the oldest go where there is no room."""
        with self._changed:
            while self._items and not self._has_room(item):
                self._pop()
                self.dropped += 1
            self._push(item)

    def put_when_room(self, item: T, timeout_s: float) -> bool:
        """Adds one once there is room; False when there was none in time, or it was closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or not self._items or self._has_room(item), timeout_s):
                return False
            if self._closed:
                return False
            self._push(item)
            return True

    def take(self, timeout_s: float) -> T | None:
        """The oldest; None when none came in time, or none will come any more."""
        give_up_s = time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                left_s = give_up_s - time.monotonic()
                if self._closed or left_s <= 0:
                    return None
                self._changed.wait(left_s)
            item = self._pop()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Nothing more will come; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def is_over(self) -> bool:
        """Whether nothing waits and nothing will come."""
        with self._changed:
            return self._closed and not self._items

    def _has_room(self, item: T) -> bool:
        return len(self._items) < self._most and self._nbytes + item.nbytes <= self._most_bytes

    def _push(self, item: T) -> None:
        self._items.append(item)
        self._nbytes += item.nbytes
        self._changed.notify_all()

    def _pop(self) -> T:
        item = self._items.popleft()
        self._nbytes -= item.nbytes
        return item
