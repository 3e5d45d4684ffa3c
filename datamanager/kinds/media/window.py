"""Small reads of content at places that lie near each other, with few reads of the source itself."""

from datamanager.errors import Refused
from datamanager.kinds.source import BytesSource, Source

__all__ = ["Window"]

_AHEAD_BYTES = 8 * 1024


class Window:
    """The bytes of a source, of which a piece is held."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ahead = source.size if isinstance(source, BytesSource) else _AHEAD_BYTES
        self._from, self._held = 0, b""
        self.size = source.size

    def get(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on, or as many as there are."""
        at = offset - self._from
        if at < 0 or at + size > len(self._held):
            self._held = self._source.read(offset, max(size, self._ahead))
            self._from, at = offset, 0
        return self._held[at : at + size]

    def take(self, offset: int, size: int, what: str) -> bytes:
        """`size` bytes from `offset` on.

        Args:
            offset: where they begin.
            size: how many.
            what: what they are, for who has to mend it.

        Raises:
            Refused: `bad_payload`: the content ends before.
        """
        data = self.get(offset, size)
        if len(data) < size:
            raise Refused("bad_payload", f"{what} is cut off: the content ends", offset=self.size)
        return data
