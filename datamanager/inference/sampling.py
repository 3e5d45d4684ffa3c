"""Which frames of a stream are looked at: at most so many a second, and fewer while the queues are behind."""

from collections.abc import Mapping
from dataclasses import dataclass

from datamanager.inference.shedding import IMPORTANCE

__all__ = ["AdaptiveRate", "FramePicker", "Lag", "ShedRate"]

_STEP_UP = 0.05  # of all frames, with each look at a queue that is not behind
_STEP_DOWN = 0.7  # times what it was, with each look at one that is
_SHED_UP, _LEAST_SHED_UP = 0.04, 0.005  # of what it was, with each look in which nothing of a rule was shed
_DEEPEST_CUT, _LEAST_CUT = 0.5, 0.95  # times what it was
_LEAST = 0.02  # so few are looked at in any case, or nobody would notice that things are better


@dataclass(frozen=True, slots=True)
class Lag:
    """How far one queue is behind.

    Attributes:
        waiting: how many frames wait.
        oldest_s: how long the oldest of them has waited, seconds.
    """

    waiting: int
    oldest_s: float


class AdaptiveRate:
    """The part of the frames that is looked at, by urgency: it falls by a factor while behind, and grows by steps after.

    A queue is behind when its oldest frame has waited longer than `target_s`, or more frames wait than `max_waiting`.
    Then the least important urgency that has frames waiting is cut first; what matters more is cut once that is at its
    least. They recover in the opposite order. Frames that must be done are not asked about here.

    Args:
        target_s: how long the oldest frame may wait, seconds.
        max_waiting: how many frames may wait in one queue.
    """

    def __init__(self, target_s: float, max_waiting: int) -> None:
        self._target_s = target_s
        self._max_waiting = max_waiting
        self._fraction = dict.fromkeys(sorted(IMPORTANCE, key=IMPORTANCE.__getitem__), 1.0)

    def fraction(self, urgency: str) -> float:
        """The part that is looked at, 0.02 to 1."""
        return self._fraction[urgency]

    def observe(self, lags: Mapping[str, Lag]) -> None:
        """Takes a look at the queues into account; call it at a steady pace, a few times a second.

        Args:
            lags: by urgency; one that is missing is empty.
        """
        behind = [urgency for urgency, lag in lags.items() if self._is_behind(lag)]
        if not behind:
            self._grow()
            return
        most = max(behind, key=IMPORTANCE.__getitem__)
        # What nobody asks for cannot make room: only queues in which something waits are cut before the one behind.
        cut = [u for u in self._fraction if IMPORTANCE[u] <= IMPORTANCE[most] and u in lags and lags[u].waiting > 0]
        for urgency in cut:
            if self._fraction[urgency] > _LEAST:
                self._fraction[urgency] = max(self._fraction[urgency] * _STEP_DOWN, _LEAST)
                return

    def _is_behind(self, lag: Lag) -> bool:
        return lag.waiting > 0 and (lag.oldest_s > self._target_s or lag.waiting > self._max_waiting)

    def _grow(self) -> None:
        for urgency in reversed(self._fraction):
            if self._fraction[urgency] < 1.0:
                self._fraction[urgency] = min(self._fraction[urgency] + _STEP_UP, 1.0)
                return


@dataclass(slots=True)
class _Pace:
    """How one rule stands.

    Attributes:
        fraction: the part that is looked at.
        shed, asked: the counts at the last look.
        is_shedding: whether something was shed before the last look, for the first time since a cut had its effect.
        waits: looks until the last cut has had its effect.
    """

    shed: int
    asked: int
    fraction: float = 1.0
    is_shedding: bool = False
    waits: int = 0


class ShedRate:
    """The part of its frames that each rule's models can keep up with, told by what workers shed.

    A worker takes what is queued and gives up what its models cannot do, so that none is in another one's way: then no
    queue is behind. It is better not to ask at all, evenly spread, than to shed what was asked.

    Of what is asked the part is cut that was shed in one whole look. What was asked before is shed for a while after:
    until then nothing is cut for the same cause again.

    Args:
        looks: how many looks it takes until what was asked before a cut is done or shed.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._paces: dict[str, _Pace] = {}

    def fraction(self, rule: str) -> float:
        """The part that is looked at, 0.02 to 1."""
        pace = self._paces.get(rule)
        return 1.0 if pace is None else pace.fraction

    def observe(self, shed: Mapping[str, int], asked: Mapping[str, int]) -> None:
        """Takes a look at the counts into account; call it at a steady pace, a few times a second.

        Args:
            shed: how many frames of each rule were shed so far, whoever asked. A count that fell has begun anew.
            asked: about how many of each rule this process has asked so far. Where others ask too, what was shed is a
                larger part of these than of all, and each of them cuts deeper, to half at most.
        """
        for rule in self._paces.keys() - shed.keys():
            self._paces[rule].shed = 0
            if self._paces[rule].fraction >= 1.0:  # it is well, or is no more
                del self._paces[rule]
        for rule in shed.keys() | self._paces.keys():
            counts = shed.get(rule, 0), asked.get(rule, 0)
            pace = self._paces.get(rule)
            if pace is None:  # of one that is new here nobody knows when it was shed
                self._paces[rule] = _Pace(*counts)
                continue
            more, of = counts[0] - pace.shed, counts[1] - pace.asked
            pace.shed, pace.asked = counts
            _observe(pace, more, of, self._looks)


def _observe(pace: _Pace, shed: int, asked: int, looks: int) -> None:
    if pace.waits:
        pace.waits -= 1
    elif shed > 0 and not pace.is_shedding:
        pace.is_shedding = True  # it began somewhere within this look: the next one is whole
    elif shed > 0 or pace.is_shedding:
        part = shed / asked if asked > 0 else 0.0
        pace.fraction = max(pace.fraction * min(max(1 - part, _DEEPEST_CUT), _LEAST_CUT), _LEAST)
        pace.is_shedding, pace.waits = False, looks
    else:
        pace.fraction = min(pace.fraction + max(_SHED_UP * pace.fraction, _LEAST_SHED_UP), 1.0)


class FramePicker:
    """Picks frames of one stream for one rule, so that those it keeps are spread evenly.

    Args:
        max_fps: most frames a second, by the frames' own times: in any span of T seconds at most `max_fps` * T + 2 (a frame
            may come a little early, so that a camera of just this rate loses none). 0: no limit.
    """

    def __init__(self, max_fps: float) -> None:
        self._interval_ns = 1e9 / max_fps if max_fps > 0 else 0.0
        self._due_ns: float | None = None
        self._newest_ns = 0
        self._credit = 0.5

    def is_due(self, t_ns: int) -> bool:
        """Whether `max_fps` lets this frame through; one that is older than the one before is let through as if it came then.

        Args:
            t_ns: time of the frame. A jump back by more than a minute begins anew.
        """
        if self._interval_ns == 0.0:
            return True
        if self._due_ns is None or t_ns < self._newest_ns - 60_000_000_000:
            self._newest_ns = t_ns
            self._due_ns = t_ns + self._interval_ns
            return True
        self._newest_ns = now_ns = max(t_ns, self._newest_ns)
        if now_ns < self._due_ns - self._interval_ns / 4:
            return False
        # The next is due an interval after this one was: times that jitter do not lower the rate. A pause is not made up for.
        self._due_ns = max(self._due_ns, now_ns - self._interval_ns / 2) + self._interval_ns
        return True

    def keeps(self, fraction: float) -> bool:
        """Whether this frame is among the `fraction` (0 to 1) that is looked at: every second one of 0.5, and so on."""
        self._credit += fraction
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
