"""What is said of windows, as results that become samples of the streams `{stream}/windows`, `/anomaly`, `/predictions`, `/drift`."""

from collections.abc import Iterable
from typing import Any

from datamanager.inference.online.pipeline import Answer
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.results import Result

__all__ = ["plain_of", "result_of"]

Place = tuple[str, str, str]


def plain_of(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """What becomes results of these answers, for MessagePack."""
    return [
        {"end_ns": answer.end_ns, "part": part, "values": values}
        for answer in answers
        for part, values in answer.parts.items()
    ]


def result_of(plain: dict[str, Any], rule: Enrichment, place: Place, version: str) -> Result:
    """The result of one part of one window; the same window gives the same `of`, whoever says it."""
    robot_id, session_id, stream = place
    part = plain["part"]
    base = f"{stream}/{rule.output}" if rule.output else stream
    return Result(
        of=f"{robot_id}/{session_id}/{stream}@{plain['end_ns']}/{part}",
        enrichment=rule.name,
        robot_id=robot_id,
        session_id=session_id,
        stream=stream,
        output=f"{base}/{part}",
        t_ns=plain["end_ns"],
        model=rule.model or rule.name,
        version=version,
        task=part,  # what an event of it is named by; numbers, so that its stream is one of samples
        values=plain["values"],
        is_searched=part != "windows",
    )
