"""The job `video_thumbnails`: small pictures of a video's keyframes, and the first of them as the video's own."""

from datamanager.kinds.media.jobs import THUMBNAILS_JOB
from datamanager.storage.keys import video_thumbnail_id
from datamanager.storage.mongo import Document
from datamanager.storage.thumbnails import Thumbnail, Thumbnails
from datamanager.worker.media.keyframes import keyframe_pictures
from datamanager.worker.media.make import MediaStores
from datamanager.worker.media.transcode import TranscodeLimits
from datamanager.worker.media.videos import whole_source

__all__ = ["MakeThumbnails"]


class MakeThumbnails:
    """Does one job; called with the record."""

    def __init__(self, stores: MediaStores, thumbnails: Thumbnails, limits: TranscodeLimits, most: int) -> None:
        self._stores = stores
        self._thumbnails = thumbnails
        self._limits = limits
        self._most = most

    async def __call__(self, document: Document) -> None:
        """Makes what a video lacks.

        Raises:
            Unavailable: a server does not answer.
            ProcessDied: the child process died, and it is not known of what.
        """
        source, form = await whole_source(self._stores, document), document["metadata"]["format"]
        pictures = await self._stores.pool.run(keyframe_pictures, source, form, self._most, self._limits)
        ids = [video_thumbnail_id(document["_id"], i) for i in range(len(pictures))]
        small = [Thumbnail(i, p.data, p.mime_type) for i, p in zip(ids, pictures, strict=True)]
        await self._thumbnails.put([*small, Thumbnail(document["_id"], pictures[0].data, pictures[0].mime_type)])
        offsets = [{"offset_ns": round(p.offset_s * 1e9)} for p in pictures]
        await self._stores.derivations.done(document, THUMBNAILS_JOB, {"thumbnail": True, "thumbnails": offsets})
