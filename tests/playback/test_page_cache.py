"""Pages asked for again come from Redis, are never stale, and do without Redis."""

import time
from dataclasses import replace

import httpx
import pytest
from support.browse_server import Recorder

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.playback.page_cache import PageCache
from datamanager.storage.redis import open_redis

T0 = 1_700_000_000_000_000_000


class Counted:
    """Makes pages, and counts them."""

    def __init__(self) -> None:
        self.made = 0

    async def __call__(self) -> bytes:
        self.made += 1
        return b"page %d" % self.made


async def test_a_page_is_kept_for_those_names_alone(config: Config) -> None:
    make = Counted()
    async with open_redis(config.redis) as redis:
        cache = PageCache(redis, SystemClock(), ttl_s=60)
        assert await cache.through("r", "s", ["a", "b"], make) == b"page 1"
        assert await redis.client.keys("*") == [b"frames:r:s:page-" + (await redis.client.keys("*"))[0][-32:]]
        for _ in range(3):
            assert await cache.through("r", "s", ["a", "b"], make) == b"page 1"
        for names in (["ab"], ["a"], ["b", "a"], []):
            assert await cache.through("r", "s", names, Counted()) == b"page 1"
        assert all([0 < await redis.client.ttl(key) <= 60 for key in await redis.client.keys("*")])


@pytest.mark.alone
async def test_without_redis_pages_are_made_each_time_and_soon(config: Config) -> None:
    make = Counted()
    async with open_redis(replace(config.redis, url="redis://127.0.0.1:1/0")) as redis:
        cache = PageCache(redis, SystemClock(), ttl_s=60)
        began_s = time.monotonic()
        for i in range(1, 20):
            assert await cache.through("r", "s", ["a"], make) == b"page %d" % i
        assert time.monotonic() - began_s < 1


async def test_a_large_page_is_the_same_from_the_cache_and_shows_what_is_new(
    http: httpx.AsyncClient, recorder: Recorder, browse_config: Config
) -> None:
    await recorder.session("c1", "s", {"cam": "images", "late": "images"})
    await recorder.frames("c1", "s", "cam", [T0 + i for i in range(60)])
    small = [(await http.get(f"/sessions/c1/s/records?limit=40&start={T0 + i}")).json()["items"] for i in (0, 40)]
    pages = [(await http.get("/sessions/c1/s/records?limit=1000")).json() for _ in range(3)]
    for page in pages:
        assert page["next_cursor"] is None
        for item, same in zip(page["items"], small[0] + small[1], strict=True):
            assert item | {"urls": None} == same | {"urls": None}
            assert item["urls"].keys() == same["urls"].keys()
    assert pages[1] == pages[2]
    async with open_redis(browse_config.redis) as redis:
        assert len(await redis.client.keys("frames:c1:s:page-*")) == 1  # what was asked for once is not kept
    await recorder.frames("c1", "s", "late", [T0 + 5])
    assert len((await http.get("/sessions/c1/s/records?limit=1000")).json()["items"]) == 61
    assert len((await http.get("/sessions/c1/s/records?limit=1000&stream=cam")).json()["items"]) == 60
    assert list((await http.get("/sessions/c1/s/records?limit=1000&tier=preview")).json()["items"][0]["urls"]) == [
        "preview"
    ]
    first = (await http.get("/sessions/c1/s/records?limit=50")).json()
    rest = (await http.get(f"/sessions/c1/s/records?limit=50&cursor={first['next_cursor']}")).json()
    assert (len(first["items"]), len(rest["items"])) == (50, 11)
