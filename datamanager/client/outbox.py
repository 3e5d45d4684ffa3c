"""What is held in memory until the server acks it, and what may be sent next. No I/O.

    add() ──▶ waiting ──take()──▶ in flight ──acked()──▶ released
                ▲                     │
                └──── disconnected() ─┘   (sent again, marked as redelivery)

Messages leave in the order in which they came, so that of one stream lower numbers always go first: an ack of `seq`
covers all before it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from datamanager.client.numbering import Numbering

__all__ = ["Entry", "Outbox"]

_WINDOW = 64
_WINDOW_BYTES = 1024 * 1024
_FRAME_BYTES = 64  # what a batch adds around its messages


@dataclass(slots=True, eq=False)
class Entry:
    """One message held.

    Attributes:
        order: its place among all messages of the producer.
        place: its place in its stream; the number on the wire follows from it (`Numbering`).
        body: its bytes, but for the number.
        samples: how many samples or records it bears.
        segment: the spool file that holds it, if any.
        maybe_sent: the server may have it already, from this connection or another.
        seq: its number, once sent.
        redelivery: whether it goes out marked as sent before.
    """

    order: int
    stream: str
    place: int
    body: bytes
    samples: int = 1
    segment: int | None = None
    maybe_sent: bool = False
    seq: int = -1
    redelivery: bool = field(default=False, init=False)
    in_flight: bool = field(default=False, init=False)
    released: bool = field(default=False, init=False)


class Outbox:
    """Holds messages until they are acked, and keeps to the server's window."""

    def __init__(self, numbering: Numbering, max_message_bytes: int) -> None:
        self.numbering = numbering
        self.window = _WINDOW
        self.window_bytes = _WINDOW_BYTES
        self.max_message_bytes = max_message_bytes
        self.held = 0
        self.held_bytes = 0
        self.in_flight = 0
        self.in_flight_bytes = 0
        self.oversize: list[Entry] = []
        self._streams: dict[str, deque[Entry]] = {}
        self._waiting: deque[Entry] = deque()
        self._acked: dict[str, int] = {}

    def add(self, entry: Entry) -> bool:
        """Takes a message to send, unless it is known to be acked; returns whether it was taken.

        Entries come in ascending `order`.
        """
        if entry.maybe_sent and self.numbering.seq(entry.stream, entry.place) <= self._acked.get(entry.stream, -1):
            return False
        self._streams.setdefault(entry.stream, deque()).append(entry)
        self._waiting.append(entry)
        self.held += 1
        self.held_bytes += len(entry.body)
        return True

    def welcomed(self, acked: Mapping[str, int]) -> tuple[list[Entry], bool]:
        """The server's welcome: drops what it has, and numbers on behind it what was never sent.

        Returns:
            What is released, and whether any numbers changed.
        """
        renumbered = False
        for stream, seq in acked.items():
            renumbered |= self.numbering.follow(stream, seq)
        return self.acked(acked), renumbered

    def acked(self, acked: Mapping[str, int]) -> list[Entry]:
        """An ack: releases all that may have been sent up to each stream's `seq`. An older ack changes nothing."""
        released: list[Entry] = []
        for stream, seq in acked.items():
            if seq <= self._acked.get(stream, -1):
                continue
            self._acked[stream] = seq
            held = self._streams.get(stream, deque())
            while held and held[0].maybe_sent and self._seq(held[0]) <= seq:
                entry = held.popleft()
                if not entry.released:
                    self._release(entry)
                    released.append(entry)
        return released

    def rejected(self, stream: str, seq: int) -> Entry | None:
        """A reject: the message will never be stored, so it is released and not sent again."""
        for entry in self._streams.get(stream, ()):
            if not entry.maybe_sent or self._seq(entry) > seq:
                break
            if self._seq(entry) == seq and not entry.released:
                self._release(entry)
                return entry
        return None

    def take(self, max_bytes: int) -> list[Entry]:
        """What goes into the next frame: as many waiting messages as the window and `max_bytes` allow.

        One message goes even where it alone is larger than either, as long as nothing else is on the way. A message
        larger than the server takes goes nowhere: it is released and stands in `oversize`.
        """
        taken: list[Entry] = []
        room = min(max_bytes, self.max_message_bytes - _FRAME_BYTES)
        while self._waiting:
            entry = self._waiting[0]
            size = len(entry.body)
            if not entry.released and size > self.max_message_bytes:
                self._send(entry)
                self._release(entry)
                self.oversize.append(entry)
            elif not entry.released:
                if not self._may_send(size) or (taken and size > room):
                    break
                room -= size
                self._send(entry)
                taken.append(entry)
            self._waiting.popleft()
        return taken

    def disconnected(self) -> None:
        """The socket is gone: all that is held waits again, in its order."""
        held = [entry for entries in self._streams.values() for entry in entries if not entry.released]
        held.sort(key=lambda entry: entry.order)
        for entry in held:
            entry.in_flight = False
        self._waiting = deque(held)
        self.in_flight = 0
        self.in_flight_bytes = 0

    def lowest_order(self) -> int | None:
        """The `order` of the oldest message held; None when nothing is."""
        return min((order for order in map(_first_order, self._streams.values()) if order is not None), default=None)

    def nothing_waits(self) -> bool:
        """Whether all that is held has been sent on this connection."""
        while self._waiting and self._waiting[0].released:
            self._waiting.popleft()
        return not self._waiting

    def _seq(self, entry: Entry) -> int:
        return self.numbering.seq(entry.stream, entry.place)

    def _may_send(self, size: int) -> bool:
        if not self.in_flight:
            return True
        return self.in_flight < self.window and self.in_flight_bytes + size <= self.window_bytes

    def _send(self, entry: Entry) -> None:
        entry.seq = self._seq(entry)
        entry.redelivery = entry.maybe_sent
        entry.maybe_sent = True
        entry.in_flight = True
        self.numbering.mark_sent(entry.stream, entry.place)
        self.in_flight += 1
        self.in_flight_bytes += len(entry.body)

    def _release(self, entry: Entry) -> None:
        entry.released = True
        self.held -= 1
        self.held_bytes -= len(entry.body)
        if entry.in_flight:
            entry.in_flight = False
            self.in_flight -= 1
            self.in_flight_bytes -= len(entry.body)
        entry.body = b""  # it may stand in its queue until the ack that passes it


def _first_order(entries: Iterable[Entry]) -> int | None:
    return next((entry.order for entry in entries if not entry.released), None)
