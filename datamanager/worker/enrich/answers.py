"""What a model said of a frame, as the result that is kept of it."""

from dataclasses import replace

from datamanager.inference.host import Box, FrameAnswer
from datamanager.inference.manifest import Manifest
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.inference_job import InferenceJob
from datamanager.storage.results import Result, ResultStatus

__all__ = ["answered", "unanswered"]


def answered(
    job: InferenceJob, rule: Enrichment, manifest: Manifest, answer: FrameAnswer, *, latency_ms: float, now_ns: int
) -> Result:
    """The result of a frame that was looked at; `failed` where its bytes are broken.

    Args:
        job: names the frame.
        rule: asked for it.
        manifest: of the model that looked, which may be another one than the rule names.
        answer: what it said.
        latency_ms: its share of the batch's time.
        now_ns: the time now.
    """
    if answer.error is not None:
        return unanswered(job, rule, manifest, "failed", answer.error, now_ns=now_ns)
    is_detector = manifest.task == "detect"
    return replace(
        _about(job, rule, manifest),
        latency_ms=round(latency_ms, 3),
        total_ms=_total_ms(job, now_ns),
        values=dict(answer.values),
        boxes=[_box(box) for box in answer.boxes] if is_detector or answer.boxes else None,
        track=is_detector and bool(rule.options.get("track", manifest.detect.track)),
        vector=answer.vector,
        extra=dict(answer.extra) | ({"width": answer.width, "height": answer.height} if answer.width else {}),
    )


def unanswered(
    job: InferenceJob, rule: Enrichment, manifest: Manifest | None, status: ResultStatus, reason: str, *, now_ns: int
) -> Result:
    """The result of a frame that no model looked at, or could."""
    about = _about(job, rule, manifest)
    return replace(about, status=status, reason=reason[:500], total_ms=_total_ms(job, now_ns))


def _about(job: InferenceJob, rule: Enrichment, manifest: Manifest | None) -> Result:
    output = rule.output or (manifest.stream if manifest is not None else rule.model)
    return Result(
        of=job.frame_id,
        frame_id=job.frame_id,
        enrichment=job.enrichment,
        robot_id=job.robot_id,
        session_id=job.session_id,
        stream=job.stream,
        output=f"{job.stream}/{output}",
        t_ns=job.t_ns,
        model=manifest.name if manifest is not None else rule.model,
        version=manifest.version if manifest is not None else "",
        task=manifest.task if manifest is not None else "raw",
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
