"""The line to a server: requests in JSON, and files put to the addresses that it gives."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from datamanager.errors import ConfigError, DatamanagerError

__all__ = ["AdminError", "Link", "Progress"]

Progress = Callable[[int, int], None]
"""Called with how many bytes were sent, and how many there are."""

_API = "/api/v1"
_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1024 * 1024
_TRIES = 3
_PAUSE_S = 0.5
_BYTES_PER_S = 5e6  # a slow server that checks a file


class AdminError(DatamanagerError):
    """The server refused, or does not answer.

    Attributes:
        status: the HTTP status; 0 when there was no answer.
    """

    code = "admin"

    def __init__(self, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.status = status


class Link:
    """One server.

    Args:
        url: its address, like `http://host:8080`.
        token: shown to the server; never to S3.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--server {url!r} must begin with http:// or https://")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(
                base_url=url.rstrip("/") + _API, headers=headers, timeout=_TIMEOUT_S, trust_env=False
            )
        except (httpx.InvalidURL, ValueError) as exc:
            raise ConfigError(f"--server {url!r} is no address: {exc}") from exc
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, *, size_bytes: int = 0) -> Any:
        """One request, and what its answer says.

        Args:
            method: of HTTP.
            path: behind `/api/v1`.
            body: what is sent, as JSON.
            size_bytes: what the server has to read before it answers.

        Raises:
            AdminError: the server refused, or does not answer.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        timeout_s = _TIMEOUT_S + size_bytes / _BYTES_PER_S
        try:
            answer = self._http.request(method, path, content=content, headers=headers, timeout=timeout_s)
        except httpx.HTTPError as exc:
            raise AdminError(f"{self._url} does not answer: {exc or type(exc).__name__}") from exc
        if answer.status_code >= 400:
            raise AdminError(_problem(answer), answer.status_code)
        return msgspec.json.decode(answer.content) if answer.content else None

    def put_file(self, url: str, path: Path, progress: Progress) -> None:
        """Puts a file to an address that the server gave; begun again when the connection breaks.

        Raises:
            AdminError: it could not be put.
            OSError: the file cannot be read.
        """
        size = path.stat().st_size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = httpx.put(
                    url, content=_chunks(path, size, progress), headers=headers, timeout=120.0, trust_env=False
                )
                if answer.status_code < 300:
                    return
                why, may_pass = f"it answers {answer.status_code}: {answer.text[:200]}", answer.status_code >= 500
            except httpx.HTTPError as exc:
                why, may_pass = str(exc) or type(exc).__name__, True
            if not may_pass or not tries_left:
                raise AdminError(f"{path.name} could not be put to {httpx.URL(url).netloc.decode()}: {why}")
            time.sleep(_PAUSE_S)


def _chunks(path: Path, size: int, progress: Progress) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as file:
        while sent < size and (data := file.read(min(_CHUNK_BYTES, size - sent))):
            yield data
            sent += len(data)
            progress(sent, size)


def _problem(answer: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return f"the server answers {answer.status_code}: {answer.text[:200]}"
    return str(problem.get("detail") or f"the server answers {answer.status_code}")
