"""Bytes of archives unpacked as they are sent: beside the event loop, a little at a time, and never more than they say."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from datamanager.errors import Refused, Unavailable

__all__ = ["HeavyWork", "UnpacksPieces", "cut_out", "spread", "unpacked"]

_BATCH_BYTES = 1024 * 1024
_WAIT_S = 10.0


class UnpacksPieces(Protocol):
    """What unpacks: `MemberUnpacker`, `RatioUnpacker`."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What further bytes unpack to."""
        ...

    def finish(self) -> None:
        """Says that no more comes."""
        ...


class HeavyWork:
    """Bounds how much is unpacked at the same time by what takes much memory.

    Args:
        most: how many at the same time.
    """

    def __init__(self, most: int) -> None:
        self._room = asyncio.Semaphore(most)

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[None]:
        """Takes part, as long as it lasts.

        Raises:
            Unavailable: there is no room, and there was none for a while.
        """
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._room.acquire()
        except TimeoutError as exc:
            raise Unavailable("too much is being unpacked at the moment") from exc
        try:
            yield
        finally:
            self._room.release()


async def unpacked(pieces: AsyncIterator[bytes], unpacker: UnpacksPieces) -> AsyncGenerator[bytes, None]:
    """What pieces unpack to. The last of it comes only when all of it has been checked.

    Raises:
        Refused: they cannot be unpacked, or not to what they should.
    """
    held = b""
    async for piece in pieces:
        out = unpacker.feed(piece)
        while batch := await asyncio.to_thread(_batch, out):
            if held:
                yield held
            held = batch
    unpacker.finish()
    if held:
        yield held


async def cut_out(pieces: AsyncIterator[bytes], start: int, size: int) -> AsyncGenerator[bytes, None]:
    """`size` bytes from `start` on of what pieces are in all; no more pieces are taken than it needs.

    Raises:
        Refused: `bad_payload`: there are not so many.
    """
    at = sent = 0
    async for piece in pieces:
        part = piece[max(0, start - at) : max(0, start + size - at)]
        at += len(piece)
        if part:
            yield part
            sent += len(part)
        if sent == size:
            return
    if sent < size:
        raise Refused("bad_payload", f"it is cut off: {size - sent} bytes are missing")


async def spread(
    pieces: AsyncIterator[bytes], runs: Sequence[tuple[int, int]], size: int, zeros: bytes = bytes(_BATCH_BYTES)
) -> AsyncGenerator[bytes, None]:
    """A sparse file: what pieces are in all, laid out by (offset, length), and zeros between.

    Args:
        pieces: the bytes that there are.
        runs: where they go, in order; as many as there are.
        size: bytes of the file.
        zeros: a piece of them.
    """
    at = 0
    left = b""
    for offset, length in [*runs, (size, 0)]:
        while at < offset:
            yield zeros[: offset - at]
            at += len(zeros[: offset - at])
        end = offset + length
        while at < end:
            left = left or await anext(pieces, b"")
            if not left:
                raise Refused("bad_payload", "a sparse member has fewer bytes than its map says")
            part, left = left[: end - at], left[end - at :]
            yield part
            at += len(part)


def _batch(out: Iterator[bytes]) -> bytes:
    """Some of what is unpacked: enough to be worth a thread, and no more than can be held."""
    parts: list[bytes] = []
    size = 0
    for part in out:
        parts.append(part)
        size += len(part)
        if size >= _BATCH_BYTES:
            break
    return b"".join(parts)
