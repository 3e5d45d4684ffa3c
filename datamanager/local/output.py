"""Keeps what a child says: all of it in a bounded log file, its last lines in memory, its loud lines on the console."""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from datamanager.local.lines import LineFilter

__all__ = ["BoundedLog", "ChildOutput", "Report"]

Report = Callable[[str, str], None]
"""Says one thing to the person who watches: a child's name and a line."""

_LOG_BYTES = 8 * 1024 * 1024
_LONGEST_LINE = 64 * 1024
_SHOWN_LINE = 600


class BoundedLog:
    """A log file that moves to `.1` when it is full, so that two of them at most are on the disk."""

    def __init__(self, path: Path, most_bytes: int = _LOG_BYTES) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._most_bytes = most_bytes
        self._file = path.open("ab", buffering=0)

    def write(self, data: bytes) -> None:
        """Appends `data`.

        Raises:
            OSError: the disk is full, or worse.
        """
        if self._file.tell() + len(data) > self._most_bytes:
            self._file.close()
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._file = self.path.open("ab", buffering=0)
        self._file.write(data)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class ChildOutput:
    """The output of one child over all its lives."""

    def __init__(self, name: str, log: BoundedLog, lines: LineFilter, report: Report) -> None:
        self._name = name
        self._log = log
        self._lines = lines
        self._report = report
        self._log_works = True
        self._last: deque[str] = deque(maxlen=8)
        self._last_shown: deque[str] = deque(maxlen=8)

    @property
    def last_lines(self) -> list[str]:
        """The last that was worth showing, or else the last that was said."""
        return list(self._last_shown or self._last)

    async def pump(self, reader: asyncio.StreamReader) -> None:
        """Reads until the child closes its output. Never slower than the disk, so that the child never waits for us."""
        rest = b""
        while chunk := await reader.read(65536):
            self._keep(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._line(line)
        if rest:
            self._line(rest)

    def _keep(self, chunk: bytes) -> None:
        try:
            self._log.write(chunk)
            self._log_works = True
        except OSError as exc:
            if self._log_works:  # said once: the child goes on without its log
                self._report(self._name, f"cannot write {self._log.path}: {exc.strerror}")
            self._log_works = False

    def _line(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        if not line:
            return
        self._last.append(line[:_SHOWN_LINE])
        shown = self._lines(line)
        if shown is not None:
            self._last_shown.append(shown[:_SHOWN_LINE])
            self._report(self._name, shown[:_SHOWN_LINE])
