"""What waits for a model: Redis Streams by priority, one consumer group. A to-do list and never the truth."""

from typing import Literal, get_args

import msgspec

__all__ = ["URGENCIES", "InferenceJob", "PreviousFrame", "Urgency"]

Urgency = Literal["emergency", "high", "normal"]
URGENCIES: tuple[Urgency, ...] = get_args(Urgency)


class PreviousFrame(msgspec.Struct, frozen=True, array_like=True):
    """The frame of the same stream that the same model was asked about before."""

    frame_id: str
    key: str
    t_ns: int


class InferenceJob(msgspec.Struct, frozen=True, kw_only=True):
    """One frame for one enrichment.

    Attributes:
        enrichment: name of the rule that asks.
        model: name of the model that the rule names.
        frame_id: record_id of the frame.
        key: S3 key of its original.
        t_ns: its time.
        asked_ns: when ingest asked, by the wall clock: shedding and latencies count from here.
        must: whether it may never be shed.
        previous: for models that look at two.
        tries: how often its model failed on it.
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
    must: bool = False
    previous: PreviousFrame | None = None
    tries: int = 0
