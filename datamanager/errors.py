"""Every error this project raises on purpose, each with what a caller needs to answer for it.

DatamanagerError                 http 500  close 1011  internal
├── ConfigError                  a setting is wrong: the start stops and names the variable
├── LocalServerError             a local server cannot be started, and what to install or set instead
├── ProcessDied                  a child process died of a call, or was ended because it took too long
├── Refused                      http 400  close 1008  one message or request is bad; `code` says how
├── NotFound                     http 404  close 1008  not_found
├── Conflict                     http 409  close 1008  conflict
├── BadSignature                 http 403  close 1008  bad_signature
├── RangeTooLarge                http 413  close 1009  range_too_large
└── Unavailable                  http 503  close 1013  unavailable: a server behind us does not answer
    ├── MongoUnavailable
    ├── S3Unavailable
    └── RedisUnavailable
"""

from typing import ClassVar, Literal

__all__ = [
    "BadSignature",
    "ConfigError",
    "Conflict",
    "DatamanagerError",
    "LocalServerError",
    "MongoUnavailable",
    "NotFound",
    "ProcessDied",
    "RangeTooLarge",
    "RedisUnavailable",
    "RefusalCode",
    "Refused",
    "S3Unavailable",
    "Unavailable",
]

RefusalCode = Literal[
    "malformed",
    "missing_field",
    "wrong_type",
    "bad_id",
    "bad_time",
    "unknown_kind",
    "kind_mismatch",
    "bad_payload",
    "unsafe_content",
    "too_large",
    "too_deep",
    "other_session",
    "unauthorized",
    "rate_limited",
    "over_quota",
    "seq_conflict",
]


class DatamanagerError(Exception):
    """The root. `detail` is one sentence for the person who has to act on it.

    Attributes:
        code: stable, for programs: the `code` of a problem+json answer.
        http_status: the status of the HTTP answer.
        close_code: the WebSocket close code when the error ends a connection.
    """

    code: str = "internal"
    http_status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ConfigError(DatamanagerError):
    """A setting is missing or wrong; the detail names the environment variable."""

    code = "bad_setting"


class LocalServerError(DatamanagerError):
    """A local server cannot be started; the detail says what to install or which variable to set instead."""

    code = "local_server"


class ProcessDied(DatamanagerError):
    """A child process died of a call, or was ended because it took too long.

    Attributes:
        by_limit: whether we ended it, for the time that the call took.
    """

    code = "process_died"

    def __init__(self, detail: str, *, by_limit: bool = False) -> None:
        super().__init__(detail)
        self.by_limit = by_limit


class Refused(DatamanagerError):
    """A message or request is refused, with one of the reject codes of the wire protocol.

    Attributes:
        offset: where in the bytes it went wrong, where that is known.
        kind: the kind as which content was looked at; None where it is not content that is refused.
    """

    http_status = 400
    close_code = 1008

    def __init__(self, code: RefusalCode, detail: str, *, offset: int | None = None) -> None:
        super().__init__(detail if offset is None else f"{detail} (at byte {offset})")
        self.code = code
        self.offset = offset
        self.kind: str | None = None

    def __reduce__(self) -> "tuple[type[Refused], tuple[str, str], dict[str, int | None]]":
        # It comes out of child processes: an exception is otherwise made anew from its text alone.
        return Refused, (self.code, self.detail), {"offset": self.offset}


class NotFound(DatamanagerError):
    """What was asked for does not exist."""

    code = "not_found"
    http_status = 404
    close_code = 1008


class Conflict(DatamanagerError):
    """What was asked for contradicts what is there."""

    code = "conflict"
    http_status = 409
    close_code = 1008


class BadSignature(DatamanagerError):
    """A signed address was tampered with or has expired."""

    code = "bad_signature"
    http_status = 403
    close_code = 1008


class RangeTooLarge(DatamanagerError):
    """The answer would exceed a limit; the detail names the limit and how to ask for less."""

    code = "range_too_large"
    http_status = 413
    close_code = 1009


class Unavailable(DatamanagerError):
    """A server behind us does not answer; trying again later may succeed."""

    code = "unavailable"
    http_status = 503
    close_code = 1013


class MongoUnavailable(Unavailable):
    """MongoDB does not answer."""


class S3Unavailable(Unavailable):
    """The S3 server does not answer."""


class RedisUnavailable(Unavailable):
    """Redis does not answer."""
