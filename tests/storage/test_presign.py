"""Pre-signed URLs are those that AWS' rules give, and S3 opens what they name and nothing else."""

import time
import urllib.error
import urllib.request
from datetime import timedelta

import obstore
import pytest
from obstore.store import S3Store

from datamanager.config import Config
from datamanager.storage.presign import Presigner
from datamanager.storage.s3 import open_s3


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://s3.example.com", "http://s3.example.com:80"])
@pytest.mark.parametrize("key", ["raw/r/s/frames/cam/00017_p_1_rgb.jpg", "a b/ü+%/x~y.bin", "~"])
def test_the_url_is_the_same_as_another_implementation_gives(endpoint: str, key: str) -> None:
    names = {"bucket": "a-bucket", "region": "eu-west-1"}
    presigner = Presigner(endpoint=endpoint, access_key="id", secret_key="secret/+", **names)  # noqa: S106  # of no server
    store = S3Store(
        **names,
        endpoint=endpoint,
        access_key_id="id",
        secret_access_key="secret/+",  # noqa: S106  # of no server
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    for _ in range(5):  # both sign the present second, which may pass between them
        began_s = int(time.time())
        theirs, ours = obstore.sign(store, "GET", key, timedelta(seconds=60)), presigner.urls([key], 60, began_s)[0]
        if int(time.time()) == began_s:
            break
    assert ours == theirs


async def test_s3_opens_what_a_url_names_until_it_expires(config: Config) -> None:
    async with open_s3(config.s3) as s3:
        for key in ("plain/key.bin", "odd/ü +%~.bin"):
            await s3.put(key, key.encode())
            (url,) = s3.sign([key], 60)
            assert urllib.request.urlopen(url, timeout=5).read() == key.encode()  # noqa: S310, ASYNC210  # our own server
        (brief,) = s3.sign(["plain/key.bin"], 1)
    time.sleep(2.1)  # noqa: ASYNC251  # nothing else runs here
    for bad in (brief, url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace("odd/", "plain/"), url.split("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(bad, timeout=5)  # noqa: S310, ASYNC210  # our own server
        assert 400 <= refused.value.code < 500


async def test_nothing_to_sign_is_no_error(config: Config) -> None:
    async with open_s3(config.s3) as s3:
        assert s3.sign([], 60) == []
