"""What the command says: a line a file, with its progress where that can be drawn."""

import sys
import time
from typing import TextIO

from datamanager.push.plan import PlannedFile

__all__ = ["Console", "size_text"]

_REDRAW_S = 0.1
_CLEAR = "\r\x1b[K"
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Console:
    """Writes to a terminal, or plainly to whatever else it is."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._draws = self._out.isatty()
        self._drawn = False
        self._drawn_s = 0.0
        self._began: dict[str, float] = {}

    def progress(self, file: PlannedFile, sent: int, size: int) -> None:
        """So much of a file is there; not said where lines cannot be drawn over."""
        self.share(file.name, sent, size)

    def share(self, name: str, sent: int, size: int) -> None:
        """The same of anything with a name."""
        now_s = time.monotonic()
        began_s = self._began.setdefault(name, now_s)
        if not self._draws or now_s - self._drawn_s < _REDRAW_S:
            return
        rate = size_text(round(sent / max(now_s - began_s, 0.001)))
        percent = 100 if not size else 100 * sent // size
        self._out.write(f"{_CLEAR}…  {name}  {percent} % of {size_text(size)}, {rate}/s")
        self._out.flush()
        self._drawn, self._drawn_s = True, now_s

    def done(self, file: PlannedFile, how: str) -> None:
        """A file is there."""
        self.say(f"ok  {file.name} → {file.kind} {file.stream} ({size_text(file.size_bytes)}, {how})")

    def failed(self, file: PlannedFile, why: str) -> None:
        """A file was refused, or could not be sent."""
        self.say(f"NO  {file.name} → {file.kind} {file.stream}: {why}")

    def say(self, line: str) -> None:
        """A line, in place of what is drawn."""
        if self._drawn:
            self._out.write(_CLEAR)
        self._out.write(f"{line}\n")
        self._out.flush()
        self._drawn = False


def size_text(size: int) -> str:
    """A size for people: three digits and a unit."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"
