"""Watches the disk that everything is written to: what waits for it waits whoever wrote, and says nothing of the server."""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["DiskWatch", "watch_disk"]

_PAUSE_S = 0.01
_STALL_NS = 20_000_000  # a flush of one page takes a thirtieth of it here
_PAGE = os.urandom(4096)
_PAGES = 1000


@dataclass(slots=True)
class DiskWatch:
    """When a flush of one page took 20 ms or more.

    Attributes:
        stalls: begin and end of each, Unix nanoseconds, ascending.
    """

    stalls: list[tuple[int, int]] = field(default_factory=list)

    def stalled_s(self, spans: Sequence[tuple[int, int]]) -> float:
        """Seconds of stalls between the begin of the first and the end of the last of some spans."""
        first, last = min(begin for begin, _ in spans), max(end for _, end in spans)
        return sum(max(0, min(end, last) - max(begin, first)) for begin, end in self.stalls) / 1e9


@contextmanager
def watch_disk() -> Iterator[DiskWatch]:
    """Flushes one page of a file of its own a hundred times a second, on the disk that temporary files are on."""
    watch, stop = DiskWatch(), threading.Event()
    with tempfile.TemporaryFile(prefix="datamanager-disk-") as file:
        file.write(_PAGE * _PAGES)  # what is flushed later are pages, not the file's length
        os.fsync(file.fileno())
        thread = threading.Thread(target=_probe, args=(file.fileno(), watch, stop), daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            stop.set()
            thread.join()


def _probe(file: int, watch: DiskWatch, stop: threading.Event) -> None:
    page = 0
    while not stop.wait(_PAUSE_S):
        page = (page + 1) % _PAGES
        os.pwrite(file, _PAGE, page * len(_PAGE))
        began_ns = time.time_ns()
        os.fdatasync(file)
        ended_ns = time.time_ns()
        if ended_ns - began_ns >= _STALL_NS:
            watch.stalls.append((began_ns, ended_ns))
