"""Reading a few bytes at a place, with a refusal that says what is missing where."""

import struct
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.images.info import ImageLimits

__all__ = ["check_leftover", "check_pixels", "need", "unpack"]


def need(data: bytes, offset: int, size: int, what: str) -> None:
    """Checks that `size` bytes from `offset` on are there.

    Raises:
        Refused: `bad_payload`.
    """
    if offset + size > len(data):
        left = max(0, len(data) - offset)
        raise Refused("bad_payload", f"truncated: {what} needs {size} bytes, {left} are left", offset=offset)


def unpack(layout: struct.Struct, data: bytes, offset: int, what: str) -> tuple[Any, ...]:
    """The values of `layout` at `offset`.

    Raises:
        Refused: `bad_payload` when they reach over the end.
    """
    need(data, offset, layout.size, what)
    return layout.unpack_from(data, offset)


def check_pixels(width: int, height: int, limits: ImageLimits, offset: int) -> None:
    """Checks the size that a header declares.

    Raises:
        Refused: `bad_payload` for a side of 0, `too_large` for more pixels than are taken.
    """
    if width == 0 or height == 0:
        raise Refused("bad_payload", f"the header declares {width} x {height} pixels", offset=offset)
    if width * height > limits.max_pixels:
        detail = f"the header declares {width} x {height} pixels; at most {limits.max_pixels} in all are taken"
        raise Refused("too_large", detail, offset=offset)


def check_leftover(data: bytes, end: int, what: str) -> tuple[str, ...]:
    """A note about bytes behind the end of the content; padding with zeros or white space is not worth one."""
    if end >= len(data) or not data[end:].strip(b"\0 \t\r\n"):
        return ()
    return (f"{len(data) - end} bytes follow the end of the {what}",)
