"""Kind `log` in its plain form: one entry, or lines; a level that can be compared."""

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source
from datamanager.kinds.text import read_text

__all__ = ["LEVELS", "LogInfo", "LogLimits", "encode", "encode_log", "examine", "inspect_log", "normalise_level"]

# The levels, from the least to the most severe.
LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")

_SPELLINGS = {
    "trace": "trace verbose finest finer fine all silly t v vrb spam notset",
    "debug": "debug dbg d debugging config",
    "info": "info information informational notice i inf log success ok note",
    "warn": "warn warning w wrn caution",
    "error": "error err e severe failure fail alarm",
    "fatal": "fatal critical crit c f emerg emergency alert panic a dpanic",
}
_NAMES = {word: level for level, words in _SPELLINGS.items() for word in words.split()}
# Python and ROS 2 (rcl_interfaces/msg/Log) count in tens; ROS 1 (rosgraph_msgs/Log) in powers of two.
_NUMBERS = {
    0: "trace", 5: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error", 50: "fatal", 60: "fatal",
    1: "debug", 2: "info", 4: "warn", 8: "error", 16: "fatal",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much one log record may hold."""

    max_lines: int = 100_000
    max_line_chars: int = 1_000_000


@dataclass(frozen=True, slots=True)
class LogInfo:
    """What is known of a log record.

    Attributes:
        level: the most severe level in it; None where none is given, or none that is known.
        logger: who logged; None where that is not said.
        lines: how many entries it has.
    """

    level: str | None
    logger: str | None
    lines: int

    @property
    def metadata(self) -> dict[str, Any]:
        """The same as a map, for the record's metadata."""
        return {"level": self.level, "logger": self.logger, "lines": self.lines}


_LIMITS = LogLimits()
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a log: what the payload says, or, of a log that comes as bytes, those: JSON as `encode` makes it, or lines.

    Raises:
        Refused: see `inspect_log`; `kind_mismatch` for what is no text, `bad_payload` where it is empty or no UTF-8.
    """
    if hints.is_value:
        return Found("application/json", "log.json", inspect_log(hints.payload).metadata)
    text = read_text(source, "log", limits.max_document_bytes)
    entry = _entry_of(text)
    if entry is not None:
        return Found("application/json", "log.json", inspect_log(entry).metadata)
    return Found("text/plain; charset=utf-8", "log", inspect_log({"lines": text.splitlines()}).metadata)


def encode(payload: Mapping[str, Any], limits: KindLimits) -> bytes:  # noqa: ARG001  # every kind is called alike
    """The payload as JSON; see `encode_log`."""
    return encode_log(payload)


def inspect_log(payload: Mapping[str, Any], limits: LogLimits = _LIMITS) -> LogInfo:
    """Checks a payload `{"level"?, "message", "logger"?, …}` or `{"lines": […], "level"?, "logger"?}`.

    A line is a text, or an entry with a message of its own. What else is in the payload is kept and not looked at. A
    level of no known spelling is no reason to refuse a robot's last words: it counts as none.

    Raises:
        Refused: `missing_field` without a message and lines, `wrong_type`, or `too_large`.
    """
    level = normalise_level(payload.get("level"))
    logger = _text(payload.get("logger"), "logger", limits)
    lines = payload.get("lines")
    if lines is None:
        _message(payload, limits)
        return LogInfo(level, logger, 1)
    if not isinstance(lines, list):
        raise Refused("wrong_type", f"lines must be a list, not {type(lines).__name__}")
    if len(lines) > limits.max_lines:
        raise Refused("too_large", f"{len(lines)} lines; at most {limits.max_lines} are taken")
    for line in lines:
        if isinstance(line, dict):
            _message(line, limits)
            level = _worse(level, normalise_level(line.get("level")))
        else:
            _line(line, limits)
    return LogInfo(level, logger, len(lines))


def normalise_level(level: object) -> str | None:
    """One of `LEVELS` for any usual spelling or number (Python, ROS 1, ROS 2); None for any other and for None.

    Raises:
        Refused: `wrong_type` for what is neither a text nor a whole number.
    """
    if level is None:
        return None
    if isinstance(level, bool) or not isinstance(level, (str, int)):
        raise Refused("wrong_type", f"level must be a text or a number, not {type(level).__name__}")
    if isinstance(level, int):
        return _NUMBERS.get(level)
    word = level.strip().strip("[]<>:").lower()
    if word.isascii() and word.isdigit() and len(word) < 4:
        return _NUMBERS.get(int(word))
    return _NAMES.get(word)


def encode_log(payload: Mapping[str, Any]) -> bytes:
    """The payload as JSON in UTF-8: the bytes that are kept and given back.

    The same payload gives the same bytes, over JSON or MessagePack: keys keep their order, numbers their shortest form.
    JSON has no NaN, infinities or bytes: the first two become the words of the wire protocol, bytes become base64.

    Raises:
        Refused: `bad_payload` for what JSON cannot hold at all.
    """
    try:
        return _dump(_to_json(payload))
    except (TypeError, ValueError, RecursionError) as exc:  # a UnicodeEncodeError is a ValueError
        raise Refused("bad_payload", f"the log cannot be kept as JSON: {exc}"[:300]) from exc


def _entry_of(text: str) -> dict[str, Any] | None:
    """The payload that text holds when it is a log as `encode_log` makes it; None for lines of text."""
    if not text.startswith("{") or "\n" in text:
        return None
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):  # lines that begin with a brace are lines
        return None
    return entry if isinstance(entry, dict) and ("message" in entry or "lines" in entry) else None


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(_to_json(key)): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE[str(value)]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    return value


def _message(entry: Mapping[str, Any], limits: LogLimits) -> None:
    if entry.get("message") is None:
        raise Refused("missing_field", "a log has a message, or lines")
    _text(entry["message"], "message", limits)


def _line(line: object, limits: LogLimits) -> None:
    if not isinstance(line, str):
        raise Refused("wrong_type", f"a line must be a text or an entry, not {type(line).__name__}")
    _text(line, "a line", limits)


def _text(value: object, field: str, limits: LogLimits) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("wrong_type", f"{field} must be a text, not {type(value).__name__}")
    if len(value) > limits.max_line_chars:
        raise Refused("too_large", f"{field} of {len(value)} characters; at most {limits.max_line_chars} are taken")
    return value


def _worse(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=LEVELS.index)
