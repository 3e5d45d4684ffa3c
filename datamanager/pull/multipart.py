"""JPEG pictures out of `multipart/x-mixed-replace`, as cameras send them. No I/O.

Parts have a boundary, headers and a body; what cameras make of it differs: with or without `Content-Length`, with one `--` too
few or too many, with and without an empty line in front. So a part's body is taken by its length where that is told,
else up to the next boundary.
"""

import re
from collections.abc import Iterator
from email.message import Message

from datamanager.pull.failures import SourceError

__all__ = ["MultipartReader", "boundary_of"]

MOST_PICTURE_BYTES = 16 * 1024 * 1024
_MOST_HEAD_BYTES = 16 * 1024
_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,10})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a `Content-Type` names; None when it is no multipart, or names none."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_maintype() != "multipart":
        return None
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not boundary.strip("-"):
        return None
    return b"--" + boundary.lstrip("-").encode("latin-1", "replace")


class MultipartReader:
    """Gives the bodies of parts, as their bytes come.

    Args:
        boundary: with its two dashes.
    """

    def __init__(self, boundary: bytes) -> None:
        self._boundary = boundary
        self._data = bytearray()
        self._length: int | None = None
        self._looked = 0  # so far there is no boundary in a body
        self._in_body = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes bytes; gives the bodies that are whole now.

        Raises:
            SourceError: it is no multipart, or a part has no end.
        """
        self._data += data
        while True:
            if not self._in_body and not self._head():
                return
            body = self._body()
            if body is None:
                return
            self._in_body = False
            yield body

    def _head(self) -> bool:
        """Whether a part's headers are whole now; they are taken off, and what stands in front of them."""
        at = self._data.find(self._boundary)
        end = None if at < 0 else _HEAD_END.search(self._data, at)
        if end is None:
            if len(self._data) - max(at, 0) > _MOST_HEAD_BYTES:
                said = "parts whose headers have no end" if at >= 0 else "no boundary where one should be"
                raise SourceError(f"it sends multipart with {said}", passing=False)
            return False
        length = _LENGTH.search(self._data, at, end.end())
        self._length = int(length[1]) if length else None
        if self._length is not None and self._length > MOST_PICTURE_BYTES:
            raise SourceError(f"it announces a picture of {self._length} bytes: {MOST_PICTURE_BYTES} are the most")
        del self._data[: end.end()]
        self._in_body = True
        self._looked = 0
        return True

    def _body(self) -> bytes | None:
        if self._length is not None:
            if len(self._data) < self._length:
                return None
            return self._cut(self._length)
        end = self._data.find(self._boundary, max(0, self._looked - len(self._boundary)))
        self._looked = len(self._data)
        if end < 0:
            if len(self._data) > MOST_PICTURE_BYTES:
                raise SourceError(f"it sends a picture of more than {MOST_PICTURE_BYTES} bytes")
            return None
        body = self._cut(end)
        return body.removesuffix(b"\n").removesuffix(b"\r")

    def _cut(self, length: int) -> bytes:
        body = bytes(self._data[:length])
        del self._data[:length]
        return body
