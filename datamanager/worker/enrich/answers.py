"""What a model said of a frame, as the result that is kept of it."""

from dataclasses import replace

from datamanager.inference.host import Box, FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.inference_job import InferenceJob
from datamanager.storage.results import Result, ResultStatus

__all__ = ["answered", "unanswered"]


def answered(
    job: InferenceJob,
    rule: Enrichment,
    output: str,
    manifest: Manifest,
    answer: FrameAnswer,
    *,
    latency_ms: float,
    now_ns: int,
) -> Result:
    """The result of a frame that was looked at; `failed` where its bytes are broken.

    Args:
        job: names the frame.
        rule: asked for it.
        output: the stream of the result.
        manifest: of the model that looked, which may be another one than the rule names.
        answer: what it said.
        latency_ms: its share of the batch's time.
        now_ns: the time now.
    """
    if answer.error is not None:
        return unanswered(job, output, manifest.task, "failed", answer.error, version=manifest.version, now_ns=now_ns)
    is_detector = manifest.task == "detect"
    return replace(
        _about(job, output, manifest.task, manifest.name, manifest.version),
        latency_ms=round(latency_ms, 3),
        total_ms=_total_ms(job, now_ns),
        values=dict(answer.values),
        boxes=[_box(box) for box in answer.boxes] if is_detector or answer.boxes else None,
        track=is_detector and bool(rule.options.get("track", manifest.detect.track)),
        vector=answer.vector,
        extra=dict(answer.extra) | ({"width": answer.width, "height": answer.height} if answer.width else {}),
    )


def unanswered(
    job: InferenceJob, output: str, task: str, status: ResultStatus, reason: str, *, version: str = "", now_ns: int
) -> Result:
    """The result of a frame that no model looked at, or could; `task` is what the stream `output` holds results of."""
    about = _about(job, output, task, job.model, version)
    return replace(about, status=status, reason=reason[:500], total_ms=_total_ms(job, now_ns))


def _about(job: InferenceJob, output: str, task: str, model: str, version: str) -> Result:
    return Result(
        of=job.frame_id,
        frame_id=job.frame_id,
        enrichment=job.enrichment,
        robot_id=job.robot_id,
        session_id=job.session_id,
        stream=job.stream,
        output=output,
        t_ns=job.t_ns,
        model=model,
        version=version,
        task=task,
    )


def _box(box: Box) -> dict[str, object]:
    return {
        "class": box.name,
        "class_id": box.class_id,
        "score": round(box.score, 4),
        "box": [round(side, 2) for side in box.box],
    }


def _total_ms(job: InferenceJob, now_ns: int) -> float:
    return round((now_ns - job.asked_ns) / 1e6, 3)
