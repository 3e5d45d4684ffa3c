"""What is held on disk until it is acked: a log of all messages of one producer, in the order in which they came.

    write() ──▶ …│segment│segment│ active segment      read() follows behind when memory was full
                 ▲ removed once all in it is acked

Every message is written before it is sent. A process that is killed finds, at its next start, all that was written and
not acked, under the same producer and the same numbers. `store` and `sync` wait for the disk and may run in another
thread; all else belongs to one thread.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from datamanager.client.numbering import Numbering
from datamanager.client.outbox import Entry
from datamanager.client.segments import Record, encode_record, read_header, read_records, write_header
from datamanager.client.spool_state import FolderLock, SpoolState, boot_id, load_state, save_state

__all__ = ["Draft", "Spool", "Written"]

_SUFFIX = ".seg"
_LEAP = 1 << 20  # more messages than a crash of the machine can take back


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that is not numbered yet: its stream, its bytes, how many samples it bears."""

    stream: str
    body: bytes
    samples: int


@dataclass(slots=True)
class Written:
    """Messages on their way to the disk.

    Attributes:
        next_place: where the numbers stood before them: the header of a file that begins with them.
        begins: the file they begin; None when they go on in the active one.
        header_bytes: the size of that file's header, once it is written.
        size: the size of the file behind them, once they are written.
    """

    entries: list[Entry]
    data: bytes
    next_place: dict[str, int]
    begins: int | None
    header_bytes: int | None = None
    size: int = 0


class Spool:
    """One producer's messages on disk.

    Attributes:
        nbytes: size of all files.
        known: messages that were ever given an order here: the order of the next one.
        next_order: the order of the next one that `read` gives.
        behind: messages on disk that `read` has yet to give: those that memory had no room for.
        was_clean: whether it was new, or closed in order, before it was opened now.
        state: what outlives the process; `save` writes it.
    """

    def __init__(self, folder: Path, producer: str, numbering: Numbering, segment_bytes: int) -> None:
        """Opens the spool in a folder, or makes it.

        Raises:
            SpoolLocked: another process uses it.
            OSError: no room, no right.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder)
        self._folder = folder
        self._numbering = numbering
        self._segment_bytes = segment_bytes
        self._live: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self.known = 0
        self.next_order = 0
        self.nbytes = 0
        self.behind = 0
        self._fd = -1
        self._active = 0
        self._reader: Iterator[Record] = iter(())
        self._fds = threading.Lock()
        self._writing = threading.Lock()
        self._retired: list[int] = []
        self._dirty = False
        try:
            self.state = load_state(folder) or SpoolState(producer=producer)
            self._numbering.load(self.state.shifts)
            self._recover()
        except BaseException:
            self._lock.release()
            raise

    def number(self, drafts: Iterable[Draft]) -> Written:
        """Gives messages their places. `store` must follow, and then `commit` or `forget`."""
        full = self._sizes[self._active] >= self._segment_bytes
        before = dict(self._numbering.next_place)
        entries: list[Entry] = []
        pieces: list[bytes] = []
        for draft in drafts:
            place = self._numbering.take(draft.stream)
            entries.append(Entry(self.known, draft.stream, place, draft.body, draft.samples))
            pieces += encode_record(Record(draft.stream, place, draft.samples, draft.body))
            self.known += 1
        return Written(entries, b"".join(pieces), before, self._active + 1 if full else None)

    def store(self, written: Written) -> None:
        """Writes numbered messages, all or none. They outlive the process from here on, the machine after `sync`.

        Raises:
            OSError: no room; nothing was written.
        """
        with self._writing:
            self._store(written)

    def commit(self, written: Written, *, in_memory: bool) -> None:
        """What was stored counts from now on; `in_memory` says that `read` need not give it.

        Only what follows directly on messages that `read` gave, or need not give, can be in memory.
        """
        self._note_begun(written)
        self.nbytes += written.size - self._sizes[self._active]
        self._sizes[self._active] = written.size
        self._live[self._active] += len(written.entries)
        for entry in written.entries:
            entry.segment = self._active
        if in_memory:
            self.next_order = written.entries[-1].order + 1
            self._reader = iter(())
            self._read_segment, self._read_offset = self._active, self._sizes[self._active]
        else:
            self.behind += len(written.entries)

    def forget(self, written: Written) -> None:
        """Takes back the places of messages that could not be stored."""
        self._note_begun(written)
        self.known -= len(written.entries)
        self._numbering.next_place = written.next_place

    def read(self, max_bytes: int) -> list[Entry]:
        """The oldest messages that are on disk alone, at least one if there is any, else about `max_bytes`."""
        entries: list[Entry] = []
        while self.behind and max_bytes > 0:
            record = next(self._reader, None)
            if record is None:
                if not self._turn_page():
                    self.behind = 0  # spoilt on the disk since it was counted
                continue
            if record.place <= self._loaded_acked.get(record.stream, -1):
                continue
            maybe_sent = record.place < self._numbering.unsent.get(record.stream, 0)
            entry = Entry(self.next_order, record.stream, record.place, record.body, record.samples)
            entry.segment, entry.maybe_sent = self._read_segment, maybe_sent
            entries.append(entry)
            self.next_order += 1
            self.behind -= 1
            max_bytes -= len(record.body)
        return entries

    def release(self, entries: Iterable[Entry], *, acked: bool) -> None:
        """These need not be kept; `acked` says that neither need anything before them in their streams."""
        for entry in entries:
            if acked:
                self.state.acked[entry.stream] = max(entry.place, self.state.acked.get(entry.stream, -1))
            segment = entry.segment
            if segment is None or segment not in self._live:
                continue
            self._live[segment] -= 1
            if self._live[segment] <= 0 and segment != self._active:
                self._remove(segment)

    def sync(self) -> None:
        """Brings to the disk what was stored before.

        Raises:
            OSError: the disk says no.
        """
        with self._fds:
            if not self._dirty:
                return
            self._dirty = False
            retired, self._retired = self._retired, []
            for fd in retired:
                os.fsync(fd)
                os.close(fd)
            os.fsync(self._fd)

    def snapshot(self) -> SpoolState:
        """The state as of now, to be saved."""
        shifts = self._numbering.dump()
        return msgspec.structs.replace(self.state, acked=dict(self.state.acked), shifts=shifts)

    def save(self, state: SpoolState) -> None:
        """Writes a snapshot."""
        save_state(self._folder, state)

    def close(self, *, remove: bool = False) -> None:
        """Brings everything to the disk and lets others in; `remove` deletes it all, as nothing in it is needed."""
        try:
            if remove:
                shutil.rmtree(self._folder)
                with contextlib.suppress(OSError):  # other producers of the session still have theirs
                    self._folder.parent.rmdir()
            else:
                self.sync()
                self.state.clean = True
                self.save(self.snapshot())
        finally:
            with self._writing, self._fds:
                for fd in (*self._retired, self._fd):
                    os.close(fd)
                self._fd = -1  # a `store` that comes late fails, and writes into no one else's file
            self._lock.release()

    def _store(self, written: Written) -> None:
        if written.begins is not None:
            written.header_bytes = write_header(self._path(written.begins), written.next_place)
            with self._fds:
                self._retired.append(self._fd)
                self._fd = self._open(written.begins)
        size = os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, written.data)
        except OSError:
            with contextlib.suppress(OSError):  # a torn record that stays is passed over by who reads
                os.ftruncate(self._fd, size)
            raise
        written.size = os.fstat(self._fd).st_size
        self._dirty = True

    def _recover(self) -> None:
        """Counts what is there, and begins a new file behind it."""
        self._loaded_acked = dict(self.state.acked)
        numbers = sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())
        for number in numbers:
            self._count(number)
        if self.state.settled:
            self._numbering.mark_all_sent()
        self.was_clean = self.state.clean
        crashed = not self.state.clean and (not boot_id() or boot_id() != self.state.boot)
        if crashed:
            self._numbering.leap(_LEAP)
        self.known = self.behind
        self._begin(numbers[-1] + 1 if numbers else 1)
        self.state.boot, self.state.clean = boot_id(), False
        self.save(self.snapshot())
        self._read_segment, self._read_offset = (numbers or [self._active])[0], 0
        for number in numbers:
            if not self._live[number]:
                self._remove(number)

    def _count(self, number: int) -> None:
        data = self._path(number).read_bytes()
        header, offset = read_header(data) or (None, 0)
        next_place = self._numbering.next_place
        for stream, place in (header.next if header else {}).items():
            next_place[stream] = max(place, next_place.get(stream, 0))
        self._note(number, len(data))
        for record, _ in read_records(data, offset):
            next_place[record.stream] = max(record.place + 1, next_place.get(record.stream, 0))
            if record.place > self._loaded_acked.get(record.stream, -1):
                self._live[number] += 1
                self.behind += 1

    def _begin(self, number: int) -> None:
        self._note(number, write_header(self._path(number), self._numbering.next_place))
        self._fd = self._open(number)

    def _open(self, number: int) -> int:
        return os.open(self._path(number), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def _note_begun(self, written: Written) -> None:
        """A new file was begun: it is the active one, and the one before may go."""
        if written.begins is None or written.header_bytes is None:
            return
        before = self._active
        self._note(written.begins, written.header_bytes)
        if not self._live[before]:
            self._remove(before)

    def _note(self, number: int, size: int) -> None:
        self._active = number
        self._sizes[number] = size
        self._live[number] = 0
        self.nbytes += size

    def _turn_page(self) -> bool:
        """Reads on in the file that grew, or in the next one; False at the very end."""
        end = self._sizes.get(self._read_segment, 0)
        if self._read_offset >= end:
            later = [number for number in self._sizes if number > self._read_segment]
            if not later:
                return False
            self._read_segment, self._read_offset = min(later), 0
            end = self._sizes[self._read_segment]
        with self._path(self._read_segment).open("rb") as file:
            file.seek(self._read_offset)
            data = file.read(end - self._read_offset)
        header = read_header(data) if self._read_offset == 0 else None
        self._read_offset = end
        self._reader = (record for record, _ in read_records(data, header[1] if header else 0))
        return True

    def _remove(self, number: int) -> None:
        self._path(number).unlink(missing_ok=True)
        del self._live[number]
        self.nbytes -= self._sizes.pop(number)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}{_SUFFIX}"


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
