"""Asking for a rule of telemetry to be learned anew from a stored range, and telling what became of it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from datamanager.errors import NotFound, RedisUnavailable, Refused
from datamanager.inference.online.spec import OnlineSpec, read_spec
from datamanager.kinds.names import check_id, check_stream
from datamanager.playback.params import parse_time_ns
from datamanager.storage.analytics import Analyses, retrain_job
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.jobs import JobQueue
from datamanager.storage.mongo import Document
from datamanager.storage.sessions import Streams

__all__ = ["NewRetraining", "Retraining", "Retrainings"]

Time = Annotated[str, Meta(min_length=1, max_length=64)] | int | float


class NewRetraining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stored range to learn from.

    Attributes:
        robot_id, session_id, stream: whose samples.
        start, end: half-open; RFC 3339, seconds or nanoseconds.
    """

    robot_id: str
    session_id: str
    stream: str
    start: Time
    end: Time


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it.

    Attributes:
        state: `failed` says why in `error`.
        path: where to ask again.
        version: of what the rule begins with since; 0 until then.
        samples, windows: how many were learned from.
    """

    id: str
    model: str
    state: Literal["pending", "done", "failed"]
    path: str
    version: int = 0
    samples: int = 0
    windows: int = 0
    error: str = ""


class Retrainings:
    """Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, analyses: Analyses, enrichments: Enrichments, streams: Streams, queue: JobQueue) -> None:
        self._analyses = analyses
        self._enrichments = enrichments
        self._streams = streams
        self._queue = queue

    async def ask(self, name: str, new: NewRetraining) -> Retraining:
        """Has the online model of the rule of this name learned anew.

        Raises:
            NotFound: there is no such rule or stream.
            Refused: `bad_id`, `bad_time`, `kind_mismatch` or `bad_payload`: the rule is not one of telemetry, or the stream
                lacks what it needs.
        """
        place = (check_id(new.robot_id, "robot_id"), check_id(new.session_id, "session_id"), check_stream(new.stream))
        start_ns, end_ns = (_time_ns(value, field) for field, value in (("start", new.start), ("end", new.end)))
        if start_ns >= end_ns:
            raise Refused("bad_time", "the range is empty: start must be before end")
        try:
            rule = await self._enrichments.get(name)
        except NotFound as exc:
            raise NotFound(
                f"there is no online model {name[:80]!r}: it is the name of a rule of kind time_series"
            ) from exc
        if rule.kind != "time_series":
            raise Refused("kind_mismatch", f"the rule {name!r} looks at {rule.kind}, and learns nothing from samples")
        stream = await self._streams.get(*place)
        if stream is None:
            raise NotFound(f"session {place[0]}/{place[1]} has no stream {place[2]!r}")
        _check(stream, read_spec(rule.options))
        made = await self._analyses.ask(name, place, start_ns, end_ns)
        try:
            await self._queue.enqueue([retrain_job(made["_id"])])
        except RedisUnavailable:
            return _said(made)  # a sweep finds it once Redis is back
        return _said(made)

    async def get(self, name: str, retraining_id: str) -> Retraining:
        """What became of it.

        Raises:
            NotFound: there is none.
        """
        found = await self._analyses.retraining(retraining_id)
        if found["rule"] != name:
            raise NotFound(f"there is no retraining {retraining_id[:80]!r} of {name[:80]!r}")
        return _said(found)


def _time_ns(value: str | float, field: str) -> int:
    return parse_time_ns(str(value), field)


def _check(stream: Document, spec: OnlineSpec) -> None:
    """Refuses a stream that the spec can learn nothing from."""
    if stream["kind"] != "time_series":
        raise Refused("kind_mismatch", f"stream {stream['stream']!r} is of kind {stream['kind']}, which has no samples")
    types = {c["name"]: c["type"] for c in stream["channels"]}
    numbers = [name for name, kind in types.items() if kind not in ("string", "null")]
    if not any(spec.wants(name) for name in numbers):
        raise Refused(
            "bad_payload", f"stream {stream['stream']!r} has no channel with numbers that the rule's channels name"
        )
    if spec.learn is not None:
        target = spec.learn.target
        if target not in types:
            raise Refused(
                "bad_payload", f"stream {stream['stream']!r} has no channel {target!r}, which is to be learned"
            )
        if spec.learn.task == "regress" and target not in numbers:
            raise Refused("bad_payload", f"channel {target!r} has no numbers: only classify learns words")


def _said(document: Document) -> Retraining:
    name, retraining_id = document["rule"], document["_id"]
    return Retraining(
        id=retraining_id,
        model=name,
        state=document["state"],
        path=f"/api/v1/models/{name}/retrain/{retraining_id}",
        version=document.get("version", 0),
        samples=document.get("samples", 0),
        windows=document.get("windows", 0),
        error=document.get("error", ""),
    )
