"""Answers that send bytes as they are read: all of them, or the range that was asked for."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from litestar import Request, Response
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_206_PARTIAL_CONTENT, HTTP_304_NOT_MODIFIED

from datamanager.errors import NotFound
from datamanager.playback.byte_ranges import parse_byte_range
from datamanager.playback.problems import problem_of_status
from datamanager.playback.record_content import attachment_headers
from datamanager.playback.routes.problems import problem_response

__all__ = ["bytes_answer", "path_after"]

_BYTES = "application/octet-stream"


async def bytes_answer(
    request: Request[Any, Any, Any],
    name: str,
    etag: str,
    size: int,
    pieces: Callable[[int, int], AsyncIterator[bytes]],
    *,
    by_range: bool = True,
) -> Response[Any]:
    """Bytes to be saved under a name, which no browser runs.

    Args:
        request: may ask for a range.
        name: what the file is to be called.
        etag: names these bytes and no others.
        size: how many there are.
        pieces: gives the bytes [start, end).
        by_range: whether it gives others than all of them.

    Raises:
        DatamanagerError: what getting the first of them raises. What comes later breaks the connection off, short of
            the length that the headers say.
    """
    headers = attachment_headers(name)
    headers |= {
        "Accept-Ranges": "bytes" if by_range else "none",
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    if request.headers.get("if-none-match") == etag:
        return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    asked = parse_byte_range(request.headers.get("range"), size) if by_range else None
    if asked is None or request.headers.get("if-range", etag) != etag:
        headers["Content-Length"] = str(size)
        return Stream(await _begun(pieces(0, size)), media_type=_BYTES, headers=headers, status_code=HTTP_200_OK)
    start, end = asked
    if start >= size:
        problem = problem_of_status(416, f"the range begins at byte {start}, and there are {size}")
        return problem_response(problem, {"Content-Range": f"bytes */{size}"})
    headers |= {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return Stream(
        await _begun(pieces(start, end)), media_type=_BYTES, headers=headers, status_code=HTTP_206_PARTIAL_CONTENT
    )


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, of which the first is there already: while nothing is sent, what goes wrong can be said."""
    first = await anext(pieces, b"")

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_of_them()


def path_after(request: Request[Any, Any, Any], part: str) -> str:
    """What stands in the address after `/{part}/`, exactly: the framework makes one slash of several.

    Raises:
        NotFound: it is not UTF-8, as no name is that this server gave.
    """
    raw: bytes = request.scope["raw_path"]
    try:
        return unquote_to_bytes(raw.partition(f"/{part}/".encode())[2]).decode()
    except UnicodeDecodeError as exc:
        raise NotFound(f"the name is not UTF-8: {exc.reason}") from exc
