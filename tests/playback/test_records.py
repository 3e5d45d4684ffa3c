"""Records and frames are listed, addressed and given back byte for byte."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from support.browse_server import Recorder

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
HTML = b"<script>alert(1)</script>"


async def listed(http: httpx.AsyncClient, path: str, limit: int = 3, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await http.get(path, params={"limit": limit, **params, **cursor})
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return items
        cursor = {"cursor": answer.json()["next_cursor"]}


async def test_frames_and_records_are_paged_as_one_list_in_time(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r1", "s", {"cam": "images", "note": "file"})
    await recorder.frames("r1", "s", "cam", [T0 + i * 2 for i in range(6)])
    await recorder.records("r1", "s", "note", [(T0 + i * 3, b"x") for i in range(4)])
    want = sorted([(T0 + i * 2, "cam") for i in range(6)] + [(T0 + i * 3, "note") for i in range(4)])
    for limit in (1, 3, 4, 9, 10, 11):
        found = await listed(http, "/sessions/r1/s/records", limit)
        assert [int(x["t_ns"]) for x in found] == [t for t, _ in want]
        assert sorted((int(x["t_ns"]), x["stream"]) for x in found) == want
    assert [x["stream"] for x in await listed(http, "/sessions/r1/s/records", stream="note")] == ["note"] * 4
    assert len(await listed(http, "/sessions/r1/s/records", stream="note,cam")) == 10
    assert await listed(http, "/sessions/r1/s/records", stream="other") == []


async def test_many_records_at_one_time_are_each_given_once(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r2", "s", {"cam": "images"})
    made = await recorder.frames("r2", "s", "cam", [T0] * 7)
    found = [x["record_id"] for x in await listed(http, "/sessions/r2/s/records", 2)]
    assert found == sorted(made)


async def test_record_ranges_are_half_open(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r3", "s", {"cam": "images"})
    await recorder.frames("r3", "s", "cam", [T0, T0 + 1, T0 + 2])
    for (start, end), want in {(0, 3): 3, (0, 2): 2, (1, 2): 1, (1, 1): 0, (3, 9): 0}.items():
        found = await listed(http, "/sessions/r3/s/records", start=T0 + start, end=T0 + end)
        assert len(found) == want, (start, end)
    assert len(await listed(http, "/sessions/r3/s/records", start=0, end=2**63)) == 3


async def test_a_frame_is_told_with_its_times_metadata_and_addresses(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    await recorder.session("r4", "s", {"cam": "images"})
    own = {"n": 1, "width": "wide", "role": "rgb", "inf": float("inf"), "big": 2**53 + 1}
    (frame_id,) = await recorder.frames("r4", "s", "cam", [T0 + 1], b"jpeg", metadata=own)
    (item,) = await listed(http, "/sessions/r4/s/records")
    assert (item["record_id"], item["t_ns"], item["timestamp"], item["seq"]) == (frame_id, str(T0 + 1), T0 / NS, 0)
    assert (item["kind"], item["size_bytes"], item["mime_type"]) == ("images", 4, "image/jpeg")
    assert (
        item["metadata"].items() >= {"n": 1, "inf": "Infinity", "big": 2**53 + 1, "role": "rgb", "width": 640}.items()
    )
    assert item["metadata"]["own"] == {"width": "wide"}
    assert parse_qs(urlsplit(item["urls"]["original"]).query)["X-Amz-Expires"] == ["3600"]
    for tier in ("preview", "thumbnail"):
        assert item["urls"][tier].startswith(f"/api/v1/frames/{frame_id}/{tier}?expires=")
    one = (await http.get(f"/records/{frame_id}")).json()
    assert one.items() >= {"robot_id": "r4", "session_id": "s", "metadata": item["metadata"]}.items()


async def test_only_the_tiers_that_are_asked_for_are_addressed(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r5", "s", {"cam": "images"})
    await recorder.frames("r5", "s", "cam", [T0])
    (item,) = await listed(http, "/sessions/r5/s/records", tier="thumbnail")
    assert list(item["urls"]) == ["thumbnail"]
    assert (await http.get("/sessions/r5/s/records?tier=huge")).json()["code"] == "wrong_type"


async def test_a_made_preview_is_addressed_in_s3(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r6", "s", {"cam": "images"})
    keys = {"original": "raw/o.jpg", "preview": "processed/p.jpg"}
    await recorder.s3.put(keys["preview"], b"small")
    (frame_id,) = await recorder.frames("r6", "s", "cam", [T0], keys=keys)
    (item,) = await listed(http, "/sessions/r6/s/records")
    async with httpx.AsyncClient(trust_env=False) as anyone:
        assert (await anyone.get(item["urls"]["preview"])).content == b"small"
    redirect = await http.get(f"/frames/{frame_id}/preview")
    assert redirect.status_code == 307
    assert "X-Amz-Signature" in redirect.headers["location"]
    assert redirect.headers["cache-control"] == "no-store"


async def test_content_in_s3_is_reached_by_a_redirect(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r7", "s", {"cam": "images"})
    (frame_id,) = await recorder.frames("r7", "s", "cam", [T0], b"exact bytes")
    for path in (f"/records/{frame_id}/content", f"/frames/{frame_id}/original"):
        redirect = await http.get(path)
        assert redirect.status_code == 307
        async with httpx.AsyncClient(trust_env=False) as anyone:
            assert (await anyone.get(redirect.headers["location"])).content == b"exact bytes"


async def test_small_content_is_given_itself_and_never_run_by_a_browser(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    await recorder.session("r8", "s", {"page": "file"})
    name = 'ü"\r\nx.html'
    (record_id,) = await recorder.records("r8", "s", "page", [(T0, HTML)], mime_type="text/html", name=name)
    (item,) = await listed(http, "/sessions/r8/s/records")
    assert item["urls"] == {"original": f"/api/v1/records/{record_id}/content", "preview": None, "thumbnail": None}
    assert item["name"] == name
    answer = await http.get(f"/records/{record_id}/content")
    assert answer.content == HTML
    headers = answer.headers
    assert headers["content-type"].startswith("text/html")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC%22%0D%0Ax.html"
    assert headers["content-security-policy"].startswith("sandbox")
    assert "x-evil" not in headers


@pytest.mark.parametrize("mime_type", ["text/plain; charset=utf-16", "x\r\nX-Evil: 1", "", "ü"])
async def test_no_mime_type_that_a_robot_names_breaks_the_answer(
    http: httpx.AsyncClient, recorder: Recorder, mime_type: str
) -> None:
    await recorder.session("r9", "s", {"page": "file"})
    (record_id,) = await recorder.records("r9", f"s{len(mime_type)}", "page", [(T0, b"x")], mime_type=mime_type)
    answer = await http.get(f"/records/{record_id}/content")
    assert (answer.status_code, answer.content) == (200, b"x")
    assert "x-evil" not in answer.headers


async def test_many_frames_are_addressed_at_once(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("r10", "s", {"cam": "images"})
    made = await recorder.frames("r10", "s", "cam", [T0 + i for i in range(3)])
    wanted = [made[2], "nothing", made[0], made[2]]
    found = (await http.post("/frames/urls", json={"frame_ids": wanted, "tiers": ["original"]})).json()
    assert [x["frame_id"] for x in found["items"]] == [made[2], made[0]]
    assert all(list(x["urls"]) == ["original"] for x in found["items"])
    assert found["missing"] == ["nothing"]
    answer = await http.post("/frames/urls", json={"frame_ids": ["x"] * 1001})
    assert (answer.status_code, answer.json()["code"]) == (400, "too_large")
    assert (await http.post("/frames/urls", json={"frame_ids": []})).json() == {"items": [], "missing": []}


async def test_unknown_records_and_frames_are_not_found(http: httpx.AsyncClient) -> None:
    for path in ("/records/x", "/records/x/content", "/frames/x/original", "/frames/x/thumbnail"):
        assert (await http.get(path)).status_code == 404, path
    assert (await http.get("/frames/x/enormous")).status_code == 400
