from collections.abc import AsyncIterator

import pytest
from support.manual_clock import ManualClock

from datamanager.config import Config
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import AsyncGridFSBucket, Mongo, open_mongo
from datamanager.storage.thumbnails import MAX_THUMBNAIL_BYTES, Thumbnail, Thumbnails


@pytest.fixture
async def mongo(config: Config) -> AsyncIterator[Mongo]:
    async with open_mongo(config.mongo) as opened:
        await apply_migrations(opened)
        yield opened


@pytest.fixture
def thumbnails(mongo: Mongo) -> Thumbnails:
    return Thumbnails(mongo, ManualClock())


def some(*frame_ids: str, size: int = 10) -> list[Thumbnail]:
    return [Thumbnail(frame_id, frame_id.encode() * size, "image/jpeg") for frame_id in frame_ids]


async def test_a_thumbnail_comes_back_as_it_was_put(thumbnails: Thumbnails) -> None:
    await thumbnails.put([Thumbnail("a", b"\x00\xff" * 50, "image/png")])
    assert await thumbnails.get("a") == (b"\x00\xff" * 50, "image/png")
    assert await thumbnails.get("b") is None


async def test_any_gridfs_client_reads_it(thumbnails: Thumbnails, mongo: Mongo) -> None:
    [thumbnail] = some("a", size=5000)
    await thumbnails.put([thumbnail])
    bucket = AsyncGridFSBucket(mongo.database, "thumbnails")
    by_id = await bucket.open_download_stream("a")
    by_name = await bucket.open_download_stream_by_name("a")
    assert await by_id.read() == await by_name.read() == thumbnail.data
    assert by_id.metadata == {"content_type": "image/jpeg"}


async def test_putting_again_leaves_one_and_its_newest_bytes(thumbnails: Thumbnails, mongo: Mongo) -> None:
    await thumbnails.put(some("a", "b"))
    await thumbnails.put([*some("c"), Thumbnail("b", b"new and longer than before", "image/png")])
    assert await thumbnails.get("b") == (b"new and longer than before", "image/png")
    assert set(await thumbnails.get_many(["a", "b", "c", "d"])) == {"a", "b", "c"}
    for name in ("thumbnails.files", "thumbnails.chunks"):
        assert await mongo.database[name].count_documents({}) == 3


async def test_one_whose_writer_died_half_way_is_not_seen_and_can_be_put(thumbnails: Thumbnails, mongo: Mongo) -> None:
    await mongo.database["thumbnails.chunks"].insert_one({"_id": "a", "files_id": "a", "n": 0, "data": b"old"})
    assert await thumbnails.get("a") is None
    await thumbnails.put(some("a"))
    assert await thumbnails.get("a") == (b"a" * 10, "image/jpeg")


async def test_deleted_ones_are_gone_whole(thumbnails: Thumbnails, mongo: Mongo) -> None:
    await thumbnails.put(some("a", "b"))
    await thumbnails.delete(["a", "never was"])
    assert set(await thumbnails.get_many(["a", "b"])) == {"b"}
    assert await mongo.database["thumbnails.chunks"].count_documents({}) == 1


async def test_one_chunk_is_the_most(thumbnails: Thumbnails) -> None:
    await thumbnails.put([Thumbnail("a", b"x" * MAX_THUMBNAIL_BYTES, "image/png")])
    with pytest.raises(ValueError, match="b has"):
        await thumbnails.put([Thumbnail("b", b"x" * (MAX_THUMBNAIL_BYTES + 1), "image/png")])
