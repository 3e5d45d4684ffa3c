"""One tier of one frame: its bytes, where they are, or that they are being made."""

from dataclasses import dataclass
from hashlib import blake2b

from datamanager.errors import DatamanagerError, NotFound
from datamanager.kinds.media.jobs import THUMBNAILS_JOB
from datamanager.playback.derived import DerivedReader, StillPending
from datamanager.playback.record_items import RecordItems, Tier
from datamanager.storage.mongo import Document
from datamanager.storage.record_queries import RecordQueries
from datamanager.storage.thumbnails import Thumbnails
from datamanager.storage.tier_requests import TierRequests

__all__ = ["FrameTierReader", "TierBytes", "TierElsewhere", "TierImpossible", "TierPending"]


@dataclass(frozen=True, slots=True)
class TierBytes:
    """The tier itself."""

    data: bytes
    content_type: str

    @property
    def etag(self) -> str:
        """An entity tag that names these bytes, quoted (RFC 9110 section 8.8.3)."""
        return f'"{blake2b(self.data, digest_size=16).hexdigest()}"'


@dataclass(frozen=True, slots=True)
class TierElsewhere:
    """A URL that gives the tier to whoever has it."""

    url: str


@dataclass(frozen=True, slots=True)
class TierPending:
    """The tier is being made: asking again in `retry_after_s` may find it."""

    retry_after_s: int


class TierImpossible(DatamanagerError):
    """A tier of a frame cannot be made; the detail says why."""

    code = "tier_impossible"
    http_status = 422
    close_code = 1008


class FrameTierReader:
    """Answers `/frames/{frame_id}/{tier}`.

    Args:
        records: finds frames.
        thumbnails: holds thumbnails.
        items: makes the URLs of originals and previews.
        requests: have a missing tier made.
        derived: have the thumbnails of a video made.
        wait_s: how long a request waits for that.
    """

    def __init__(
        self,
        records: RecordQueries,
        thumbnails: Thumbnails,
        items: RecordItems,
        requests: TierRequests,
        derived: DerivedReader,
        *,
        wait_s: float,
    ) -> None:
        self._records = records
        self._thumbnails = thumbnails
        self._items = items
        self._requests = requests
        self._derived = derived
        self._wait_s = wait_s

    async def open(self, frame_id: str, tier: Tier) -> TierBytes | TierElsewhere | TierPending:
        """One tier of one frame, made when it is missing.

        Raises:
            NotFound: there is no such frame, or its bytes are gone.
            TierImpossible: the tier cannot be made of this frame.
        """
        frame = await self._records.frame(frame_id)
        found = await self._find(frame, tier)
        if found is not None:
            return found
        if tier == "original":
            raise NotFound(f"the bytes of frame {frame_id!r} are not here any more")
        if frame["kind"] == "video":
            return await self._open_video(frame, tier)
        _refuse_impossible(frame, tier)
        made = await self._requests.wait(frame_id, [tier], self._wait_s)
        if made is None:
            raise NotFound(f"frame {frame_id!r} was deleted meanwhile")
        found = await self._find(made.fields, tier)
        if found is None:
            _refuse_impossible(made.fields, tier)
        return found or TierPending(1)

    async def _open_video(self, video: Document, tier: Tier) -> TierBytes | TierElsewhere | TierPending:
        if tier == "preview":
            raise TierImpossible("the preview of a video is a playlist: /sessions/…/playlist.m3u8")
        found = await self._derived.open(video["_id"], "video", THUMBNAILS_JOB)
        if isinstance(found, StillPending):
            return TierPending(found.retry_after_s)
        return await self._find(found, tier) or TierPending(1)

    async def _find(self, frame: Document, tier: Tier) -> TierBytes | TierElsewhere | None:
        if tier == "thumbnail":
            thumbnail = await self._thumbnails.get(frame["_id"]) if frame.get("thumbnail") else None
            return None if thumbnail is None else TierBytes(*thumbnail)
        url = self._items.presigned(frame, tier)
        return None if url is None else TierElsewhere(url)


def _refuse_impossible(frame: Document, tier: Tier) -> None:
    derived = frame.get("derived") or {}
    if derived.get("state") == "failed":
        raise TierImpossible(f"no {tier} can be made of frame {frame['_id']!r}: {derived.get('error')}")
