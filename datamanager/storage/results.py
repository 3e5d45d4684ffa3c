"""Results of enrichments, one document each: what makes them exactly one, what is searched, and what streams are fed from.

A worker writes a result once (`_id` names what it is of); a server process feeds it into the session's result stream, as
samples or as a record, and marks it. MongoDB holds the truth all the while (ADR 0017).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Result", "ResultStatus"]

ResultStatus = Literal["ok", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one model says of one frame, or of one window of a time_series stream.

    Attributes:
        of: what it is of, unique within its enrichment: a frame_id, or `{stream}@{end of the window in ns}`.
        enrichment: name of the rule.
        stream: the stream that was looked at; `output` the stream of results (`front/quality`).
        frame_id: record_id of the frame; empty for telemetry.
        t_ns: time of the frame, or end of the window.
        model, version: who says so.
        status: `skipped` and `failed` have a `reason` and no values.
        latency_ms: of the model, its share of the batch; `total_ms` from arrival to here.
        values: numbers and words by channel, flat (`sharpness`, `counts.car`); they become samples of a time_series.
        boxes: of a detector: {"box": [x1, y1, x2, y2], "score", "class"}; they become json records.
        vector: of an embedding: float32 of length 1.
        extra: further fields of the record.
    """

    of: str
    enrichment: str
    robot_id: str
    session_id: str
    stream: str
    output: str
    t_ns: int
    model: str
    version: str
    task: str
    frame_id: str = ""
    status: ResultStatus = "ok"
    reason: str = ""
    latency_ms: float = 0.0
    total_ms: float = 0.0
    values: dict[str, float | int | str] = field(default_factory=dict)
    boxes: list[dict[str, Any]] | None = None
    vector: npt.NDArray[np.float32] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`_id` of its document."""
        return f"{self.enrichment}/{self.of}"
