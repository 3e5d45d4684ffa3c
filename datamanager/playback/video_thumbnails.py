"""The small pictures of a video's keyframes: a list with addresses, and each."""

import msgspec

from datamanager.errors import NotFound
from datamanager.kinds.media.jobs import THUMBNAILS_JOB
from datamanager.playback.derived import DerivedReader, StillPending
from datamanager.playback.frame_tiers import TierBytes
from datamanager.playback.plain_json import timestamp_s
from datamanager.storage.keys import video_thumbnail_id
from datamanager.storage.thumbnails import Thumbnails

__all__ = ["VideoThumbnail", "VideoThumbnailReader", "VideoThumbnails"]


class VideoThumbnail(msgspec.Struct, frozen=True, kw_only=True):
    """One small picture.

    Attributes:
        t_ns: when it was recorded: Unix nanoseconds, as text.
        timestamp: the same in seconds.
        offset_s: seconds from the video's beginning.
        url: where it is.
    """

    t_ns: str
    timestamp: float
    offset_s: float
    url: str


class VideoThumbnails(msgspec.Struct, frozen=True, kw_only=True):
    """The small pictures of one video, ascending in time."""

    record_id: str
    items: list[VideoThumbnail]


class VideoThumbnailReader:
    """Answers `/records/{record_id}/thumbnails`."""

    def __init__(self, derived: DerivedReader, thumbnails: Thumbnails) -> None:
        self._derived = derived
        self._thumbnails = thumbnails

    async def all(self, record_id: str) -> VideoThumbnails | StillPending:
        """The small pictures of a video.

        Raises:
            NotFound: there is no such record.
            Refused: it is no video.
            NotDerivable: it cannot be decoded.
        """
        found = await self._derived.open(record_id, "video", THUMBNAILS_JOB)
        if isinstance(found, StillPending):
            return found
        items = []
        for number, small in enumerate(found["thumbnails"]):
            t_ns = min(found["t_ns"] + small["offset_ns"], 2**63 - 1)
            items.append(
                VideoThumbnail(
                    t_ns=str(t_ns),
                    timestamp=timestamp_s(t_ns),
                    offset_s=small["offset_ns"] / 1e9,
                    url=f"/api/v1/records/{record_id}/thumbnails/{number}",
                )
            )
        return VideoThumbnails(record_id=record_id, items=items)

    async def one(self, record_id: str, number: int) -> TierBytes:
        """One of them.

        Raises:
            NotFound: there is none of that number.
        """
        found = await self._thumbnails.get(video_thumbnail_id(record_id, number))
        if found is None:
            raise NotFound(f"record {record_id!r} has no thumbnail {number}")
        return TierBytes(*found)
