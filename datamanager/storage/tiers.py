"""What making tiers reads and writes in `frames_metadata`, and the job that asks for them.

`derived.state` of a frame: `none` (tiers are made when asked for), `pending` (a job is to make them; the truth behind
the queue), `done`, or `failed` with an `error` (they cannot be made).
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from datamanager.clock import Clock
from datamanager.storage.jobs import Job, Priority
from datamanager.storage.mongo import Document, Mongo, UpdateOne, translated

__all__ = ["TIERS_JOB", "DerivedState", "Frame", "FrameTiers", "MadeTier", "TierName", "tiers_job"]

TIERS_JOB = "tiers"
TierName = Literal["preview", "thumbnail"]
DerivedState = Literal["none", "pending", "done", "failed"]
_ALL_TIERS: tuple[TierName, ...] = get_args(TierName)
_MAX_ERROR_CHARS = 500

_FIELDS = (
    "robot_id session_id stream t_ns role format width height mode points bounds size_bytes mime_type "
    "keys thumbnail derived"
).split()


def tiers_job(frame_id: str, tiers: Sequence[TierName] = _ALL_TIERS, *, priority: Priority = "normal") -> Job:
    """The job of making tiers of one frame."""
    return Job(kind=TIERS_JOB, key=frame_id, args={"tiers": list(tiers)}, priority=priority)


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known about a frame that needs tiers.

    Attributes:
        fields: the document as stored, without the robot's own metadata.
    """

    frame_id: str
    fields: Document

    @property
    def original_key(self) -> str:
        """The S3 key of its exact bytes."""
        return str(self.fields["keys"]["original"])

    @property
    def state(self) -> DerivedState:
        """The state of its tiers."""
        state: DerivedState = self.fields.get("derived", {}).get("state", "none")
        return state

    def lacks(self, tiers: Iterable[str]) -> list[TierName]:
        """Those of `tiers` that it does not have."""
        there = {"thumbnail": self.fields.get("thumbnail", False), "preview": "preview" in self.fields["keys"]}
        return [tier for tier in _ALL_TIERS if tier in tiers and not there[tier]]


@dataclass(frozen=True, slots=True)
class MadeTier:
    """What came of one frame: tiers that are stored by now, or why there are none.

    Attributes:
        preview_key: the S3 key of a new preview.
        thumbnail: whether a new thumbnail is in GridFS.
        error: why its tiers cannot be made; None when they were.
    """

    frame_id: str
    preview_key: str | None = None
    thumbnail: bool = False
    error: str | None = None


class FrameTiers:
    """The tiers' side of `frames_metadata`. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._frames = mongo.durable("frames_metadata")
        self._clock = clock

    async def fetch(self, frame_ids: Sequence[str]) -> dict[str, Frame]:
        """The frames that are there, by id."""
        if not frame_ids:
            return {}
        projection = dict.fromkeys(_FIELDS, 1)
        with translated():
            found = self._frames.find({"_id": {"$in": list(frame_ids)}}, projection)
            return {d["_id"]: Frame(d["_id"], d) async for d in found}

    async def record(self, made: Sequence[MadeTier]) -> None:
        """Writes down, durably and in one round trip, what came of some frames. One deleted meanwhile is left out."""
        if not made:
            return
        now_ns = self._clock.now_ns()
        with translated():
            await self._frames.bulk_write([_update(m, now_ns) for m in made], ordered=False)

    async def ask(self, frame_ids: Sequence[str]) -> None:
        """Marks frames whose state is `none` as pending, so that a sweep sees to them when no job can be queued."""
        if not frame_ids:
            return
        derived = {"state": "pending", "since_ns": self._clock.now_ns()}
        with translated():
            await self._frames.update_many(
                {"_id": {"$in": list(frame_ids)}, "derived.state": "none"}, {"$set": {"derived": derived}}
            )

    async def pending(self, older_than_s: float, page: int = 500) -> AsyncIterator[list[str]]:
        """The ids of frames that are pending for longer than `older_than_s`, the oldest first, in pages."""
        until_ns = self._clock.now_ns() - int(older_than_s * 1e9)
        wanted = {
            "derived.state": "pending",
            "derived.since_ns": {"$lte": until_ns},
            "derived.wants": {"$exists": False},  # sound and video, which say which jobs they want
        }
        ids: list[str] = []
        with translated():
            async for document in self._frames.find(wanted, {"_id": 1}).sort("derived.since_ns", 1).batch_size(page):
                ids.append(document["_id"])
                if len(ids) == page:
                    yield ids
                    ids = []
        if ids:
            yield ids


def _update(made: MadeTier, now_ns: int) -> UpdateOne:
    fields: dict[str, Any] = {}
    if made.error is None:
        fields["derived"] = {"state": "done", "since_ns": now_ns}
    else:
        fields["derived"] = {"state": "failed", "since_ns": now_ns, "error": made.error[:_MAX_ERROR_CHARS]}
    if made.preview_key is not None:
        fields["keys.preview"] = made.preview_key
    if made.thumbnail:
        fields["thumbnail"] = True
    return UpdateOne({"_id": made.frame_id}, {"$set": fields})
