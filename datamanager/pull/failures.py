"""What can be wrong with a source, in one line that names it.

SourceError          `detail` says it; `passing` whether waiting may help
├── SourceSilent     nothing came for too long
└── SourceEnded      a live source ended the connection
"""

import socket
import ssl

import av.error
import av.logging
import httpx

from datamanager.errors import DatamanagerError
from datamanager.pull.address import Address

__all__ = ["SourceEnded", "SourceError", "SourceSilent", "explain", "refused"]

_REFUSALS = {401: "wants a user and password (401)", 403: "forbids it (403)", 404: "has nothing at that path (404)"}
_OF_HTTP = (
    (av.error.HTTPUnauthorizedError, 401),
    (av.error.HTTPForbiddenError, 403),
    (av.error.HTTPNotFoundError, 404),
)
_MOST_SAID = 160


class SourceError(DatamanagerError):
    """A source cannot be opened or read.

    Attributes:
        passing: whether it may be over by itself: a camera that is off, a server that restarts.
    """

    code = "source"

    def __init__(self, detail: str, *, passing: bool = True) -> None:
        super().__init__(detail)
        self.passing = passing


class SourceSilent(SourceError):
    """Nothing came for too long."""

    code = "source_silent"


class SourceEnded(SourceError):
    """A live source ended the connection."""

    code = "source_ended"


def explain(error: Exception, address: Address, timeout_s: float) -> SourceError:  # noqa: PLR0911  # one answer a cause
    """What an error of a library means, without credentials.

    Args:
        error: of libav, httpx or the system.
        address: whose it is.
        timeout_s: how long was waited.
    """
    if isinstance(error, SourceError):
        return error
    if isinstance(error, httpx.HTTPStatusError):
        return refused(error.response.status_code)
    for kind, status in _OF_HTTP:
        if isinstance(error, kind):
            return refused(status)
    if isinstance(error, av.error.ExitError | TimeoutError | httpx.TimeoutException):
        return SourceSilent(f"it says nothing for {timeout_s:g} s")
    if isinstance(error, av.error.InvalidDataError):
        # What RTSP cannot read may be an answer that a server that is just starting or ending did not finish.
        passing = address.kind == "rtsp"
        return SourceError(_with_log("it sends no video that can be read", error, address), passing=passing)
    if isinstance(error, av.error.EOFError):
        return SourceEnded("it ended the connection")
    return _of_network(error, address)


def refused(status: int) -> SourceError:
    """What an HTTP or RTSP status means."""
    if status in _REFUSALS:
        return SourceError(f"the server {_REFUSALS[status]}", passing=False)
    return SourceError(f"the server answers {status}", passing=status >= 500 or status in {408, 425, 429})


def _of_network(error: Exception, address: Address) -> SourceError:
    causes = _causes(error)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return SourceError("the connection is refused: nothing listens there")
    unknown = next((cause for cause in causes if isinstance(cause, socket.gaierror)), None)
    if unknown is not None or "Failed to resolve" in _log_of(error):
        passing = unknown.errno == socket.EAI_AGAIN if unknown is not None else "Temporary" in _log_of(error)
        return SourceError(f"the host name {address.host!r} is not known", passing=passing)
    certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
    if certificate is not None:
        return SourceError(address.masked_in(f"TLS fails: {certificate.reason or certificate}"), passing=False)
    if isinstance(error, httpx.TooManyRedirects):
        return SourceError("it redirects again and again", passing=False)
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, httpx.ProtocolError):
        said = f"it does not speak HTTP as it should: {said}"
    return SourceError(_with_log(said[:_MOST_SAID], error, address))


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in found:
        found.append(link)
        link = link.__cause__ or link.__context__
    return found


def _with_log(said: str, error: Exception, address: Address) -> str:
    """What libav said last about it stands behind, where it said anything."""
    more = _log_of(error)
    return address.masked_in(f"{said} ({more[:_MOST_SAID]})" if more else said)


def _log_of(error: Exception) -> str:
    log = getattr(error, "log", None)
    return " ".join(str(log[2]).split()) if log else ""
