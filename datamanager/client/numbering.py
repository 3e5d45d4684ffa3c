"""From a message's place in its stream to its `seq` on the wire.

Messages are counted per stream from 0 as they are taken, which may be days before a server says what it already has of
this producer. A message that no server can have seen may still be given another number; one that may have been sent
never is. So `seq = place + shift`, and a shift holds from one place on.
"""

from typing import Any

__all__ = ["Numbering"]


class Numbering:
    """The numbers of one producer.

    `next_place[stream]` is the place of the next message; places below `unsent[stream]` may have been sent.
    """

    def __init__(self) -> None:
        self.next_place: dict[str, int] = {}
        self.unsent: dict[str, int] = {}
        self._shifts: dict[str, list[tuple[int, int]]] = {}

    def take(self, stream: str) -> int:
        """The place of a stream's next message."""
        place = self.next_place.get(stream, 0)
        self.next_place[stream] = place + 1
        return place

    def seq(self, stream: str, place: int) -> int:
        """The number that the message at a place has on the wire."""
        for from_place, shift in reversed(self._shifts.get(stream, ())):
            if place >= from_place:
                return place + shift
        return place

    def mark_sent(self, stream: str, place: int) -> None:
        """From now on the message at this place keeps its number."""
        if place >= self.unsent.get(stream, 0):
            self.unsent[stream] = place + 1

    def mark_all_sent(self) -> None:
        """All that was taken so far keeps its number: another life of this producer may have sent it."""
        self.unsent = dict(self.next_place)

    def follow(self, stream: str, acked_seq: int) -> bool:
        """Numbers what was never sent on from `acked_seq`, where it lies ahead; returns whether anything changed."""
        place = self.unsent.get(stream, 0)
        if self.seq(stream, place) > acked_seq:
            return False
        shifts = self._shifts.setdefault(stream, [])
        while shifts and shifts[-1][0] >= place:
            shifts.pop()
        shifts.append((place, acked_seq + 1 - place))
        return True

    def leap(self, gap: int) -> None:
        """Leaves `gap` numbers out in every stream, so that numbers given to messages now lost are not given again."""
        for stream, place in self.next_place.items():
            self.next_place[stream] = place + gap

    def dump(self) -> dict[str, Any]:
        """The shifts, for a file; places are known from the messages themselves."""
        return {stream: [list(shift) for shift in shifts] for stream, shifts in self._shifts.items()}

    def load(self, shifts: dict[str, Any]) -> None:
        """What `dump` gave."""
        self._shifts = {stream: [(int(at), int(by)) for at, by in pairs] for stream, pairs in shifts.items()}
