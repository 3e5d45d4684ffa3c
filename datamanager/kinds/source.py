"""Where content is read from: bytes in memory, a file, or an object behind a URL, by range; never more than is asked for."""

import http.client
import io
import os
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Protocol, Self
from urllib.parse import urlsplit

from datamanager.errors import S3Unavailable

__all__ = ["BytesSource", "FileSource", "Source", "SourceReader", "UrlSource", "open_source", "pieces"]

_PIECE_BYTES = 1 << 20
_TIMEOUT_S = 10.0


class Source(Protocol):
    """Content of a known size, read by range."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on: `size` of them, or fewer where the content ends."""
        ...


class BytesSource:
    """Content in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on."""
        return self.data[offset : offset + size]


class FileSource:
    """A file on this machine."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on."""
        return os.pread(self._file.fileno(), size, offset)


class UrlSource:
    """An object behind an HTTP address that answers range requests (RFC 9110, 14.2): S3, by a pre-signed GET.

    Args:
        url: the address; its signature has to outlast the reading.
        size: bytes in all.
    """

    def __init__(self, url: str, size: int) -> None:
        self._parts = urlsplit(url)
        self._size = size
        self._connection: http.client.HTTPConnection | None = None

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from `offset` on.

        Raises:
            S3Unavailable: the server does not answer, or not with the range.
        """
        size = min(size, self._size - offset)
        if size <= 0:
            return b""
        try:
            return self._get(offset, size)
        except (OSError, http.client.HTTPException):  # an idle connection may have been closed: once more, on a new one
            self._drop()
        try:
            return self._get(offset, size)
        except (OSError, http.client.HTTPException) as exc:
            self._drop()
            raise S3Unavailable(f"{self._parts.netloc} does not answer: {exc!r}") from exc

    def _get(self, offset: int, size: int) -> bytes:
        connection = self._connection or self._connect()
        target = f"{self._parts.path}?{self._parts.query}" if self._parts.query else self._parts.path
        connection.request("GET", target, headers={"Range": f"bytes={offset}-{offset + size - 1}"})
        answer = connection.getresponse()
        data = answer.read(size + 1)
        if answer.status != http.client.PARTIAL_CONTENT and not (answer.status == http.client.OK and not offset):
            self._drop()
            raise S3Unavailable(f"{self._parts.netloc} answered a range of {self._parts.path} with {answer.status}")
        if len(data) > size:  # the whole object, where a range was asked for: what follows is of no use
            self._drop()
        if len(data) < size:
            raise http.client.IncompleteRead(data, size - len(data))
        return data[:size]

    def _connect(self) -> http.client.HTTPConnection:
        of = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        self._connection = of(self._parts.hostname or "", self._parts.port, timeout=_TIMEOUT_S)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class SourceReader(io.RawIOBase):
    """A source as a file object, for parsers that want one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves there; returns where that is."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # the stub's Buffer has no len
        """Fills the buffer, or less at the end."""
        data = self._source.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def open_source(source: Source, buffer_bytes: int = 256 * 1024) -> BinaryIO:
    """A buffered, seekable, read-only file object over a source."""
    if isinstance(source, BytesSource):
        return io.BytesIO(source.data)
    return io.BufferedReader(SourceReader(source), buffer_bytes)


def pieces(source: Source, size: int = _PIECE_BYTES) -> Iterator[bytes]:
    """The content from its beginning to its end, in pieces of `size` bytes."""
    for offset in range(0, source.size, size):
        yield source.read(offset, size)
