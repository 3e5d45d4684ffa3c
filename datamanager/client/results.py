"""What models said, as the readers give it: typed, and read from the answers of the API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import httpx
import msgspec

from datamanager.client.asks import session_path

__all__ = [
    "Detection",
    "FrameRun",
    "ModelResult",
    "Order",
    "Scope",
    "SimilarFrame",
    "SimilarFrames",
    "duplicates_params",
    "frame_path",
    "frame_results_of",
    "result_of_item",
    "results_params",
    "results_place",
    "run_of_item",
    "similar_of",
    "similar_params",
]

Scope = Literal["session", "robot", "all"]
Order = Literal["asc", "desc"]
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """An object that a detector saw.

    Attributes:
        name: of its class.
        score: 0 to 1.
        box: x1, y1, x2, y2 in pixels of the upright picture.
        class_id: number of its class.
        track_id: stays with the object from frame to frame; None where it has none.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]
    class_id: int | None = None
    track_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """What one model said of one frame, or of one window of samples.

    Attributes:
        result_id: its own id.
        frame_id: the frame; None of samples.
        t_ns: Unix nanoseconds, of the frame or of the window's end.
        stream: what was looked at; `output` is the result stream.
        enrichment: the rule that asked for it.
        status: `ok`, or `skipped` and `failed` with a `reason`.
        latency_ms: of the model; `total_ms` from the frame's arrival to its result.
        values: numbers and words by name (`sharpness`, `counts.car`).
        detections: of a detector, the best first.
        extra: what else the model's task gives.
        urls: addresses of the frame's tiers; empty where there is no frame.
    """

    result_id: str
    robot_id: str
    session_id: str
    frame_id: str | None
    t_ns: int
    stream: str
    output: str
    enrichment: str
    task: str
    model: str
    version: str
    status: str
    reason: str
    latency_ms: float
    total_ms: float
    values: dict[str, float | int | str]
    detections: tuple[Detection, ...]
    extra: dict[str, Any]
    urls: dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarFrame:
    """A frame like another. `score` is the cosine similarity of their embeddings, -1 to 1."""

    frame_id: str
    score: float
    robot_id: str
    session_id: str
    stream: str
    t_ns: int
    urls: dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarFrames:
    """Frames like one, the most similar first.

    Attributes:
        model, version: whose embeddings were compared.
        looked_at: how many.
        is_cut: whether there are more, older ones, that were not.
    """

    frame_id: str
    model: str
    version: str
    looked_at: int
    is_cut: bool
    frames: tuple[SimilarFrame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRun:
    """Frames one after the other, from `frame_id` to `last_frame_id`, that are all like the first.

    Attributes:
        t_ns, t_end_ns: of the first and of the last, Unix nanoseconds.
        count: how many frames, both included.
        min_score: cosine similarity to the first of the one least like it.
    """

    frame_id: str
    last_frame_id: str
    t_ns: int
    t_end_ns: int
    count: int
    min_score: float


def results_params(
    stream: str | Sequence[str] | None,
    where: str | None,
    times: dict[str, Any],
    order: Order,
    page_limit: int | None,
) -> dict[str, Any]:
    """Filters of a list of results."""
    streams = [stream] if isinstance(stream, str) else stream
    asked = {"stream": streams, "where": where, "order": order, "limit": page_limit} | times
    return {name: value for name, value in asked.items() if value is not None}


def results_place(robot_id: str | None, session_id: str | None) -> tuple[str, dict[str, Any]]:
    """The address of a session's results; of those of all, and whose are meant, where either is None."""
    if robot_id is not None and session_id is not None:
        return f"{session_path(robot_id, session_id)}/results", {}
    place = {"robot_id": robot_id, "session_id": session_id}
    return "/results", {name: value for name, value in place.items() if value is not None}


def similar_params(
    scope: Scope, stream: str | Sequence[str] | None, min_score: float | None, limit: int
) -> dict[str, Any]:
    """How far to look for frames like one."""
    streams = [stream] if isinstance(stream, str) else stream
    asked = {"scope": scope, "stream": streams, "min_score": min_score, "limit": limit}
    return {name: value for name, value in asked.items() if value is not None}


def duplicates_params(
    stream: str, threshold: float | None, times: dict[str, Any], page_limit: int | None
) -> dict[str, Any]:
    """Which runs of like frames."""
    asked = {"stream": stream, "threshold": threshold, "limit": page_limit} | times
    return {name: value for name, value in asked.items() if value is not None}


def frame_path(frame_id: str, part: str) -> str:
    """The address of something of a frame."""
    return f"/frames/{quote(frame_id, safe='')}/{part}"


def result_of_item(item: dict[str, Any]) -> ModelResult:
    """One item of a list of results."""
    return ModelResult(
        result_id=item["result_id"],
        robot_id=item["robot_id"],
        session_id=item["session_id"],
        frame_id=item["frame_id"],
        t_ns=int(item["t_ns"]),
        stream=item["stream"],
        output=item["output"],
        enrichment=item["enrichment"],
        task=item["task"],
        model=item["model"],
        version=item["version"],
        status=item["status"],
        reason=item.get("reason") or "",
        latency_ms=item["latency_ms"],
        total_ms=item["total_ms"],
        values={name: _NOT_FINITE.get(value, value) for name, value in item["values"].items()},
        detections=tuple(_detection(found) for found in item.get("detections") or ()),
        extra=item.get("extra") or {},
        urls=item["urls"] or {},
    )


def frame_results_of(answer: httpx.Response) -> list[ModelResult]:
    """All results of a frame."""
    return [result_of_item(item) for item in msgspec.json.decode(answer.content)["items"]]


def similar_of(answer: httpx.Response) -> SimilarFrames:
    """Frames like one."""
    found = msgspec.json.decode(answer.content)
    frames = tuple(
        SimilarFrame(
            frame_id=item["frame_id"],
            score=item["score"],
            robot_id=item["robot_id"],
            session_id=item["session_id"],
            stream=item["stream"],
            t_ns=int(item["t_ns"]),
            urls=item["urls"],
        )
        for item in found["items"]
    )
    head = {name: found[name] for name in ("frame_id", "model", "version", "looked_at", "is_cut")}
    return SimilarFrames(**head, frames=frames)


def run_of_item(item: dict[str, Any]) -> FrameRun:
    """One run of like frames."""
    return FrameRun(
        frame_id=item["frame_id"],
        last_frame_id=item["last_frame_id"],
        t_ns=int(item["t_ns"]),
        t_end_ns=int(item["t_end_ns"]),
        count=item["count"],
        min_score=item["min_score"],
    )


def _detection(found: dict[str, Any]) -> Detection:
    x1, y1, x2, y2 = found["box"]
    return Detection(
        name=found["class"],
        score=found["score"],
        box=(x1, y1, x2, y2),
        class_id=found.get("class_id"),
        track_id=found.get("track_id"),
    )
