"""Documents over a real server: taken in by every transport, kept byte for byte, read back as JSON by path."""

import base64
import hashlib
import io
import json
import math
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgpack
import numpy as np
import pytest
from support.raw_robot import T0, RawRobot

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)
TENSOR = {"$dtype": "numpy.ndarray", "b": ARRAY.tobytes(), "dtype": "float32", "shape": [2, 3]}


@pytest.fixture
async def http(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def robot(server: str) -> AsyncIterator[RawRobot]:
    async with RawRobot(server, f"documents-{uuid4().hex[:8]}") as found:
        await found.hello()
        yield found


async def kept(robot: RawRobot, http: httpx.AsyncClient, kind: str, payload: Any, *, text: bool = False) -> Any:
    """Sends a record of a kind; the record, once it is durable."""
    stream = f"{kind}-{uuid4().hex[:8]}"
    await robot.send(1, payload, text=text, stream=stream, data_type=kind)
    await robot.until(lambda: robot.acked.get(stream) == 1)
    assert not [reject for reject in robot.rejects if reject["stream"] == stream]
    answer = await http.get(f"/sessions/{robot.robot}/{robot.session}/records", params={"stream": stream})
    return answer.json()["items"][0]


async def value_of(http: httpx.AsyncClient, record: Any, path: str = "") -> Any:
    answer = await http.get(f"/records/{record['record_id']}/json", params={"path": path})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


async def bytes_of(http: httpx.AsyncClient, record: Any) -> bytes:
    answer = await http.get(f"/records/{record['record_id']}/content", follow_redirects=True)
    assert hashlib.sha256(answer.content).hexdigest() == record["checksum"] if "checksum" in record else True
    return answer.content


async def test_a_json_text_comes_back_as_it_was_written(robot: RawRobot, http: httpx.AsyncClient) -> None:
    text = b'{ "pose": {"x": 1.50, "big": 123456789012345678901234567890, "far": 1e999}, "a/b": [1, {"~": null}] }'
    record = await kept(robot, http, "json", {"data": text, "name": "a.json"})
    assert record["metadata"]["shape"] == {"type": "object", "entries": 2, "keys": ["pose", "a/b"], "depth": 3}
    assert await bytes_of(http, record) == text
    answer = await http.get(f"/records/{record['record_id']}/json", params={"path": "/pose"})
    assert answer.content == b'{"x": 1.50, "big": 123456789012345678901234567890, "far": 1e999}'
    assert await value_of(http, record, "/a~1b/1/~0") is None


@pytest.mark.parametrize("kind", ["json", "msgpack", "vuer_msg"])
async def test_a_value_gives_the_same_bytes_over_json_and_msgpack(
    kind: str, robot: RawRobot, http: httpx.AsyncClient
) -> None:
    value = {"pose": {"x": 1.5, "n": -3}, "joints": [1, 2.25, None, True, "grüße"], "empty": {}}
    records = [await kept(robot, http, kind, {"value": value}, text=text) for text in (True, False)]
    bodies = [await bytes_of(http, record) for record in records]
    assert (
        bodies[0]
        == bodies[1]
        == (
            json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
            if kind == "json"
            else msgpack.packb(value)
        )
    )
    assert await value_of(http, records[0]) == value
    assert await value_of(http, records[1], "/joints/4") == "grüße"


async def test_bytes_in_a_value_over_json_are_base64(robot: RawRobot, http: httpx.AsyncClient) -> None:
    tensor = {**TENSOR, "b": base64.b64encode(ARRAY.tobytes()).decode()}
    record = await kept(robot, http, "vuer_msg", {"value": {"scene": [tensor]}}, text=True)
    assert await bytes_of(http, record) == msgpack.packb({"scene": [TENSOR]})
    form = {"encoding": "base64", "data": "AAEC"}
    record = await kept(robot, http, "msgpack", {"value": {"raw": form}, "encoding": "base64"}, text=True)
    assert await bytes_of(http, record) == msgpack.packb({"raw": b"\0\1\2"})
    assert await value_of(http, record) == {"raw": form}


async def test_what_json_lacks_is_readable(robot: RawRobot, http: httpx.AsyncClient) -> None:
    value = {
        1: math.nan, "inf": [math.inf, -math.inf], "raw": b"\0\xff", "ext": msgpack.ExtType(5, b"ab"),
        "t": msgpack.Timestamp(1_700_000_000, 1), "long": bytes(20_000),
    }  # fmt: skip
    record = await kept(robot, http, "msgpack", {"data": msgpack.packb(value)})
    assert record["metadata"]["ext_types"] == [{"code": -1, "count": 1}, {"code": 5, "count": 1}]
    assert await value_of(http, record) == {
        "1": "NaN",
        "inf": ["Infinity", "-Infinity"],
        "raw": {"encoding": "base64", "data": "AP8="},
        "ext": {"$ext": 5, "encoding": "base64", "data": "YWI="},
        "t": "2023-11-14T22:13:20.000000001Z",
        "long": {"encoding": "base64", "size_bytes": 20_000, "data": None, "path": "/long"},
    }
    assert base64.b64decode((await value_of(http, record, "/long"))["data"]) == bytes(20_000)


async def test_an_array_of_a_message_is_read_as_numbers_and_as_npy(robot: RawRobot, http: httpx.AsyncClient) -> None:
    many = np.linspace(0, 1, 2000).reshape(2, 1000)
    value = {
        "pose": {"ztype": "numpy.ndarray", "b": ARRAY.tobytes(), "dtype": "float32", "shape": [2, 3]},
        "a b": {"$dtype": "torch.Tensor", "b": many.tobytes(), "dtype": "float64", "shape": [2, 1000]},
        "js": {"$dtype": "Uint8Array", "b": b"\1\2", "length": 2},
        "odd": {"$dtype": "from.the.future", "b": b"x"},
    }
    record = await kept(robot, http, "vuer_msg", {"value": value})
    assert [(t["path"], t["tag"]) for t in record["metadata"]["tensors"]] == [
        ("/pose", "numpy.ndarray"), ("/a b", "torch.Tensor"), ("/js", "Uint8Array"),
    ]  # fmt: skip
    found = await value_of(http, record)
    assert found["pose"]["values"] == ARRAY.tolist()
    assert found["pose"]["dtype"] == "float32"
    assert found["js"]["values"] == [1, 2]
    assert found["a b"]["values"] is None
    assert found["odd"] == {"$dtype": "from.the.future", "b": {"encoding": "base64", "data": "eA=="}}
    npy = await http.get(found["a b"]["array"].removeprefix("/api/v1"))
    assert np.array_equal(np.load(io.BytesIO(npy.content)), many)
    raw = await http.get(f"/records/{record['record_id']}/array", params={"path": "/pose", "format": "raw"})
    assert raw.content == ARRAY.tobytes()
    assert (await value_of(http, record, "/a b"))["values"] == many.tolist()


async def test_a_log_is_read_as_json_too(robot: RawRobot, http: httpx.AsyncClient) -> None:
    record = await kept(robot, http, "log", {"message": "low", "level": "warn"})
    assert await value_of(http, record, "/message") == "low"
    record = await kept(robot, http, "log", {"data": b"a\nb\n"})
    assert await value_of(http, record) == {"lines": ["a", "b"]}


async def test_a_path_that_leads_nowhere_says_where_it_stops(robot: RawRobot, http: httpx.AsyncClient) -> None:
    for kind in ("json", "msgpack"):
        record = await kept(robot, http, kind, {"value": {"a": [1, 2]}})
        for path, status, said in (
            ("/a/2", 404, "'/a' is an array of 2 entries"),
            ("/b", 404, "'the top' is a"),
            ("/a/0/x", 404, "'/a/0' is a"),
            ("/a/01", 404, "array"),
            ("a", 400, "JSON Pointer"),
            ("/~2", 400, "JSON Pointer"),
        ):
            answer = await http.get(f"/records/{record['record_id']}/json", params={"path": path})
            assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


async def test_an_answer_is_bounded(robot: RawRobot, http: httpx.AsyncClient) -> None:
    large = {"ones": [1] * 450_000, "x": "y"}
    record = await kept(robot, http, "msgpack", {"value": large})
    answer = await http.get(f"/records/{record['record_id']}/json")
    assert (answer.status_code, answer.json()["code"]) == (413, "range_too_large")
    assert await value_of(http, record, "/x") == "y"
    record = await kept(robot, http, "json", {"data": b'{"a":"%s","b":1}' % (b"x" * (8 << 20))})
    answer = await http.get(f"/records/{record['record_id']}/json")
    assert answer.status_code == 413
    assert await value_of(http, record, "/b") == 1


async def test_only_documents_are_read_as_json(robot: RawRobot, http: httpx.AsyncClient) -> None:
    record = await kept(robot, http, "file", {"data": b"{}"})
    answer = await http.get(f"/records/{record['record_id']}/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "kind_mismatch")
    assert (await http.get("/records/none/json")).status_code == 404
    record = await kept(robot, http, "vuer_msg", {"value": {"a": 1}})
    answer = await http.get(f"/records/{record['record_id']}/array", params={"path": "/a"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_payload")
    answer = await http.get(f"/records/{record['record_id']}/array", params={"format": "x"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        ("json", {"data": b"[NaN]"}, "bad_payload"),
        ("json", {"data": b""}, "bad_payload"),
        ("json", {"data": b"[" * 100_000}, "too_deep"),
        ("json", {"data": b"\xff\xd8\xff\xe0" + bytes(60)}, "kind_mismatch"),
        ("json", {"data": b"1", "value": 1}, "bad_payload"),
        ("json", {}, "missing_field"),
        ("msgpack", {"data": b"\xdd\xff\xff\xff\xff"}, "bad_payload"),
        ("msgpack", {"data": b"\x91" * 100_000}, "too_deep"),
        ("msgpack", {"data": b'{"a": [1, 2]}'}, "kind_mismatch"),
        ("yaml", {"data": "a: b: c"}, "bad_payload"),
        ("yaml", {"data": "&a [*a]"}, "unsafe_content"),
        ("yaml", {"data": bytes(8) + b"\x89PNG"}, "bad_payload"),
        ("yaml", {"data": b"\xff\xd8\xff\xe0" + bytes(60)}, "kind_mismatch"),
        ("toml", {"data": "a = [1"}, "bad_payload"),
        ("toml", {"data": "a = " + "[" * 5000}, "too_deep"),
        ("toml", {"data": b"x=1\n" * 300_000}, "too_large"),
        ("vuer_msg", {"value": {**TENSOR, "shape": [3, 3]}}, "bad_payload"),
        ("vuer_msg", {"value": {**TENSOR, "dtype": "O"}}, "bad_payload"),
    ],
)
async def test_bad_content_is_rejected_and_its_neighbours_are_kept(
    kind: str, payload: Any, code: str, robot: RawRobot, http: httpx.AsyncClient
) -> None:
    message = {"data_type": kind, "stream": "bad", "seq": 1, "t_ns": T0, "payload": payload}
    assert await robot.refused(message) == code
    assert robot.rejects[-1]["detail"].startswith(f"{kind}: ") or code == "missing_field"
    await kept(robot, http, "json", {"value": 1})


async def test_yaml_is_read_as_json_with_its_tags_and_merges(robot: RawRobot, http: httpx.AsyncClient) -> None:
    text = b"base: &b {rate: 10, frame: map}\narm: {<<: *b, rate: 50}\nodd: !custom [yes, 012, .nan]\n"
    record = await kept(robot, http, "yaml", {"data": text.decode()})
    assert record["metadata"]["tags"] == [{"tag": "!custom", "count": 1}]
    assert await bytes_of(http, record) == text
    assert await value_of(http, record, "/arm") == {"rate": 50, "frame": "map"}
    assert await value_of(http, record, "/odd") == {"$tag": "!custom", "value": ["yes", 12, "NaN"]}
    assert await value_of(http, record, "/odd/1") == 12
    record = await kept(robot, http, "yaml", {"data": b"a: 1\n---\nb: 2\n"})
    assert await value_of(http, record) == [{"a": 1}, {"b": 2}]


async def test_toml_is_read_as_json(robot: RawRobot, http: httpx.AsyncClient) -> None:
    text = b'[robot]\nname = "arm"\nborn = 2024-01-31T10:00:00Z\nlimits = [inf, 1.5]\n'
    record = await kept(robot, http, "toml", {"data": text})
    assert await bytes_of(http, record) == text
    assert await value_of(http, record, "/robot") == {
        "name": "arm", "born": "2024-01-31T10:00:00+00:00", "limits": ["Infinity", 1.5],
    }  # fmt: skip
