"""A circuit breaker: a model that keeps failing is left alone for a while, then tried with a little.

Failures are counted apart by what they were, since they mean different things: a CUDA error spoils the process, a hang
costs its whole timeout, an out-of-memory may pass with a smaller batch (`BatchPlanner.shrink`) and then does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from datamanager.clock import Clock
from datamanager.inference.host import Trouble

__all__ = ["THRESHOLDS", "TROUBLES", "Admission", "Breaker", "BreakerState", "BreakerStatus"]

BreakerState = Literal["closed", "open", "half_open"]
TROUBLES: tuple[Trouble, ...] = get_args(Trouble)

THRESHOLDS: Mapping[Trouble, int] = MappingProxyType({"cuda": 3, "memory": 3, "timeout": 2, "other": 5})
"""How many failures of a kind, with no success between them, open a breaker: the dearer they are the fewer."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave for one call, to be settled by `succeeded`, `failed` or `abandoned`, in every case.

    Attributes:
        is_probe: whether the model is on trial: a small batch is enough.
        epoch: in which of the breaker's states it was given, for those that are settled after it has changed.
    """

    is_probe: bool
    epoch: int


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """A breaker as people and metrics see it.

    Attributes:
        failures: by kind, since the last success.
        totals: by kind, since the start.
        opened: how often it opened.
        reopens_in_s: until the next probe; 0 where it is not open.
        last: kind of the last failure; empty where there was none.
    """

    state: BreakerState
    failures: Mapping[Trouble, int] = field(default_factory=dict)
    totals: Mapping[Trouble, int] = field(default_factory=dict)
    opened: int = 0
    reopens_in_s: float = 0.0
    last: str = ""


class Breaker:
    """The breaker of one model on one device. Nothing in it waits.

    Closed, every call is admitted. One kind of failure reached its threshold: it is open, and no call is admitted for
    `open_s`. Then it is half open: one call at a time is admitted, and so many good ones as `probes` says close it,
    while a bad one opens it again, for twice as long as before, up to `max_open_s`.

    Args:
        clock: tells when it may be tried again.
        thresholds: failures in a row that open it, by kind.
        open_s: how long it stays open the first time, seconds.
        max_open_s: the longest.
        probes: calls that must go well before it closes.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        thresholds: Mapping[Trouble, int] = THRESHOLDS,
        open_s: float = 1.0,
        max_open_s: float = 60.0,
        probes: int = 2,
    ) -> None:
        self._clock = clock
        self._thresholds = thresholds
        self._open_s = open_s
        self._max_open_s = max_open_s
        self._probes = probes
        self._failures: dict[Trouble, int] = dict.fromkeys(TROUBLES, 0)
        self._totals: dict[Trouble, int] = dict.fromkeys(TROUBLES, 0)
        self._state: BreakerState = "closed"
        self._epoch = 0
        self._until_s = 0.0
        self._next_open_s = open_s
        self._opened = 0
        self._good_probes = 0
        self._is_probing = False
        self._last = ""

    @property
    def state(self) -> BreakerState:
        """The state now: an open one becomes half open by time alone."""
        if self._state == "open" and self._clock.monotonic_s() >= self._until_s:
            self._enter("half_open")
        return self._state

    def admit(self) -> Admission | None:
        """Leave for a call; None when the model is to be left alone: use its fallback."""
        state = self.state
        if state == "closed":
            return Admission(is_probe=False, epoch=self._epoch)
        if state == "open" or self._is_probing:
            return None
        self._is_probing = True
        return Admission(is_probe=True, epoch=self._epoch)

    def succeeded(self, admission: Admission) -> None:
        """The call went well."""
        if admission.epoch != self._epoch:
            return  # it began before the breaker changed, and says nothing of now
        self._failures = dict.fromkeys(TROUBLES, 0)
        if admission.is_probe:
            self._is_probing = False
            self._good_probes += 1
            if self._good_probes >= self._probes:
                self._next_open_s = self._open_s
                self._enter("closed")

    def failed(self, admission: Admission, trouble: Trouble, *, excused: bool = False) -> BreakerState:
        """The call failed.

        Args:
            admission: of the call.
            trouble: as what it counts.
            excused: whether something was done about it, so that the next call may go well (a smaller batch): it is
                counted in the totals, and does not bring the breaker nearer to opening; a probe may be made again.

        Returns:
            The state that the breaker is in now.
        """
        self._totals[trouble] += 1
        self._last = trouble
        if admission.epoch == self._epoch:
            if admission.is_probe:
                self._is_probing = False
            if not excused:
                self._failures[trouble] += 1
                if admission.is_probe or self._failures[trouble] >= self._thresholds[trouble]:
                    self._open()
        return self.state

    def abandoned(self, admission: Admission) -> None:
        """The call came to no end that says anything of the model (it was cancelled, or nothing was called)."""
        if admission.epoch == self._epoch and admission.is_probe:
            self._is_probing = False

    def status(self) -> BreakerStatus:
        """What there is to be told."""
        state = self.state
        wait_s = max(0.0, self._until_s - self._clock.monotonic_s()) if state == "open" else 0.0
        return BreakerStatus(state, dict(self._failures), dict(self._totals), self._opened, wait_s, self._last)

    def _open(self) -> None:
        self._opened += 1
        self._until_s = self._clock.monotonic_s() + self._next_open_s
        self._next_open_s = min(2 * self._next_open_s, self._max_open_s)
        self._enter("open")

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._epoch += 1
        self._good_probes = 0
        self._is_probing = False
        if state == "closed":
            self._failures = dict.fromkeys(TROUBLES, 0)
