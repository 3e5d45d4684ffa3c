"""A tar is read as the tape it is named after: forward, by reading and skipping; plain by range, packed by unpacking."""

import time
from collections.abc import Iterator
from typing import Protocol, cast

from datamanager.errors import RefusalCode, Refused
from datamanager.kinds.archives.unpacking import RatioUnpacker
from datamanager.kinds.source import Source

__all__ = ["Budget", "OutOfTime", "PackedTape", "PlainTape", "Tape"]

_LEAST_WINDOW, _MOST_WINDOW = 4096, 1024 * 1024
_PIECE_BYTES = 64 * 1024
_REQUEST_BYTES = 1024 * 1024


class OutOfTime(Exception):
    """The time for looking is over; what was seen until then holds."""


class Budget:
    """How long one look at a tar may take."""

    def __init__(self, cpu_s: float = 0.5, wall_s: float = 1.0) -> None:
        self._cpu_end = time.process_time() + cpu_s
        self._wall_end = time.monotonic() + wall_s

    def check(self) -> None:
        """Goes on.

        Raises:
            OutOfTime: it is used up.
        """
        if time.process_time() > self._cpu_end or time.monotonic() > self._wall_end:
            raise OutOfTime


class Tape(Protocol):
    """What `Walk` reads."""

    @property
    def at(self) -> int:
        """Where the next byte is."""
        ...

    def read(self, size: int) -> bytes:
        """The next bytes; fewer where it ends."""
        ...

    def skip(self, size: int) -> int:
        """Passes over bytes; returns how many there were."""
        ...


class PlainTape:
    """A tar that is not packed: what is skipped is not read.

    Args:
        source: the content.
        start: where to begin.
        budget: how long it may take.
    """

    def __init__(self, source: Source, start: int, budget: Budget) -> None:
        self._source = source
        self._budget = budget
        self._window = _LEAST_WINDOW
        self._buffer = b""
        self._buffer_at = start
        self.at = start

    def read(self, size: int) -> bytes:
        """The next bytes; fewer where it ends."""
        offset = self.at - self._buffer_at
        if not 0 <= offset <= len(self._buffer) - size:
            self._fill(size)
            offset = 0
        data = self._buffer[offset : offset + size]
        self.at += len(data)
        return data

    def skip(self, size: int) -> int:
        """Passes over bytes; returns how many there were."""
        skipped = max(0, min(size, self._source.size - self.at))
        self.at += skipped
        return skipped

    def _fill(self, size: int) -> None:
        """Reads ahead: the more the longer no far jump was made."""
        self._budget.check()
        is_near = self.at <= self._buffer_at + len(self._buffer) + _LEAST_WINDOW
        self._window = min(_MOST_WINDOW, self._window * 4) if is_near else _LEAST_WINDOW
        self._buffer = self._source.read(self.at, max(size, self._window))
        self._buffer_at = self.at


class PackedTape:
    """A tar that is packed: what is skipped is unpacked and dropped.

    Args:
        source: the content.
        packing: how it is packed.
        max_ratio: how many times as much it may unpack to, from 16 MiB on.
        budget: how long it may take.
    """

    def __init__(self, source: Source, packing: str, max_ratio: int, budget: Budget) -> None:
        self._source = source
        self._budget = budget
        self._unpacker = RatioUnpacker(packing, max_ratio)
        self._pieces = self._unpacked()
        self._buffer = memoryview(b"")
        self._fed_at = 0
        self.at = 0

    def read(self, size: int) -> bytes:
        """The next bytes; fewer where it ends."""
        parts: list[bytes] = []
        while size and self._has_more():
            parts.append(bytes(self._buffer[:size]))
            size -= len(parts[-1])
            self._advance(len(parts[-1]))
        return b"".join(parts)

    def skip(self, size: int) -> int:
        """Passes over bytes; returns how many there were."""
        before = self.at
        while size and self._has_more():
            step = min(size, len(self._buffer))
            size -= step
            self._advance(step)
        return self.at - before

    def drain(self) -> None:
        """Unpacks what is left, for the checksum at its end."""
        while self._has_more():
            self._advance(len(self._buffer))

    def _advance(self, size: int) -> None:
        self._buffer = self._buffer[size:]
        self.at += size

    def _has_more(self) -> bool:
        while not self._buffer:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._buffer = memoryview(piece)
        return True

    def _unpacked(self) -> Iterator[bytes]:
        try:
            for packed in self._packed():
                for piece in self._unpacker.feed(packed):
                    self._budget.check()
                    yield piece
            self._unpacker.finish()
        except Refused as exc:
            raise Refused(cast(RefusalCode, exc.code), exc.detail, offset=self._fed_at) from exc

    def _packed(self) -> Iterator[bytes]:
        """The content in pieces, of which several are asked for at a time, but for the first: of no tar no more is read."""
        size = _PIECE_BYTES
        while data := self._source.read(self._fed_at, size):
            for at in range(0, len(data), _PIECE_BYTES):
                yield data[at : at + _PIECE_BYTES]
                self._fed_at += len(data[at : at + _PIECE_BYTES])
            size = _REQUEST_BYTES
