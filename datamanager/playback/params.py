"""Query parameters as text, made values: times, half-open ranges, lists, limits and opaque cursors."""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TypeVar

import msgspec

from datamanager.errors import Refused
from datamanager.kinds.names import MAX_T_NS

__all__ = [
    "END_OF_TIME_NS",
    "TimeRange",
    "decode_cursor",
    "encode_cursor",
    "parse_int",
    "parse_list",
    "parse_moment_ns",
    "parse_number",
    "parse_offset",
    "parse_place",
    "parse_range",
    "parse_time_ns",
]

T = TypeVar("T")

END_OF_TIME_NS = MAX_T_NS + 1  # the end of a range that leaves nothing out
_NS_FROM = 10**14  # the smallest integer that is nanoseconds; as seconds it would lie past 2^63 ns
_MAX_TEXT = 64  # longer than any time anybody means; keeps the arithmetic below bounded
_EXACT = Context(prec=2 * _MAX_TEXT)  # every product of such a text and 10^9 is exact
_MAX_CURSOR = 1024
_MAX_ITEMS = 4096
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?\Z", re.ASCII)
# A space before the offset is a `+` that the query string's own decoding ate.
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:([Zz])|([+\- ])(\d\d):(\d\d))\Z", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The half-open time range [start_ns, end_ns) in Unix nanoseconds; `end_ns` is 2^63 at most."""

    start_ns: int
    end_ns: int

    @property
    def is_empty(self) -> bool:
        """Whether no time lies in it."""
        return self.start_ns >= self.end_ns


def parse_time_ns(text: str, name: str = "time") -> int:
    """A bound of a half-open range, in [0, 2^63] Unix nanoseconds.

    RFC 3339 with any number of fraction digits, seconds (`1700000000`, `1700000000.25`, `1.7e9`), or
    nanoseconds (integers from 1e14 on). All are read exactly. What falls between two nanoseconds becomes the
    later one: for whole nanoseconds t, t >= x is t >= ceil(x), and t < x is t < ceil(x).

    Raises:
        Refused: `bad_time`.
    """
    return _in_bounds(_exact_ns(text, name), ROUND_CEILING, END_OF_TIME_NS, name, text)


def parse_moment_ns(text: str, name: str = "t") -> int:
    """A moment, for "at or before": as `parse_time_ns`, but rounded down, and below 2^63.

    Raises:
        Refused: `bad_time`.
    """
    return _in_bounds(_exact_ns(text, name), ROUND_FLOOR, MAX_T_NS, name, text)


def _in_bounds(exact: Decimal, rounding: str, most: int, name: str, text: str) -> int:
    if not 0 <= exact <= most:
        raise Refused("bad_time", f"{name}={text!r} is outside 1970 to 2262")
    return int(exact.to_integral_value(rounding))


def _exact_ns(text: str, name: str) -> Decimal:
    text = text.strip()
    if len(text) <= _MAX_TEXT:
        if _NUMBER.match(text):
            number = Decimal(text)
            whole = number >= _NS_FROM and number == number.to_integral_value()
            return number if whole else _EXACT.multiply(number, Decimal(10**9))
        if match := _RFC3339.match(text):
            try:
                return _rfc3339_ns(match)
            except (ValueError, OverflowError) as exc:
                raise Refused("bad_time", f"{name}={text!r} is no date: {exc}") from exc
    raise Refused(
        "bad_time", f"{name}={text[:_MAX_TEXT]!r} is neither RFC 3339 with an offset, seconds nor nanoseconds"
    )


def _rfc3339_ns(match: re.Match[str]) -> Decimal:
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, zulu, sign, hours, minutes = match.groups()[6:]
    leap = second == 60  # datetime has no leap seconds; Unix time counts them as the second after
    stamp = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC) + timedelta(seconds=leap)
    if not zulu:
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError("the offset is no offset")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        stamp += offset if sign == "-" else -offset
    seconds = Decimal((stamp - _EPOCH) // timedelta(seconds=1))
    return _EXACT.multiply(_EXACT.add(seconds, Decimal("0" + (fraction or ""))), Decimal(10**9))


def parse_range(start: str | None, end: str | None, default: TimeRange | None = None) -> TimeRange:
    """The half-open range of `start` and `end`; a bound that is not given comes from `default`, or is open.

    Raises:
        Refused: `bad_time`, also when it ends before it starts.
    """
    start_ns = (default.start_ns if default else 0) if start is None else parse_time_ns(start, "start")
    end_ns = (default.end_ns if default else END_OF_TIME_NS) if end is None else parse_time_ns(end, "end")
    if start_ns > end_ns:
        if start is None or end is None:  # the default lies wholly outside: nothing is asked for, and nothing is wrong
            return TimeRange(end_ns, end_ns) if start is None else TimeRange(start_ns, start_ns)
        raise Refused("bad_time", f"the range ends ({end}) before it starts ({start})")
    return TimeRange(start_ns, end_ns)


def parse_list(values: Sequence[str] | None) -> list[str]:
    """A list given as repeated keys, with commas, or both; each value once, in the order they first came.

    Raises:
        Refused: `too_large` above 4096 values.
    """
    found = dict.fromkeys(item for value in values or () for item in value.split(",") if item)
    if len(found) > _MAX_ITEMS:
        raise Refused("too_large", f"a list may have {_MAX_ITEMS} values, not {len(found)}")
    return list(found)


def parse_int(text: str | None, name: str, *, default: int, most: int, least: int = 1) -> int:
    """An integer in [least, most]; `default`, but never more than `most`, when it is not given.

    Raises:
        Refused: `wrong_type`, or `too_large` above `most`.
    """
    if text is None:
        return min(default, most)
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise Refused("wrong_type", f"{name}={text[:_MAX_TEXT]!r} is no integer")
    value = int(text)
    if value > most:
        raise Refused("too_large", f"{name}={value} is more than {most}")
    if value < least:
        raise Refused("wrong_type", f"{name}={value} is less than {least}")
    return value


def parse_number(text: str | None, name: str, *, default: float, least: float, most: float) -> float:
    """A number in [least, most]; `default` when it is not given.

    Raises:
        Refused: `wrong_type`.
    """
    if text is None:
        return default
    number = float(text) if len(text) <= _MAX_TEXT and _NUMBER.match(text) else None
    if number is None or not least <= number <= most:
        raise Refused("wrong_type", f"{name}={text[:_MAX_TEXT]!r} is no number from {least} to {most}")
    return number


def encode_cursor(values: tuple[int | str, ...]) -> str:
    """Where the next page starts, as opaque text that is safe in a query string."""
    return urlsafe_b64encode(msgspec.msgpack.encode(values)).decode().rstrip("=")


def decode_cursor(text: str | None, shape: type[T]) -> T | None:
    """What `encode_cursor` was given, None for no cursor.

    Args:
        text: the cursor as it came back.
        shape: the type of the tuple it must hold, for example `tuple[int, str]`.

    Raises:
        Refused: `malformed` when it is not one of ours.
    """
    if text is None or text == "":
        return None
    try:
        data = urlsafe_b64decode(text[:_MAX_CURSOR].encode("ascii") + b"=" * (-len(text) % 4))
        values = msgspec.msgpack.decode(data, type=shape)
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise Refused("malformed", f"the cursor is not one that this server gave: {exc}") from exc
    if encode_cursor(values) != text:  # type: ignore[arg-type]  # shapes are tuples of int and str
        raise Refused("malformed", "the cursor is not one that this server gave: it was altered")
    return values


def parse_offset(cursor: str | None) -> int:
    """How many items a cursor says that the pages before gave; 0 for no cursor.

    Raises:
        Refused: `malformed`.
    """
    (after,) = decode_cursor(cursor, tuple[int]) or (0,)
    if after < 0:
        raise Refused("malformed", "the cursor is not one that this server gave")
    return after


def parse_place(cursor: str | None) -> tuple[int, str] | None:
    """(t_ns, id) that a cursor names; None for no cursor.

    Raises:
        Refused: `malformed`.
    """
    after = decode_cursor(cursor, tuple[int, str])
    if after is not None and not 0 <= after[0] <= MAX_T_NS:
        raise Refused("malformed", "the cursor is not one that this server gave: its time is none")
    return after
