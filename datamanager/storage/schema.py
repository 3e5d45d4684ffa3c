"""The declared schema: every collection and index there is. All migrations in order must give exactly this."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["SCHEMA", "CollectionSchema", "IndexSchema"]


@dataclass(frozen=True, slots=True)
class IndexSchema:
    """One index: its fields in order (1 ascending, -1 descending), and options as MongoDB names them."""

    fields: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name MongoDB gives it."""
        return "_".join(f"{name}_{direction}" for name, direction in self.fields)


@dataclass(frozen=True, slots=True)
class CollectionSchema:
    """One collection: its creation options and its indexes besides `_id`."""

    name: str
    indexes: tuple[IndexSchema, ...] = ()
    timeseries: dict[str, str] | None = None


def _index(*fields: str, **options: Any) -> IndexSchema:
    return IndexSchema(tuple((name, 1) for name in fields), options)


_SERIES = {"timeField": "t", "metaField": "m", "granularity": "seconds"}
# Ranges are read by stream and time; a ledger is rebuilt from what arrived since a generation.
_SERIES_INDEXES = (
    _index("m.robot_id", "m.session_id", "m.stream", "t"),
    _index("m.robot_id", "m.session_id", "m.generation"),
)
_PENDING = _index("derived.since_ns", partialFilterExpression={"derived.state": "pending"})
_RECORD_INDEXES = (
    _index("robot_id", "session_id", "stream", "t_ns", "_id"),
    _index("robot_id", "session_id", "t_ns", "_id"),
    _index("robot_id", "session_id", "producer", "generation"),
    _PENDING,
)
_SERIES_DUE = _index("series.due_ns", partialFilterExpression={"series.state": "pending"})
_REPLACES = _index("robot_id", "session_id", "stream", "t_ns", partialFilterExpression={"parameters.mode": "replace"})
_UNENRICHED = _index("enrich.since_ns", partialFilterExpression={"enrich.since_ns": {"$gt": 0}})

SCHEMA: tuple[CollectionSchema, ...] = (
    CollectionSchema(
        "sessions",
        (
            _index("robot_id", "session_id", unique=True),
            _index("created_ns", "_id"),
            _index("robot_id", "created_ns", "_id"),
            _index("tags"),
            _index("lod.at", partialFilterExpression={"lod.due": True}),
            _index("analysis.at", partialFilterExpression={"analysis.due": True}),
            _index("alerts.at", partialFilterExpression={"alerts.due": True}),
        ),
    ),
    CollectionSchema("streams", (_index("robot_id", "session_id", "stream", unique=True),)),
    CollectionSchema("ledgers", (_index("robot_id", "session_id", "producer", unique=True),)),
    CollectionSchema("telemetry", _SERIES_INDEXES, _SERIES),
    CollectionSchema("aggregations", _SERIES_INDEXES, _SERIES),
    CollectionSchema("floors", (_index("robot_id", "session_id"),)),
    CollectionSchema("lod", (_index("robot_id", "session_id", "stream", "level", "t_ns"),)),
    CollectionSchema("frames_metadata", (*_RECORD_INDEXES, _UNENRICHED)),
    CollectionSchema("records", (*_RECORD_INDEXES, _SERIES_DUE, _REPLACES)),
    CollectionSchema("segments", (_index("robot_id", "session_id", "stream", "start_ns"),)),
    CollectionSchema(
        "dead_letters",
        (_index("robot_id", "session_id", "arrived"), _index("arrived"), _index("expires", expireAfterSeconds=0)),
    ),
    CollectionSchema(
        "uploads",
        (
            _index("due_ns", partialFilterExpression={"due_ns": {"$exists": True}}),
            _index("forget", expireAfterSeconds=0),
        ),
    ),
    CollectionSchema(
        "results",
        (
            _index("at_ns", partialFilterExpression={"feed.state": "waiting"}),
            _index(
                *("robot_id", "session_id", "output", "feed.seq"),
                unique=True,
                partialFilterExpression={"feed.seq": {"$exists": True}},
            ),
            _index("robot_id", "session_id", "output", "t_ns", "_id"),
            _index("t_ns", "_id"),
            # Searched by name and value; then by whose embeddings, newest first.
            _index("facts.k", "facts.v", "robot_id", "session_id", "output", "t_ns"),
            _index(
                *("robot_id", "session_id", "model", "version", "at_ns"),
                partialFilterExpression={"vector": {"$exists": True}},
            ),
            _index(
                *("model", "version", "at_ns", "robot_id"),
                partialFilterExpression={"vector": {"$exists": True}},
            ),
            _index("frame_id", partialFilterExpression={"frame_id": {"$gt": ""}}),
        ),
    ),
    CollectionSchema("models"),
    CollectionSchema("enrichments"),
    CollectionSchema(
        "analytics",
        (
            _index("robot_id", "session_id"),
            _index("at_ns", partialFilterExpression={"unwritten": True}),
            _index("tail_ns", partialFilterExpression={"tail_ns": {"$gt": 0}}),
        ),
    ),
    CollectionSchema("analytics_rules"),
    CollectionSchema("retrainings", (_index("state", "asked_ns"),)),
    CollectionSchema("alert_rules"),
    CollectionSchema(
        "alert_states",
        (
            _index("robot_id", "session_id", "stream"),
            _index("rule", "phase", "heard_ns"),
            _index("phase", partialFilterExpression={"phase": "firing"}),
            _index("owed_ns", partialFilterExpression={"owed_ns": {"$gt": 0}}),
        ),
    ),
    CollectionSchema(
        "alerts",
        (
            _index("at_ns", "_id"),
            _index("robot_id", "session_id", "at_ns", "_id"),
            _index("state", "at_ns", "_id"),
            _index("outbox_due_ns", partialFilterExpression={"outbox_due_ns": {"$gt": 0}}),
        ),
    ),
    CollectionSchema("settings"),
    CollectionSchema("migrations"),
    CollectionSchema("thumbnails.files", (_index("filename", "uploadDate"),)),
    CollectionSchema("thumbnails.chunks", (_index("files_id", "n", unique=True),)),
)
