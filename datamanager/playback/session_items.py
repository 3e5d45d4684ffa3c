"""Robots, sessions and streams as the API tells them, and what a reader may mark a session with."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from datamanager.playback.plain_json import plain
from datamanager.storage.mongo import Document
from datamanager.storage.session_totals import StreamTotals
from datamanager.storage.shed_counts import shed_of

__all__ = [
    "MAX_NOTES",
    "MAX_TAG",
    "MAX_TAGS",
    "RobotItem",
    "SessionItem",
    "SessionMarks",
    "SessionWithStats",
    "StreamItem",
    "StreamStats",
    "robot_item",
    "session_item",
    "session_with_stats",
    "stream_item",
]

MAX_TAGS = 64
MAX_TAG = 128
MAX_NOTES = 65_536

Tag = Annotated[str, Meta(min_length=1, max_length=MAX_TAG, pattern=r"^[^\x00-\x1f,]*$(?!\n)")]


class SessionMarks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reader may set on a session: what is not named stays as it is."""

    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)] | UnsetType = UNSET
    notes: Annotated[str, Meta(max_length=MAX_NOTES)] | UnsetType = UNSET

    def changes(self) -> dict[str, Any]:
        """The fields to set; each tag once, in the order they first came."""
        tags = {} if self.tags is UNSET else {"tags": list(dict.fromkeys(self.tags))}
        return tags if self.notes is UNSET else tags | {"notes": self.notes}


class RobotItem(msgspec.Struct, frozen=True, kw_only=True):
    """One robot; its data lie in [first_t_ns, last_t_ns]."""

    robot_id: str
    sessions: int
    recording: int
    first_t_ns: str | None
    last_t_ns: str | None


class SessionItem(msgspec.Struct, frozen=True, kw_only=True):
    """One session; its data lie in [first_t_ns, last_t_ns], Unix nanoseconds as text."""

    robot_id: str
    session_id: str
    status: str
    start_time: datetime | None
    end_time: datetime | None
    first_t_ns: str | None
    last_t_ns: str | None
    created_ns: str
    config: Any
    metadata: Any
    tags: list[str]
    notes: str
    flags: list[str]


class StreamStats(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream holds, over all producers: its messages, their samples and their size as they came."""

    records: int
    samples: int
    size_bytes: int
    first_t_ns: str | None
    last_t_ns: str | None


class SessionWithStats(SessionItem, frozen=True, kw_only=True):
    """One session by itself, with what each stream holds."""

    stats: dict[str, StreamStats]


class StreamItem(StreamStats, frozen=True, kw_only=True):
    """One stream. `channels` are those of a `time_series`, each with its name and type.

    `shed` says how many of its frames enrichments did not look at, by enrichment and reason.
    """

    stream: str
    kind: str
    channels: list[Any]
    metadata: Any
    created_ns: str
    shed: dict[str, dict[str, int]]


def robot_item(document: Document) -> RobotItem:
    """The item of one robot."""
    return RobotItem(
        robot_id=document["_id"],
        sessions=int(document["sessions"]),
        recording=int(document["recording"]),
        first_t_ns=_text(document["first_t_ns"]),
        last_t_ns=_text(document["last_t_ns"]),
    )


def session_item(document: Document) -> SessionItem:
    """The item of one session."""
    return SessionItem(**_session_fields(document))


def session_with_stats(document: Document, totals: dict[str, StreamTotals]) -> SessionWithStats:
    """The item of one session by itself."""
    stats = {stream: StreamStats(**_stats_fields(totals[stream])) for stream in sorted(totals)}
    return SessionWithStats(**_session_fields(document), stats=stats)


def stream_item(document: Document, totals: StreamTotals) -> StreamItem:
    """The item of one stream."""
    return StreamItem(
        **_stats_fields(totals),
        stream=document["stream"],
        kind=document["kind"],
        channels=plain(document.get("channels") or []),
        metadata=plain(document.get("metadata") or {}),
        created_ns=str(document["created_ns"]),
        shed=shed_of(document),
    )


def _session_fields(document: Document) -> dict[str, Any]:
    return {
        "robot_id": document["robot_id"],
        "session_id": document["session_id"],
        "status": document["status"],
        "start_time": document.get("start_time"),
        "end_time": document.get("end_time"),
        "first_t_ns": _text(document.get("first_t_ns")),
        "last_t_ns": _text(document.get("last_t_ns")),
        "created_ns": str(document["created_ns"]),
        "config": plain(document.get("config") or {}),
        "metadata": plain(document.get("metadata") or {}),
        "tags": document.get("tags") or [],
        "notes": document.get("notes") or "",
        "flags": document.get("flags") or [],
    }


def _stats_fields(totals: StreamTotals) -> dict[str, Any]:
    return {
        "records": int(totals.records),
        "samples": int(totals.samples),
        "size_bytes": int(totals.size_bytes),
        "first_t_ns": _text(totals.first_t_ns),
        "last_t_ns": _text(totals.last_t_ns),
    }


def _text(t_ns: int | None) -> str | None:
    return None if t_ns is None else str(t_ns)
