"""A set of integers kept as ranges: what a ledger is made of."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["RangeSet"]


class RangeSet:
    """Integers as sorted, disjoint, non-touching closed ranges `[first, last]`.

    Adding at the end, which is what a robot's counting does, takes constant time.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Adds every integer of `[first, last]`."""
        firsts, lasts = self._firsts, self._lasts
        if firsts and firsts[-1] <= first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
            return
        low = bisect_left(lasts, first - 1)  # the first range that touches or follows
        high = bisect_right(firsts, last + 1)  # the first range wholly beyond
        if low < high:
            first = min(first, firsts[low])
            last = max(last, lasts[high - 1])
        firsts[low:high] = [first]
        lasts[low:high] = [last]

    def remove(self, first: int, last: int) -> None:
        """Removes every integer of `[first, last]`."""
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        if low >= high:
            return
        left = (self._firsts[low], first - 1)
        right = (last + 1, self._lasts[high - 1])
        kept = [pair for pair in (left, right) if pair[0] <= pair[1]]
        self._firsts[low:high] = [pair[0] for pair in kept]
        self._lasts[low:high] = [pair[1] for pair in kept]

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._firsts, value) - 1
        return at >= 0 and value <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def __len__(self) -> int:
        """How many ranges there are, not how many integers."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]  # it changes

    def floor(self, value: int) -> int | None:
        """The largest member that is at most `value`; None when there is none."""
        at = bisect_right(self._firsts, value) - 1
        return None if at < 0 else min(value, self._lasts[at])

    def common(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of `[first, last]` that are members."""
        low = bisect_left(self._lasts, first)
        high = bisect_right(self._firsts, last)
        pairs = zip(self._firsts[low:high], self._lasts[low:high], strict=True)
        return [(max(first, a), min(last, b)) for a, b in pairs]

    def close_gaps(self, most: int, below: int | None = None) -> None:
        """Makes the lowest gaps members until at most `most` ranges are left; none that `below` ends or lies after."""
        surplus = len(self._firsts) - most
        if below is not None:
            surplus = min(surplus, bisect_left(self._lasts, below) - 1)
        if surplus > 0:
            del self._firsts[1 : surplus + 1]
            del self._lasts[:surplus]

    @property
    def highest(self) -> int | None:
        """The largest member; None when empty."""
        return self._lasts[-1] if self._lasts else None
