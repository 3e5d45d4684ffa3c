"""Errors as RFC 9457 problem details: what an HTTP caller is told when something went wrong."""

import msgspec

from datamanager.errors import DatamanagerError

__all__ = ["PROBLEM_TYPE", "Problem", "problem_of", "problem_of_status"]

PROBLEM_TYPE = "application/problem+json"
_CODES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal",
    503: "unavailable",
}
_INTERNAL = "something went wrong here; the server's log says what"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an error answer, as RFC 9457 section 3 names its members, and a stable `code` for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


def problem_of(error: Exception) -> Problem:
    """The problem that an error is to its caller. What was not raised on purpose tells nothing of the inside."""
    if not isinstance(error, DatamanagerError) or (error.http_status >= 500 and error.code == "internal"):
        return _problem("internal", 500, _INTERNAL)
    return _problem(error.code, error.http_status, error.detail)


def problem_of_status(status: int, detail: str) -> Problem:
    """The problem of an error that the HTTP framework found by itself: no such route, wrong method, bad parameters."""
    return _problem(_CODES.get(status, "malformed" if status < 500 else "internal"), status, detail)


def _problem(code: str, status: int, detail: str) -> Problem:
    title = code.replace("_", " ").capitalize()
    return Problem(type=f"urn:datamanager:problem:{code}", title=title, status=status, detail=detail, code=code)
