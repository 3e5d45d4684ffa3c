"""An alert rule held against samples: no I/O, and no clock but the samples' own.

What counts, in words. Samples are taken in ascending time; one that is not newer than all that were judged before (it
came late, or has the time of another one) is not judged. A missing value and a NaN say nothing, neither this nor that. A
rule begins to hold with the first value that breaks its limit; it fires with the first one that, `for_s` later or
more, still does, if all between did; it clears with the first one that is back behind the limit by its hysteresis. Of
`absent` only the end is told here: any value clears it.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datamanager.kinds.names import MAX_T_NS
from datamanager.storage.alert_rules import AlertRule
from datamanager.storage.alert_states import Phase

__all__ = ["Turn", "Watch", "evaluate"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Watch:
    """How a rule stands with one stream.

    Attributes:
        phase: `pending` while the limit is broken, and not yet for long enough.
        since_ns: when it was broken first; while `ok` nothing.
        last_ns: time of the newest value that was judged; -1 before the first.
    """

    phase: Phase = "ok"
    since_ns: int = 0
    last_ns: int = -1


@dataclass(frozen=True, slots=True)
class Turn:
    """A rule fired or cleared.

    Attributes:
        t_ns: time of the value that made it so.
        value: that value; None where there was none.
        since_ns: when the limit was broken first.
    """

    state: Literal["fired", "cleared"]
    t_ns: int
    value: float | None
    since_ns: int


def evaluate(rule: AlertRule, watch: Watch, t_ns: Ints, values: Floats, most: int) -> tuple[Watch, list[Turn]]:
    """Holds a rule against samples.

    Args:
        rule: the rule.
        watch: how it stood before.
        t_ns: times of the samples, in any order; of equal ones the first counts.
        values: float64, of the same length; NaN: none.
        most: with this many turns it stops at the last one; given the same samples again it goes on behind it.

    Returns:
        How it stands now, and the turns in their order.
    """
    t_ns, values = _judged(watch.last_ns, t_ns, values)
    if not len(t_ns):
        return watch, []
    breaks, is_back = _compared(rule, values)
    turns: list[Turn] = []
    at = 0
    # Where things change, so that each step looks up the next change and no sample between.
    broken, unbroken, back = np.flatnonzero(breaks), np.flatnonzero(~breaks), np.flatnonzero(is_back)
    while at < len(t_ns) and len(turns) < most:
        if watch.phase == "firing":
            at = _next(back, at, len(t_ns))
            if at < len(t_ns):
                turns.append(Turn("cleared", int(t_ns[at]), float(values[at]), watch.since_ns))
                watch = replace(watch, phase="ok", since_ns=0)
                at += 1
            continue
        if watch.phase == "ok":
            at = _next(broken, at, len(t_ns))
            if at == len(t_ns):
                break
            watch = replace(watch, phase="pending", since_ns=int(t_ns[at]))
        due = int(np.searchsorted(t_ns, min(watch.since_ns + rule.for_ns, MAX_T_NS)))
        whole = _next(unbroken, at, len(t_ns))
        due = max(due, at)
        if due < whole:
            turns.append(Turn("fired", int(t_ns[due]), float(values[due]), watch.since_ns))
            watch = replace(watch, phase="firing")
            at = due + 1
        elif whole < len(t_ns):
            watch = replace(watch, phase="ok", since_ns=0)
            at = whole
        else:
            break
    is_whole = len(turns) < most
    return replace(watch, last_ns=int(t_ns[-1]) if is_whole else turns[-1].t_ns), turns


def _judged(last_ns: int, t_ns: Ints, values: Floats) -> tuple[Ints, Floats]:
    """What is judged of samples: values, newer than the last one, in ascending time, one for each time."""
    keep = ~np.isnan(values) & (t_ns > last_ns)
    t_ns, values = t_ns[keep], values[keep]
    if len(t_ns) > 1:
        if (t_ns[1:] < t_ns[:-1]).any():
            order = np.argsort(t_ns, kind="stable")
            t_ns, values = t_ns[order], values[order]
        first = np.append(True, t_ns[1:] > t_ns[:-1])
        t_ns, values = t_ns[first], values[first]
    return t_ns, values


def _compared(rule: AlertRule, values: Floats) -> tuple[Bools, Bools]:  # noqa: PLR0911  # one an op
    """Which values break the limit, and which are back behind it."""
    back = rule.hysteresis
    limit: Any = rule.threshold
    match rule.op:
        case ">":
            return values > limit, values <= limit - back
        case ">=":
            return values >= limit, values < limit - back
        case "<":
            return values < limit, values >= limit + back
        case "<=":
            return values <= limit, values > limit + back
        case "==":
            return values == limit, values != limit
        case "!=":
            return values != limit, values == limit
        case "outside":
            low: Any = rule.low
            high: Any = rule.high
            return (values < low) | (values > high), (values >= low + back) & (values <= high - back)
        case "absent":
            return np.zeros(len(values), bool), np.ones(len(values), bool)


def _next(places: npt.NDArray[np.intp], at: int, end: int) -> int:
    """The first of ascending places that is not before `at`; `end` where there is none."""
    found = int(np.searchsorted(places, at))
    return int(places[found]) if found < len(places) else end
