"""What waits for a model, and what is said of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import msgspec

__all__ = [
    "URGENCIES",
    "Added",
    "InferenceJob",
    "PreviousFrame",
    "QueueState",
    "ShedBy",
    "ShedCounter",
    "TakenInference",
    "Urgency",
]

Urgency = Literal["emergency", "high", "normal"]
URGENCIES: tuple[Urgency, ...] = get_args(Urgency)
ShedBy = Literal["age", "full", "rate", "lost"]
"""`age`: waited too long; `full`: the queue had no room; `rate`: not looked at, to catch up; `lost`: Redis did not take it."""


class PreviousFrame(msgspec.Struct, frozen=True, array_like=True):
    """The frame of the same stream that the same model was asked about before.

    Attributes:
        size_bytes: of its original; 0 where it was asked for before this was told.
    """

    frame_id: str
    key: str
    t_ns: int
    size_bytes: int = 0


class InferenceJob(msgspec.Struct, frozen=True, kw_only=True):
    """One frame for one enrichment.

    Attributes:
        enrichment: name of the rule that asks.
        model: name of the model that the rule names.
        frame_id: record_id of the frame.
        key: S3 key of its original.
        size_bytes: of its original; 0 where it was asked for before this was told.
        t_ns: its time.
        asked_ns: when ingest asked, by the wall clock: shedding and latencies count from here.
        must: whether it may never be shed.
        previous: for models that look at two.
    """

    enrichment: str
    model: str
    robot_id: str
    session_id: str
    stream: str
    frame_id: str
    key: str
    t_ns: int
    asked_ns: int
    urgency: Urgency = "normal"
    size_bytes: int = 0
    must: bool = False
    previous: PreviousFrame | None = None


@dataclass(frozen=True, slots=True)
class TakenInference:
    """A job that this consumer holds, until it is handed back by `done`, `shed` or `put_off`.

    Attributes:
        tries: how often it was tried and came to nothing: a worker died of it or with it, or it was put off as tried.
    """

    job: InferenceJob
    entry_id: bytes
    stream: Urgency
    tries: int = 0


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue.

    Attributes:
        waiting: jobs that nobody has taken.
        running: jobs that workers hold.
        oldest_s: how long the oldest waiting one has been in the queue, seconds; 0 where none waits.
    """

    waiting: int = 0
    running: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Added:
    """What became of jobs that were added.

    Attributes:
        queued: how many wait now.
        shed: how many were given up for want of room, of these or of those that waited before.
        deferred: how many must be done and have no room: they stay pending in MongoDB, where a sweep finds them.
    """

    queued: int = 0
    shed: int = 0
    deferred: int = 0


class ShedCounter(Protocol):
    """Who counts what is given up."""

    def count(self, jobs: Iterable[InferenceJob], by: ShedBy) -> None:
        """Counts jobs. Returns at once."""
