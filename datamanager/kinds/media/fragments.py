"""Fragments of MP4 files (ISO/IEC 14496-12, section 8.8): how many samples each has, and how long they last."""

from dataclasses import dataclass

from datamanager.kinds.media.boxes import Box, find_box, walk_boxes
from datamanager.kinds.media.window import Window

__all__ = ["Defaults", "Run", "read_defaults", "read_fragment"]

_MOST_RUNS = 64
_MOST_ENTRY_BYTES = 256 * 1024
_HAS_OFFSET, _HAS_FIRST_FLAGS = 0x1, 0x4
_HAS_DURATION, _HAS_SIZE, _HAS_FLAGS, _HAS_COMPOSITION = 0x100, 0x200, 0x400, 0x800
_BASE, _DESCRIPTION, _DEFAULT_DURATION = 0x1, 0x2, 0x8

Defaults = dict[int, int]
"""Number of a track to the ticks that its samples last where nothing else is said."""


@dataclass(slots=True)
class Run:
    """What a fragment holds of one track: when it begins, and for how long, in ticks of the track."""

    track: int
    start: int
    samples: int
    ticks: int


def read_defaults(window: Window, mvex: Box) -> Defaults:
    """What `mvex` says of tracks.

    Raises:
        Refused: `bad_payload`: a box in it is broken.
    """
    found: Defaults = {}
    for box in walk_boxes(window, mvex.start, mvex.end, 128):
        if box.kind == b"trex":
            data = window.take(box.start, 16, "the defaults of fragments")
            found[int.from_bytes(data[4:8])] = int.from_bytes(data[12:16])
    return found


def read_fragment(window: Window, moof: Box, defaults: Defaults) -> list[Run]:
    """What one `moof` holds, a run for each of its tracks.

    Raises:
        Refused: `bad_payload`: a box in it is broken.
    """
    trafs = [box for box in walk_boxes(window, moof.start, moof.end, 128) if box.kind == b"traf"]
    return [run for traf in trafs if (run := _read_traf(window, traf, defaults)) is not None]


def _read_traf(window: Window, traf: Box, defaults: Defaults) -> Run | None:
    header = find_box(window, traf, b"tfhd")
    if header is None:
        return None
    data = window.take(header.start, 8, "the header of a fragment")
    flags, number = int.from_bytes(data[1:4]), int.from_bytes(data[4:8])
    ticks = defaults.get(number, 0)
    if flags & _DEFAULT_DURATION:
        at = header.start + 8 + (8 if flags & _BASE else 0) + (4 if flags & _DESCRIPTION else 0)
        ticks = int.from_bytes(window.get(at, 4))
    run = Run(number, 0, 0, 0)
    for box in walk_boxes(window, traf.start, traf.end, _MOST_RUNS):
        if box.kind == b"tfdt":
            is_long = window.get(box.start, 1) == b"\1"
            run.start = int.from_bytes(window.get(box.start + 4, 8 if is_long else 4))
        if box.kind == b"trun":
            _add_run(window, box, run, ticks)
    return run


def _add_run(window: Window, box: Box, run: Run, default_ticks: int) -> None:
    head = window.take(box.start, 8, "a run of samples")
    flags, count = int.from_bytes(head[1:4]), int.from_bytes(head[4:8])
    at = box.start + 8 + (4 if flags & _HAS_OFFSET else 0) + (4 if flags & _HAS_FIRST_FLAGS else 0)
    columns = (_HAS_DURATION, _HAS_SIZE, _HAS_FLAGS, _HAS_COMPOSITION)
    width = 4 * sum(1 for column in columns if flags & column)
    if width:
        count = min(count, (box.end - at) // width)
    run.samples += count
    if not flags & _HAS_DURATION:
        run.ticks += count * default_ticks
        return
    data = window.get(at, min(count * width, _MOST_ENTRY_BYTES))
    run.ticks += sum(int.from_bytes(data[i : i + 4]) for i in range(0, len(data) - width + 1, width))
