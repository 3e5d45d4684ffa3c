"""Tensors of safetensors records over a real server: listed, and one at a time by range."""

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy
from support.raw_robot import RawRobot

LARGE = np.random.default_rng(1).standard_normal((1100, 1000)).astype("<f4")  # 4.4 MB: more than a piece
ARRAYS = {
    "a/b c?ü%2F": np.arange(6, dtype="<i2").reshape(2, 3),
    "//double//": np.arange(4, dtype="u1"),
    "empty": np.zeros((0, 3), "<f8"),
    "scalar": np.array(1.5, "<f8"),
    "large": LARGE,
}
BF16 = b"\x3c\0\0\0\0\0\0\0" + b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'.ljust(60) + b"\1\2\3\4"


@pytest.fixture(scope="module")
async def robot(server: str) -> AsyncIterator[RawRobot]:
    async with RawRobot(server, "tensors", robot="tensors") as found:
        await found.hello()
        yield found


@pytest.fixture(scope="module")
async def http(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, timeout=20) as client:
        yield client


async def sent(robot: RawRobot, http: httpx.AsyncClient, stream: str, data: bytes, **more: Any) -> dict[str, Any]:
    """Sends one file; the record that it became."""
    await robot.send(1, {"data": data} | more, data_type="safetensors", stream=stream)
    await robot.until(lambda: robot.acked.get(stream) == 1 or robot.rejects)
    assert not robot.rejects
    (item,) = (await http.get(f"/sessions/tensors/tensors/records?stream={stream}")).json()["items"]
    return dict(item)


@pytest.fixture(scope="module")
async def record(robot: RawRobot, http: httpx.AsyncClient) -> dict[str, Any]:
    return await sent(robot, http, "all", safetensors.numpy.save(ARRAYS), name="all.safetensors")


def path_of(record: dict[str, Any], name: str) -> str:
    return f"/records/{record['record_id']}/tensors/" + "".join(f"%{byte:02x}" for byte in name.encode())


async def test_tensors_are_listed_in_pages(http: httpx.AsyncClient, record: dict[str, Any]) -> None:
    assert record["metadata"]["tensor_count"] == len(ARRAYS)
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await http.get(f"/records/{record['record_id']}/tensors", params=params)).json()
        found += page["items"]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert {item["name"]: tuple(item["shape"]) for item in found} == {name: a.shape for name, a in ARRAYS.items()}
    assert {item["name"]: item["size_bytes"] for item in found} == {name: a.nbytes for name, a in ARRAYS.items()}


@pytest.mark.parametrize("name", ARRAYS)
async def test_a_tensor_comes_back_raw_and_as_npy(http: httpx.AsyncClient, record: dict[str, Any], name: str) -> None:
    raw = await http.get(path_of(record, name))
    assert raw.status_code == 200, raw.text
    assert raw.content == ARRAYS[name].tobytes()
    assert int(raw.headers["content-length"]) == ARRAYS[name].nbytes
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert raw.headers["content-disposition"].startswith("attachment")
    npy = await http.get(path_of(record, name), params={"format": "npy"})
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), ARRAYS[name])


@pytest.mark.parametrize("form", ["raw", "npy"])
async def test_a_range_of_a_tensor_is_that_part_of_it(
    http: httpx.AsyncClient, record: dict[str, Any], form: str
) -> None:
    path = path_of(record, "large")
    whole = (await http.get(path, params={"format": form})).content
    for first, last in [
        (0, 0),
        (100, 199),
        (4_194_300, 4_194_310),
        (len(whole) - 3, len(whole) + 50),
        (50, len(whole)),
    ]:
        part = await http.get(path, params={"format": form}, headers={"range": f"bytes={first}-{last}"})
        assert part.status_code == 206
        assert part.content == whole[first : last + 1]
        end = min(last, len(whole) - 1)
        assert part.headers["content-range"] == f"bytes {first}-{end}/{len(whole)}"
    beyond = await http.get(path, params={"format": form}, headers={"range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    etag = (await http.get(path, params={"format": form})).headers["etag"]
    assert (await http.get(path, params={"format": form}, headers={"if-none-match": etag})).status_code == 304
    stale = await http.get(path, params={"format": form}, headers={"range": "bytes=0-1", "if-range": '"other"'})
    assert (stale.status_code, len(stale.content)) == (200, len(whole))


async def test_what_numpy_has_no_type_for_is_given_raw(robot: RawRobot, http: httpx.AsyncClient) -> None:
    record = await sent(robot, http, "bf16", BF16)
    assert (await http.get(path_of(record, "x"))).content == b"\1\2\3\4"
    refused = await http.get(path_of(record, "x"), params={"format": "npy"})
    assert (refused.status_code, refused.json()["code"]) == (400, "wrong_type")
    assert "BF16" in refused.json()["detail"]


async def test_what_is_not_there_is_said(robot: RawRobot, http: httpx.AsyncClient, record: dict[str, Any]) -> None:
    base = f"/records/{record['record_id']}/tensors"
    assert (await http.get(f"{base}/nothing")).status_code == 404
    assert (await http.get(f"{base}/%ff")).status_code == 404
    assert (await http.get("/records/none/tensors/x")).status_code == 404
    assert (await http.get(f"{base}/large?format=csv")).json()["code"] == "wrong_type"
    assert (await http.get(f"{base}?limit=0")).json()["code"] == "wrong_type"
    assert (await http.get(f"{base}?cursor=x")).json()["code"] == "malformed"
    await robot.send(1, {"data": b"text"}, data_type="file", stream="other")
    await robot.until(lambda: robot.acked.get("other") == 1)
    (item,) = (await http.get("/sessions/tensors/tensors/records?stream=other")).json()["items"]
    wrong = await http.get(f"/records/{item['record_id']}/tensors")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "kind_mismatch")


async def test_a_bad_file_is_refused_and_its_neighbours_are_kept(server: str) -> None:
    async with RawRobot(server, "bad-tensors", robot="tensors") as robot:
        await robot.hello()
        good = safetensors.numpy.save({"x": np.arange(3)})
        for seq, data in enumerate([good, good[:-1], b"\x89PNG\r\n\x1a\n" + bytes(50), good]):
            await robot.send(seq, {"data": data}, data_type="safetensors", stream="s")
        await robot.until(lambda: robot.acked.get("s") == 3)
        assert [(r["seq"], r["code"]) for r in robot.rejects] == [(1, "bad_payload"), (2, "kind_mismatch")]
        assert "safetensors: " in robot.rejects[0]["detail"]
        assert "(at byte " in robot.rejects[0]["detail"]
