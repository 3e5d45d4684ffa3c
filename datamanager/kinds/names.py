"""The words of the wire: kinds and their aliases, ids, times. Shared by the server and the robot's client."""

import re

from datamanager.errors import Refused

__all__ = [
    "DEFAULT_PRODUCER",
    "KINDS",
    "MAX_T_NS",
    "check_id",
    "check_stream",
    "check_t_ns",
    "kind_of",
    "parse_time_ns",
    "seconds_to_ns",
]

KINDS = frozenset(
    "time_series parameters images video audio log markdown file csv safetensors json yaml toml msgpack vuer_msg zip tar".split()
)
_ALIASES = {
    "telemetry": "time_series",
    "sensors": "time_series",
    "system": "time_series",
    "camera_frame": "images",
}
_ALL = {kind: kind for kind in KINDS} | _ALIASES

DEFAULT_PRODUCER = "default"
MAX_T_NS = 2**63 - 1
MAX_STREAM_PARTS = 8
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


def kind_of(data_type: object) -> str:
    """The kind that a wire `data_type` names, aliases resolved.

    Raises:
        Refused: `wrong_type` or `unknown_kind`.
    """
    if not isinstance(data_type, str):
        raise Refused("wrong_type", f"data_type must be a string, not {type(data_type).__name__}")
    kind = _ALL.get(data_type)
    if kind is None:
        raise Refused("unknown_kind", f"data_type {data_type[:64]!r} is not one of the kinds")
    return kind


def check_id(value: object, field: str) -> str:
    """A robot, session or producer id, checked.

    Raises:
        Refused: `wrong_type` or `bad_id`.
    """
    if not isinstance(value, str):
        raise Refused("wrong_type", f"{field} must be a string, not {type(value).__name__}")
    if _ID.match(value) is None or value in (".", ".."):
        raise Refused("bad_id", f"{field} {value[:140]!r} must be 1 to 128 of A-Z a-z 0-9 . _ - and not . or ..")
    return value


def check_stream(value: object) -> str:
    """A stream's name, checked: up to 8 ids parted by `/`.

    Raises:
        Refused: `wrong_type` or `bad_id`.
    """
    if not isinstance(value, str):
        raise Refused("wrong_type", f"stream must be a string, not {type(value).__name__}")
    parts = value.split("/")
    if len(parts) > MAX_STREAM_PARTS:
        raise Refused("bad_id", f"stream {value[:140]!r} has more than {MAX_STREAM_PARTS} parts")
    for part in parts:
        check_id(part, "stream")
    return value


def seconds_to_ns(seconds: float) -> int:
    """Unix seconds as nanoseconds; a float counts to the microsecond.

    Raises:
        Refused: `bad_time` when it lies outside [0, 2^63) ns or is not finite.
    """
    if isinstance(seconds, float):
        if not -1e18 < seconds < 1e18:  # also refuses NaN
            raise Refused("bad_time", f"timestamp {seconds} is no time")
        t_ns = round(seconds * 1e6) * 1000
    else:
        t_ns = seconds * 1_000_000_000
    return check_t_ns(t_ns)


def check_t_ns(t_ns: int) -> int:
    """Unix nanoseconds, checked to lie in [0, 2^63).

    Raises:
        Refused: `bad_time`.
    """
    if not 0 <= t_ns <= MAX_T_NS:
        raise Refused("bad_time", f"time {t_ns} ns is outside [0, 2^63): nothing before 1970 is taken")
    return t_ns


def parse_time_ns(t_ns: object, timestamp: object) -> int | None:
    """A message's time from its `t_ns` or `timestamp` field; None when neither is there.

    Raises:
        Refused: `wrong_type` or `bad_time`.
    """
    if t_ns is not None:
        if type(t_ns) is not int:
            raise Refused("wrong_type", f"t_ns must be an integer, not {type(t_ns).__name__}")
        return check_t_ns(t_ns)
    if timestamp is None:
        return None
    if type(timestamp) is not int and type(timestamp) is not float:
        raise Refused("wrong_type", f"timestamp must be a number of seconds, not {type(timestamp).__name__}")
    return seconds_to_ns(timestamp)
