"""One bucket of a real S3 server: whole objects in and out, and failures by name."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from datamanager.config import Config
from datamanager.errors import ConfigError, NotFound, S3Unavailable
from datamanager.storage.s3 import S3, is_guarded, open_s3


@pytest.fixture
async def s3(config: Config) -> AsyncIterator[S3]:
    async with open_s3(config.s3) as found:
        yield found


async def test_an_object_comes_back_whole_and_the_last_one_put_counts(s3: S3) -> None:
    for data in (b"", b"\0" * 3_000_000, b"last"):
        await s3.put("a/b c/ü.bin", data, content_type="image/png")
        assert await s3.get("a/b c/ü.bin") == data
    [url] = s3.sign(["a/b c/ü.bin"], 60)
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(url)
    assert (answer.content, answer.headers["content-type"]) == (b"last", "image/png")


async def test_what_is_deleted_is_gone_and_what_is_missing_hinders_nothing(s3: S3) -> None:
    await s3.put("one", b"1")
    await s3.put("two", b"2")
    await s3.delete(["missing", "one", "missing", "two"])
    for key in ("one", "two"):
        with pytest.raises(NotFound):
            await s3.get(key)


async def test_opening_a_bucket_that_is_there_is_no_error(config: Config) -> None:
    for _ in range(2):
        async with open_s3(config.s3) as s3:
            await s3.ping()


async def test_a_server_that_does_not_answer_is_told_from_a_missing_object(config: Config, s3: S3) -> None:
    await s3.ping()
    away = replace(config.s3, endpoint="http://127.0.0.1:1")
    with pytest.raises(S3Unavailable):
        async with open_s3(away):
            pass


async def test_keys_must_be_set(config: Config) -> None:
    with pytest.raises(ConfigError):
        async with open_s3(replace(config.s3, secret_key="")):
            pass


@pytest.mark.parametrize(
    ("endpoint", "guarded"),
    [
        ("https://s3.example.org", True),
        ("http://127.0.0.1:8333", True),
        ("http://127.8.9.1:8333", True),
        ("http://[::1]:8333", True),
        ("http://localhost:8333", True),
        ("http://10.0.0.7:8333", False),
        ("http://s3.example.org", False),
        ("http://localhost.example.org", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_content_is_signed_where_somebody_could_change_it_on_its_way(endpoint: str, guarded: bool) -> None:
    assert is_guarded(endpoint) is guarded
