"""Results of models as workers write them, for tests that read them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.storage.mongo import Mongo
from datamanager.storage.results import Result

__all__ = ["box", "detections", "embedding", "put_results", "quality"]

NS = 1_000_000_000


async def put_results(mongo: Mongo, results: Iterable[Result], *, at_ns: int | None = None) -> list[str]:
    """Writes results as the worker does; their ids. `at_ns`: when, else at the time that they are of."""
    documents = [result.document(result.t_ns if at_ns is None else at_ns) for result in results]
    for document in documents:
        document["feed"] = {"state": "fed"}
    await mongo.durable("results").insert_many(documents)
    return [document["_id"] for document in documents]


def box(name: str, score: float, corners: Sequence[float] = (0, 0, 10, 10), **more: Any) -> dict[str, Any]:
    """A detected object; `track_id` may be among `more`."""
    return {"class": name, "class_id": len(name), "score": score, "box": list(corners), **more}


def quality(robot_id: str, session_id: str, frame_id: str, t_ns: int, **changes: Any) -> Result:
    """How good a frame is; keywords that are no field are values."""
    fields = {name: changes.pop(name) for name in list(changes) if name in Result.__dataclass_fields__}
    plain = _about(robot_id, session_id, frame_id, t_ns, "quality", "quality")
    return Result(**plain | {"values": {"sharpness": 120.0, "exposure": 0.5, **changes}} | fields)


def detections(
    robot_id: str, session_id: str, frame_id: str, t_ns: int, boxes: list[dict[str, Any]], **changes: Any
) -> Result:
    """What a detector saw."""
    counts: dict[str, float] = {}
    for found in boxes:
        counts[f"counts.{found['class']}"] = counts.get(f"counts.{found['class']}", 0.0) + 1
    plain = _about(robot_id, session_id, frame_id, t_ns, "detections", "detect")
    values = {"count": float(len(boxes)), **counts}
    extra = {"width": 640, "height": 480}
    return Result(**plain | {"values": values, "boxes": boxes, "extra": extra} | changes)


def embedding(
    robot_id: str, session_id: str, frame_id: str, t_ns: int, vector: npt.NDArray[Any], **changes: Any
) -> Result:
    """Where a frame lies among all."""
    plain = _about(robot_id, session_id, frame_id, t_ns, "embedding", "embed")
    return Result(**plain | {"vector": np.asarray(vector, np.float32)} | changes)


def _about(robot_id: str, session_id: str, frame_id: str, t_ns: int, output: str, task: str) -> dict[str, Any]:
    return {
        "of": frame_id,
        "frame_id": frame_id,
        "enrichment": output,
        "robot_id": robot_id,
        "session_id": session_id,
        "stream": "front",
        "output": f"front/{output}",
        "t_ns": t_ns,
        "model": f"{task}-model",
        "version": "1",
        "task": task,
        "latency_ms": 4.5,
        "total_ms": 20.25,
    }
