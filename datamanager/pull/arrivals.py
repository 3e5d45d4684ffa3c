"""When pictures came: of those that come at once when a live source is opened, what they tell of its clock.

Some servers begin with what they sent last, back to a keyframe, and libav holds pictures back while it looks at what comes. So the
first ones come faster than they were taken. They wait here until they come as they are taken: from then on their
arrival tells when the earlier ones were.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from datamanager.pull.sources import Coded
from datamanager.pull.times import LiveTimes

__all__ = ["Arrived", "settled"]

_MOST = 600
_MOST_BYTES = 32 * 1024 * 1024
_MOST_WITHOUT = 4  # PTS: then there are none, as of MJPEG
_MOST_WAIT_NS = 10**9


@dataclass(frozen=True, slots=True)
class Arrived:
    """A picture that came.

    Attributes:
        ns: when, Unix nanoseconds.
        s: when, by a clock that never runs backwards.
    """

    coded: Coded
    ns: int
    s: float


def settled(pictures: Iterator[Coded], times: LiveTimes) -> Iterator[Arrived]:
    """The pictures of a live source, once its clock is known; sets it.

    Raises:
        Exception: whatever `pictures` raise, behind all that came.
    """
    held: list[Arrived] = []
    try:
        for coded in pictures:
            held.append(Arrived(coded, time.time_ns(), time.monotonic()))
            if _is_settled(held):
                break
    finally:
        # What came stays whole where the source breaks meanwhile.
        offsets = [arrived.ns - arrived.coded.pts_ns for arrived in held if arrived.coded.pts_ns is not None]
        if offsets:
            times.anchor(min(offsets))
        yield from _with_first(held)
    for coded in pictures:
        yield Arrived(coded, time.time_ns(), time.monotonic())


def _is_settled(held: list[Arrived]) -> bool:
    last = held[-1]
    if len(held) >= _MOST or last.ns - held[0].ns >= _MOST_WAIT_NS:
        return True
    if last.coded.pts_ns is None:
        return len(held) >= _MOST_WITHOUT
    if sum(len(arrived.coded.data) for arrived in held) >= _MOST_BYTES:
        return True
    before = held[-2] if len(held) > 1 else None
    if before is None or before.coded.pts_ns is None:
        return False
    taken_ns = last.coded.pts_ns - before.coded.pts_ns
    return taken_ns <= 0 or last.ns - before.ns >= taken_ns // 2


def _with_first(held: list[Arrived]) -> list[Arrived]:
    """RTSP's first picture has no PTS, as the clock is said with the second: it was taken as much earlier as that before the third."""
    known = [arrived.coded.pts_ns for arrived in held[:3]]
    first, second, third = (*known, None, None, None)[:3]
    if first is not None or second is None or third is None:
        return held
    coded = replace(held[0].coded, pts_ns=second - max(0, third - second))
    return [replace(held[0], coded=coded), *held[1:]]
