"""Boxes of MP4 and QuickTime files (ISO/IEC 14496-12, section 4.2): where each begins and ends."""

from collections.abc import Iterator
from dataclasses import dataclass

from datamanager.errors import Refused
from datamanager.kinds.media.window import Window

__all__ = ["Box", "find_box", "walk_boxes"]

_HEADER, _LARGE_HEADER = 8, 16
_TO_THE_END, _IS_LARGE = 0, 1


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Attributes:
        kind: its four characters.
        offset: where its header begins.
        start: where its content begins.
        end: where the next box begins.
    """

    kind: bytes
    offset: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """Its kind, as text that can stand in a message."""
        return self.kind.decode("latin-1").encode("unicode_escape").decode()


def walk_boxes(window: Window, start: int, end: int, most: int, *, is_top: bool = False) -> Iterator[Box]:
    """The boxes from `start` to `end`, in their order; `most` of them at most.

    Args:
        window: the content.
        start: where the first begins.
        end: where the last has to end.
        most: how many are looked at.
        is_top: whether the last may say that it goes to the end of the file.

    Raises:
        Refused: `bad_payload`: a box is smaller than its own header, or goes beyond the end.
    """
    offset = start
    for _ in range(most):
        if end - offset < _HEADER:
            return _check_rest(window, offset, end, is_top=is_top)
        box = _read(window, offset, end, is_top=is_top)
        yield box
        offset = box.end
    return None


def find_box(window: Window, parent: Box, kind: bytes, most: int = 64) -> Box | None:
    """The first box of a kind within another; None where there is none.

    Raises:
        Refused: as `walk_boxes`.
    """
    return next((box for box in walk_boxes(window, parent.start, parent.end, most) if box.kind == kind), None)


def _read(window: Window, offset: int, end: int, *, is_top: bool) -> Box:
    header = window.take(offset, _HEADER, "a box")
    size, kind, start = int.from_bytes(header[:4]), header[4:], offset + _HEADER
    if size == _IS_LARGE:
        size = int.from_bytes(window.take(offset, _LARGE_HEADER, "a box")[8:])
        start = offset + _LARGE_HEADER
    elif size == _TO_THE_END and is_top:
        size = end - offset
    box = Box(kind, offset, start, offset + size)
    if box.end < start:
        raise Refused("bad_payload", f"box {box.name!r} says that it has {size} bytes", offset=offset)
    if box.end > end:
        detail = f"box {box.name!r} has {size} bytes, of which {end - offset} are there"
        raise Refused("bad_payload", detail, offset=offset)
    return box


def _check_rest(window: Window, offset: int, end: int, *, is_top: bool) -> None:
    rest = window.get(offset, end - offset)
    if is_top and rest.strip(b"\0"):  # a QuickTime list may end with a zero; the file itself must not break off
        raise Refused("bad_payload", "the last box is cut off", offset=offset)
