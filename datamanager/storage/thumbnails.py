"""Thumbnails in GridFS: laid out so that any GridFS client reads them, written in bulk, which GridFS clients cannot.

A thumbnail is one `thumbnails.files` document and one `thumbnails.chunks` document, both with the frame's id as
`_id`, so that writing one again is a duplicate key and not a second file.
Format: https://github.com/mongodb/specifications/blob/master/source/gridfs/gridfs-spec.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from datamanager.clock import Clock
from datamanager.storage.mongo import Binary, BulkFailure, Collection, Document, Mongo, ReplaceOne, translated

__all__ = ["MAX_THUMBNAIL_BYTES", "Thumbnail", "Thumbnails"]

_CHUNK_BYTES = 255 * 1024  # the specification's default
MAX_THUMBNAIL_BYTES = _CHUNK_BYTES  # one chunk: 120 x 68 pixels take 2 to 30 kB


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """An encoded picture of one frame, at most `MAX_THUMBNAIL_BYTES`."""

    frame_id: str
    data: bytes
    content_type: str


class Thumbnails:
    """The bucket `thumbnails`. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._files = mongo.durable("thumbnails.files")
        self._chunks = mongo.durable("thumbnails.chunks")
        self._clock = clock

    async def put(self, thumbnails: Sequence[Thumbnail]) -> None:
        """Stores thumbnails durably; one that is there already is replaced.

        Raises:
            ValueError: one is larger than `MAX_THUMBNAIL_BYTES`.
        """
        if not thumbnails:
            return
        for thumbnail in thumbnails:
            if len(thumbnail.data) > MAX_THUMBNAIL_BYTES:
                raise ValueError(f"thumbnail of {thumbnail.frame_id} has {len(thumbnail.data)} bytes")
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        # Chunks first: a file that is seen has its bytes.
        await _insert(self._chunks, [_chunk(t) for t in thumbnails])
        await _insert(self._files, [_file(t, now) for t in thumbnails])

    async def get(self, frame_id: str) -> tuple[bytes, str] | None:
        """The bytes and content type of one thumbnail, or None."""
        found = await self.get_many([frame_id])
        return found.get(frame_id)

    async def get_many(self, frame_ids: Sequence[str]) -> dict[str, tuple[bytes, str]]:
        """The bytes and content type of those that are there, by frame id."""
        if not frame_ids:
            return {}
        wanted = {"$in": list(frame_ids)}
        with translated():
            types = {d["_id"]: d["metadata"]["content_type"] async for d in self._files.find({"_id": wanted})}
            chunks = self._chunks.find({"_id": {"$in": list(types)}}, {"data": 1})
            return {d["_id"]: (bytes(d["data"]), types[d["_id"]]) async for d in chunks}

    async def delete(self, frame_ids: Sequence[str]) -> None:
        """Deletes thumbnails; one that is not there is no error."""
        if not frame_ids:
            return
        with translated():
            # Files first: a file that is seen has its bytes.
            await self._files.delete_many({"_id": {"$in": list(frame_ids)}})
            await self._chunks.delete_many({"files_id": {"$in": list(frame_ids)}})


async def _insert(collection: Collection, documents: Sequence[Document]) -> None:
    """Inserts in one round trip; only documents that are there already cost a second one."""
    try:
        with translated():
            await collection.insert_many(documents, ordered=False)
    except BulkFailure as exc:
        if not exc.only_duplicates:
            raise
        again = [documents[i] for i in exc.refused]
        with translated():
            await collection.bulk_write([ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in again], ordered=False)


def _chunk(thumbnail: Thumbnail) -> Document:
    return {
        "_id": thumbnail.frame_id,
        "files_id": thumbnail.frame_id,
        "n": 0,
        "data": Binary(thumbnail.data),
    }


def _file(thumbnail: Thumbnail, now: datetime) -> Document:
    return {
        "_id": thumbnail.frame_id,
        "filename": thumbnail.frame_id,
        "length": len(thumbnail.data),
        "chunkSize": _CHUNK_BYTES,
        "uploadDate": now,
        "metadata": {"content_type": thumbnail.content_type},
    }
