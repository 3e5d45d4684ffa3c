"""Which of the waiting frames are given up: the least important first, of these the oldest first, and never one that must be done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Literal, Protocol, TypeVar

__all__ = ["IMPORTANCE", "ShedReason", "Sheddable", "Shedding", "choose_shed"]

ShedReason = Literal["age", "full"]

IMPORTANCE: Mapping[str, int] = MappingProxyType({"normal": 0, "high": 1, "emergency": 2})
"""How much a frame matters, by urgency: what matters less is given up before what matters more."""


class Sheddable(Protocol):
    """What waits, as far as shedding is concerned."""

    @property
    def urgency(self) -> str:
        """One of `IMPORTANCE`."""

    @property
    def must(self) -> bool:
        """Whether it may never be shed."""

    @property
    def asked_ns(self) -> int:
        """Since when it waits, Unix nanoseconds."""


J = TypeVar("J", bound=Sheddable)


@dataclass(frozen=True, slots=True)
class Shedding(Generic[J]):
    """What was decided.

    Attributes:
        kept: in the order in which they came.
        shed: what is given up and why, in the order in which it is.
    """

    kept: list[J] = field(default_factory=list)
    shed: list[tuple[J, ShedReason]] = field(default_factory=list)


def choose_shed(
    waiting: Sequence[J], now_ns: int, *, max_age_s: float = float("inf"), room: int | None = None
) -> Shedding[J]:
    """Decides what to give up of what waits.

    Args:
        waiting: in the order in which they came.
        now_ns: the wall clock.
        max_age_s: who waited longer than this is given up.
        room: how many may be kept, those that must be done included; these are kept even where they are more. None:
            as many as there are.
    """
    order = sorted(range(len(waiting)), key=lambda i: (IMPORTANCE[waiting[i].urgency], waiting[i].asked_ns, i))
    may = [i for i in order if not waiting[i].must]
    # A difference is exact: of the time itself a float64 keeps only steps of 256 ns.
    shed: dict[int, ShedReason] = {i: "age" for i in may if now_ns - waiting[i].asked_ns > max_age_s * 1e9}
    if room is not None:
        for i in may:
            if len(waiting) - len(shed) <= room:
                break
            shed.setdefault(i, "full")
    kept = [job for i, job in enumerate(waiting) if i not in shed]
    return Shedding(kept, [(waiting[i], shed[i]) for i in order if i in shed])
