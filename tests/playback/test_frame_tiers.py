"""Tiers are given, redirected to, made on demand or refused; their signed addresses hold what they promise."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from support.browse_server import Recorder

from datamanager.clock import SystemClock
from datamanager.errors import BadSignature
from datamanager.playback.signing import UrlSigner
from datamanager.storage.thumbnails import Thumbnail, Thumbnails

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


class ManualClock(SystemClock):
    """A clock that stands."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def now_ns(self) -> int:
        return int(self.now_s * NS)


async def thumbnailed(recorder: Recorder, session_id: str, data: bytes) -> str:
    await recorder.session("f", session_id, {"cam": "images"})
    (frame_id,) = await recorder.frames("f", session_id, "cam", [T0], thumbnail=True)
    await Thumbnails(recorder.mongo, SystemClock()).put([Thumbnail(frame_id, data, "image/webp")])
    return frame_id


async def test_a_thumbnail_is_given_for_ever_and_not_twice(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await thumbnailed(recorder, "a", b"tiny")
    answer = await http.get(f"/frames/{frame_id}/thumbnail")
    assert (answer.content, answer.headers["content-type"]) == (b"tiny", "image/webp")
    assert "immutable" in answer.headers["cache-control"]
    etag = answer.headers["etag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        again = await http.get(f"/frames/{frame_id}/thumbnail", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    other = await http.get(f"/frames/{frame_id}/thumbnail", headers={"if-none-match": '"x"'})
    assert other.status_code == 200


async def test_a_signed_address_opens_its_tier_and_no_other(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_id = await thumbnailed(recorder, "b", b"tiny")
    url = (await http.get(f"/records/{frame_id}")).json()["urls"]["thumbnail"].removeprefix("/api/v1")
    assert (await http.get(url)).content == b"tiny"
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    signature = query["signature"]
    bad = [
        url.replace(signature, ("A" if signature[0] != "A" else "B") + signature[1:]),
        url.replace("/thumbnail", "/preview"),
        url.replace(frame_id, "other"),
        url.replace(f"expires={query['expires']}", f"expires={int(query['expires']) + 1}"),
        url.split("&")[0],
        f"/frames/{frame_id}/thumbnail?signature={signature}",
    ]
    for address in bad:
        answer = await http.get(address)
        assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature"), address


@pytest.mark.parametrize("ttl_s", [1, 2, 3, 60, 3600])
@pytest.mark.parametrize("now_s", [1_700_000_000.0, 1_700_001_799.999, 1_700_001_800.0])
def test_a_signed_address_lives_for_at_least_half_its_time_and_never_longer(ttl_s: int, now_s: float) -> None:
    clock = ManualClock(now_s)
    signer = UrlSigner(b"s" * 32, ttl_s, clock)
    (address,) = signer.addresses(["f"], "preview")
    expires, signature = (parse_qs(urlsplit(address).query)[name][0] for name in ("expires", "signature"))
    clock.now_s = now_s + ttl_s / 2 - 1
    signer.verify("f", "preview", expires, signature)
    clock.now_s = now_s + ttl_s
    with pytest.raises(BadSignature):
        signer.verify("f", "preview", expires, signature)


def test_another_secret_signs_otherwise() -> None:
    clock = ManualClock(1e9)
    (address,) = UrlSigner(b"a" * 32, 60, clock).addresses(["f"], "preview")
    expires, signature = (parse_qs(urlsplit(address).query)[name][0] for name in ("expires", "signature"))
    with pytest.raises(BadSignature):
        UrlSigner(b"b" * 32, 60, clock).verify("f", "preview", expires, signature)
    for forged in ("", "x" * 4096, "ü"):
        with pytest.raises(BadSignature):
            UrlSigner(b"a" * 32, 60, clock).verify("f", "preview", expires, forged)


async def test_a_missing_tier_that_takes_long_is_answered_by_202(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("f", "c", {"cam": "images"})
    (frame_id,) = await recorder.frames("f", "c", "cam", [T0])
    answer = await http.get(f"/frames/{frame_id}/preview", timeout=10)
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    assert answer.json()["status"] == "pending"


async def test_a_missing_tier_is_given_as_soon_as_it_is_made(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("f", "d", {"cam": "images"})
    (frame_id,) = await recorder.frames("f", "d", "cam", [T0])
    asking = asyncio.create_task(http.get(f"/frames/{frame_id}/preview", timeout=10))
    await asyncio.sleep(0.3)
    assert not asking.done()
    made = {"keys.preview": "processed/x.jpg", "derived.state": "done"}
    await recorder.mongo.durable("frames_metadata").update_one({"_id": frame_id}, {"$set": made})
    answer = await asyncio.wait_for(asking, 1.5)
    assert answer.status_code == 307


async def test_a_tier_that_cannot_be_made_is_a_problem(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("f", "e", {"cam": "images"})
    derived = {"state": "failed", "since_ns": 1, "error": "a truncated picture"}
    (frame_id,) = await recorder.frames("f", "e", "cam", [T0], derived=derived)
    answer = await http.get(f"/frames/{frame_id}/thumbnail")
    assert (answer.status_code, answer.json()["code"]) == (422, "tier_impossible")
    assert "a truncated picture" in answer.json()["detail"]
    assert (await http.get(f"/frames/{frame_id}/original")).status_code == 307
