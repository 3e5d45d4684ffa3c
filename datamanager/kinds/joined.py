"""Several contents as one, without joining their bytes in memory."""

from collections.abc import Sequence

from datamanager.kinds.source import Source

__all__ = ["JoinedSource"]


class JoinedSource:
    """Sources one after the other, read as one."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self._parts = parts

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(part.size for part in self._parts)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on."""
        found = []
        for part in self._parts:
            if size <= 0:
                break
            if offset < part.size:
                found.append(part.read(offset, min(size, part.size - offset)))
                size -= len(found[-1])
            offset = max(0, offset - part.size)
        return b"".join(found)
