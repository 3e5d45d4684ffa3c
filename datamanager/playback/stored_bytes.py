"""A record's bytes by range, without a child process: for what is passed on and not parsed."""

import asyncio
from collections.abc import AsyncGenerator

from datamanager.errors import NotFound, S3Unavailable
from datamanager.storage.mongo import Document
from datamanager.storage.s3 import S3

__all__ = ["StoredBytes"]

_PIECE_BYTES = 4 * 1024 * 1024  # a request each: none lasts so long that a slow reader runs it into a timeout


class StoredBytes:
    """The bytes of one record.

    Raises:
        NotFound: they are not here any more.
    """

    def __init__(self, document: Document, s3: S3) -> None:
        inline = document.get("inline")
        self._inline = None if inline is None else bytes(inline)
        self._key: str = document.get("keys", {}).get("original") or ""
        self._s3 = s3
        self.size = int(document["size_bytes"])
        if self._inline is None and not self._key:
            raise NotFound(f"the bytes of record {document['_id']!r} are not here any more")

    async def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on: `size` of them, or fewer where the content ends.

        Raises:
            NotFound: they are not here any more.
            S3Unavailable: S3 does not answer, or gives fewer than there are.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        if self._inline is not None:
            return self._inline[offset : offset + size]
        data = await self._s3.read(self._key, offset, size)
        if len(data) != size:
            raise S3Unavailable(f"S3 gave {len(data)} bytes of {self._key} where {size} were asked for")
        return data

    async def pieces(self, offset: int, size: int, piece_bytes: int = _PIECE_BYTES) -> AsyncGenerator[bytes, None]:
        """`size` bytes from `offset` on, in pieces, of which the next is fetched while one is used."""
        end = offset + size
        following = self._fetch(offset, end, piece_bytes)
        try:
            while following is not None:
                piece = await following
                offset += len(piece)
                following = self._fetch(offset, end, piece_bytes)
                yield piece
        finally:
            if following is not None:
                following.cancel()

    def _fetch(self, offset: int, end: int, piece_bytes: int) -> asyncio.Task[bytes] | None:
        if offset >= min(end, self.size):
            return None
        task = asyncio.create_task(self.read(offset, min(piece_bytes, end - offset)))
        task.add_done_callback(_looked_at)
        return task


def _looked_at(task: asyncio.Task[bytes]) -> None:
    """A reader who left does not hear that the piece after his last one failed, and nobody else has to."""
    if not task.cancelled():
        task.exception()
