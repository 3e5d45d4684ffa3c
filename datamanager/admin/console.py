"""What the commands say: tables, and progress where a line can be drawn over."""

import sys
import time
from collections.abc import Sequence

__all__ = ["Drawn", "failed", "say", "say_table", "size_text"]

_REDRAW_S = 0.1
_CLEAR = "\r\x1b[K"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def say(line: str) -> None:
    """A line on stdout."""
    sys.stdout.write(f"{line}\n")


def failed(why: str) -> None:
    """Why nothing came of it, in one line on stderr."""
    sys.stderr.write(f"datamanager: {' '.join(why.split())}\n")


def say_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def size_text(size: int) -> str:
    """A size for people: three digits and a unit."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"


class Drawn:
    """The progress of one file, on stderr where that is a terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._draws = sys.stderr.isatty()
        self._began_s = time.monotonic()
        self._drawn_s = 0.0

    def progress(self, sent: int, size: int) -> None:
        """So many bytes were sent."""
        now_s = time.monotonic()
        if not self._draws or now_s - self._drawn_s < _REDRAW_S:
            return
        rate = size_text(round(sent / max(now_s - self._began_s, 0.001)))
        percent = 100 * sent // max(size, 1)
        sys.stderr.write(f"{_CLEAR}…  {self._name}  {percent} % of {size_text(size)}, {rate}/s")
        sys.stderr.flush()
        self._drawn_s = now_s

    def clear(self) -> None:
        """Nothing is drawn any more."""
        if self._drawn_s:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()
