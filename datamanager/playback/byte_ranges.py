"""One range of bytes, as a request header asks for it."""

import re

__all__ = ["parse_byte_range"]

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*\Z", re.ASCII | re.IGNORECASE)


def parse_byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open range [start, end) of `size` bytes that a `Range` header asks for (RFC 9110, 14.1.2).

    Returns:
        None where all is to be sent: no header, another unit, several ranges, or nonsense, which the RFC has ignored.
        A start of `size` or more for a range that cannot be satisfied.
    """
    match = _ONE_RANGE.match(header) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        return (max(0, size - int(last)), size) if int(last) else (size, size)
    if last and int(last) < int(first):
        return None
    end = min(size, int(last) + 1) if last else size
    return int(first), max(int(first), end)
