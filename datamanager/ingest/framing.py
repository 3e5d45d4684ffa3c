"""Cuts a body that arrives in pieces of any size into messages. No I/O, memory bounded by the largest message."""

from collections.abc import Iterator
from typing import Protocol

import msgpack

from datamanager.errors import Refused

__all__ = ["Framer", "MsgpackFramer", "NdjsonFramer"]


class Framer(Protocol):
    """Feeds on pieces, gives whole messages."""

    text: bool

    def feed(self, piece: bytes) -> Iterator[bytes | Refused]:
        """The messages that the piece completes; a `Refused` in place of one that is too large."""
        ...

    def end(self) -> Iterator[bytes | Refused]:
        """What stands at the end of the body without its end."""
        ...

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        ...


class NdjsonFramer:
    """JSON texts parted by newlines; empty lines do not count."""

    text = True

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, piece: bytes) -> Iterator[bytes | Refused]:
        """The lines that the piece completes."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            whole = bytes(self._buffer) + line if self._buffer else line
            self._buffer.clear()
            if self._skipping:
                self._skipping = False
            elif len(whole) > self._max:
                yield self._too_large()
            elif whole.strip():
                yield whole
        if not self._skipping:
            self._buffer += rest
            if len(self._buffer) > self._max:
                self._buffer.clear()
                self._skipping = True
                yield self._too_large()

    def end(self) -> Iterator[bytes | Refused]:
        """The last line, which may lack its newline."""
        if self._buffer.strip():
            yield bytes(self._buffer)
        self._buffer.clear()

    @property
    def partial(self) -> bool:
        """Whether a line has begun."""
        return bool(self._buffer) or self._skipping

    def _too_large(self) -> Refused:
        return Refused("too_large", f"a line has more than the {self._max} bytes that a message may have")


class MsgpackFramer:
    """MessagePack values, one after the other.

    The values are only measured here: an `Unpacker` that met a bad string is dead, one that skips is not. It goes on
    where it stopped, so that a value that comes in many pieces is still walked once.
    """

    text = False

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._buffer = bytearray()
        self._begin = 0  # where the buffer stands in the body
        self._unpacker = msgpack.Unpacker(max_buffer_size=2**31 - 1)

    def feed(self, piece: bytes) -> Iterator[bytes | Refused]:
        """The values that the piece completes.

        Raises:
            Refused: `malformed` or `too_large`; where the next value begins cannot be known, so the body ends here.
        """
        self._buffer += piece
        self._unpacker.feed(piece)
        done = 0
        try:
            while True:
                self._unpacker.skip()
                end = self._unpacker.tell() - self._begin
                yield bytes(self._buffer[done:end])
                done = end
        except msgpack.OutOfData:
            self._begin += done
            del self._buffer[:done]
        except (msgpack.FormatError, msgpack.StackError, ValueError) as exc:
            offset = self._begin + done
            self._buffer.clear()
            raise Refused(
                "malformed", f"no MessagePack, and so no way to find the next message: {exc}", offset=offset
            ) from exc
        if len(self._buffer) > self._max:
            self._buffer.clear()
            raise Refused("too_large", f"a message has more than the {self._max} bytes that are allowed")

    def end(self) -> Iterator[bytes | Refused]:
        """A value that was cut off."""
        if self._buffer:
            yield Refused("malformed", f"the body ends within a message, {len(self._buffer)} bytes into it")
            self._buffer.clear()

    @property
    def partial(self) -> bool:
        """Whether a value has begun."""
        return bool(self._buffer)
