"""Cells that are times, as Unix nanoseconds."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Literal, get_args

from datamanager.errors import Refused
from datamanager.kinds.csv.cells import is_missing
from datamanager.kinds.names import MAX_T_NS

__all__ = ["TimeUnit", "check_unit", "find_unit", "time_parser"]

TimeUnit = Literal["s", "ms", "us", "ns", "rfc3339"]
UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
_DIGITS: dict[str, int] = {"s": 9, "ms": 6, "us": 3, "ns": 0}  # behind the point, down to a nanosecond
_NUMBER = re.compile(r"\+?([0-9]{1,19})(?:\.([0-9]*))?(?:[eE]\+?([0-9]{1,2}))?\Z")
_FRACTION = re.compile(r"([^.,]*)[.,]([0-9]{1,18})(.*)\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a number of today is at least, in each unit: 1973 in the finer one.
_LEAST = (("ns", 10**17), ("us", 10**14), ("ms", 10**11))


def check_unit(text: str | None) -> TimeUnit | None:
    """The unit that a sender names; None when it names none.

    Raises:
        Refused: `bad_payload`: it is none of them.
    """
    if text is None:
        return None
    for unit in UNITS:
        if unit == text:
            return unit
    raise Refused("bad_payload", f"time_unit {text[:32]!r} is none of {', '.join(UNITS)}")


def find_unit(cells: Iterable[str]) -> TimeUnit | None:
    """The unit of the first times of a column, by how large they are; None when they are no times."""
    for cell in cells:
        if is_missing(cell):
            continue
        number = _NUMBER.match(cell.strip())
        if number is None:
            return "rfc3339" if _of_text(cell) is not None else None
        whole = int(number[1]) * 10 ** int(number[3] or 0)
        unit: TimeUnit = "s"
        for finer, least in _LEAST:
            if whole >= least:
                unit = "ns" if finer == "ns" else ("us" if finer == "us" else "ms")
                break
        return unit
    return None


def time_parser(unit: TimeUnit) -> Callable[[str], int | None]:
    """What makes Unix nanoseconds of a cell: None of one that is no time, or none that may be stored."""
    return _of_text if unit == "rfc3339" else lambda cell: _of_number(cell, _DIGITS[unit])


def _of_number(cell: str, digits: int) -> int | None:
    match = _NUMBER.match(cell.strip())
    if match is None:
        return None
    fraction, exponent = match[2] or "", int(match[3] or 0)
    shift = digits + exponent
    t_ns = int(match[1] + fraction[:shift].ljust(shift, "0"))
    return t_ns if t_ns <= MAX_T_NS else None


def _of_text(cell: str) -> int | None:
    """A date and time by RFC 3339, or by ISO 8601 as far as Python reads it; without an offset it is taken as UTC."""
    text = cell.strip()
    fraction = _FRACTION.match(text)
    if fraction is not None:
        text = fraction[1] + fraction[3]
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return None
    stamp = stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)
    try:
        since = stamp - _EPOCH
    except OverflowError:
        return None
    t_ns = (since.days * 86_400 + since.seconds) * 10**9
    t_ns += int(fraction[2][:9].ljust(9, "0")) if fraction is not None else since.microseconds * 1000
    return t_ns if 0 <= t_ns <= MAX_T_NS else None
