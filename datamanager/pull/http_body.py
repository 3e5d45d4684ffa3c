"""The body of an HTTP answer as a file that libav can read: bounded headers, a deadline, and ranges where the server has them."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import httpx

from datamanager.pull.address import Address
from datamanager.pull.failures import SourceError, SourceSilent, refused

__all__ = ["HttpBody", "RangedBody", "open_http"]

_CHUNK_BYTES = 64 * 1024
_HEAD_BYTES = 512
_MOST_REDIRECTS = 5
_PARTIAL = 206
_SKIP_BYTES = 256 * 1024  # so far ahead it is read rather than asked for anew


class HttpBody:
    """A body that comes once.

    Attributes:
        content_type: as the server says it.
        length: how many bytes there are; None where that is not said, as of a live source.

    Args:
        timeout_s: how long there may be nothing new, and how long until `progressed` is called.
    """

    def __init__(self, client: httpx.Client, response: httpx.Response, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._rest = b""
        self._at = 0
        self._take(response)
        self.progressed()
        self.content_type = response.headers.get("content-type", "")
        length = response.headers.get("content-length", "")
        self.length = int(length) if length.isascii() and length.isdigit() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; closing twice is no error."""
        self._response.close()
        self._client.close()

    def progressed(self) -> None:
        """A picture came of what was read: the deadline begins anew. What only drips does not help."""
        self._deadline_s = time.monotonic() + self._timeout_s

    def head(self) -> bytes:
        """The first bytes, which will be read again."""
        while len(self._rest) < _HEAD_BYTES:
            more = self._more()
            if not more:
                break
            self._rest += more
            if self._rest.lstrip()[:1] not in b"<#":
                break  # what is no text is told by its first bytes: a live source is not waited for
        return self._rest[:_HEAD_BYTES]

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end.

        Raises:
            SourceSilent: nothing came, or too little.
            httpx.HTTPError: the connection broke.
        """
        data = self._rest or self._more()
        self._rest = data[size:]
        self._at += min(size, len(data))
        return data[:size]

    def _more(self) -> bytes:
        if time.monotonic() > self._deadline_s:
            raise SourceSilent(f"it sends nothing that makes a picture for {self._timeout_s:g} s")
        return next(self._pieces, b"")

    def _take(self, response: httpx.Response) -> None:
        self._response = response
        self._pieces: Iterator[bytes] = response.iter_raw(
            _CHUNK_BYTES if "content-length" in response.headers else None
        )


class RangedBody(HttpBody):
    """A body of known length, whose parts can be asked for: a file on a server."""

    def __init__(self, client: httpx.Client, response: httpx.Response, timeout_s: float, length: int) -> None:
        super().__init__(client, response, timeout_s)
        self.length: int = length
        self._request = response.request

    def tell(self) -> int:
        """Where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Goes elsewhere; see `io.IOBase.seek`.

        Raises:
            SourceError: the server does not give that part.
        """
        at = offset + (0, self._at, self.length)[whence]
        if at < 0:
            raise OSError("cannot seek before the beginning")
        if self._at <= at <= self._at + len(self._rest):
            self._rest = self._rest[at - self._at :]
        elif at < self.length:
            self._ask(at)
        else:
            self._rest, self._pieces = b"", iter(())
        self._at = at
        return at

    def _ask(self, at: int) -> None:
        self._response.close()
        headers = {**self._request.headers, "Range": f"bytes={at}-"}
        request = self._client.build_request("GET", self._request.url, headers=headers)
        response = self._client.send(request, stream=True)
        if response.status_code != _PARTIAL:
            response.close()
            raise SourceError(f"it answers {response.status_code} for a part of a file")
        self._rest = b""
        self._take(response)


def open_http(address: Address, timeout_s: float) -> HttpBody:
    """Asks for what is at an address.

    Raises:
        SourceError: it is refused.
        httpx.HTTPError: there is no answer, or none that is HTTP. (Headers of more than 100 kB are none.)
    """
    client = httpx.Client(timeout=timeout_s, follow_redirects=True, max_redirects=_MOST_REDIRECTS, trust_env=False)
    try:
        response = _answer(client, address)
    except BaseException:
        client.close()
        raise
    length = response.headers.get("content-length", "")
    has_ranges = response.headers.get("accept-ranges", "").strip().lower() == "bytes"
    if has_ranges and length.isascii() and length.isdigit() and "content-encoding" not in response.headers:
        return RangedBody(client, response, timeout_s, int(length))
    return HttpBody(client, response, timeout_s)


def _answer(client: httpx.Client, address: Address) -> httpx.Response:
    request = client.build_request("GET", address.plain, headers={"Accept-Encoding": "identity", "Accept": "*/*"})
    user, password = address.user or "", address.password or ""
    has_user = address.user is not None
    response = client.send(request, stream=True, auth=(user, password) if has_user else None)
    asks_for = response.headers.get("www-authenticate", "").lower()
    if response.status_code == httpx.codes.UNAUTHORIZED and has_user and asks_for.startswith("digest"):
        response.close()
        response = client.send(request, stream=True, auth=httpx.DigestAuth(user, password))
    if response.status_code != httpx.codes.OK:
        response.close()
        raise refused(response.status_code)
    return response
