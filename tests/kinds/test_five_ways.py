"""All 17 kinds, pushed five ways, are the same records with the same bytes."""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest
from support.raw_robot import RawRobot
from support.uploading import RawUploader

from datamanager.kinds.names import KINDS

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
T0 = 1_700_000_000_000_000_000
FILES = {
    "parameters": "parameters/patch.json",
    "images": "images/depth.png",
    "video": "video/both.mp4",
    "audio": "audio/tone.wav",
    "markdown": "markdown/notes.md",
    "file": "images/binary.pcd",
    "csv": "csv/utf16.tsv",
    "safetensors": "safetensors/mixed.safetensors",
    "json": "json/odd.json",
    "yaml": "yaml/robot.yaml",
    "toml": "toml/robot.toml",
    "msgpack": "msgpack/everything.msgpack",
    "vuer_msg": "vuer_msg/array.msgpack",
    "zip": "zip/deflate.zip",
    "tar": "tar/packed.tar.zst",
}
SAMPLES = {"t_ns": [T0, T0 + 5], "channels": {"x": [1.5, None], "name": ["a", "b"]}}
LINES = b"first line\nERROR second line\n"


def content(kind: str) -> bytes:
    """The bytes of one record of a kind; of samples, the payload as an upload has it."""
    if kind == "time_series":
        return json.dumps(SAMPLES).encode()
    return LINES if kind == "log" else (GOLDEN / FILES[kind]).read_bytes()


def messages(*, text: bool) -> list[dict[str, Any]]:
    """One message of every kind, as JSON or as MessagePack has it."""
    found = []
    for kind in sorted(KINDS):
        payload: dict[str, Any] = SAMPLES
        if kind != "time_series":
            data = content(kind)
            payload = (
                {"data": base64.b64encode(data).decode(), "encoding": "base64", "name": f"a.{kind}"}
                if text
                else {"data": data, "name": f"a.{kind}"}
            )
        found.append({"data_type": kind, "stream": kind, "seq": 0, "t_ns": T0, "payload": payload})
    return found


async def by_socket(server: str, session: str, *, text: bool) -> None:
    async with RawRobot(server, session, robot="five") as robot:
        await robot.hello()
        for message in messages(text=text):
            await robot.put(message, text=text)
        await robot.until(lambda: set(robot.acked) == KINDS)
        assert robot.rejects == []


async def by_body(server: str, session: str, *, text: bool) -> None:
    hello = {"type": "hello", "robot_id": "five", "session_id": session, "producer": "p"}
    pack: Callable[[Any], bytes] = (lambda m: json.dumps(m).encode() + b"\n") if text else msgpack.packb
    mime = "application/x-ndjson" if text else "application/msgpack"
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=60) as http:
        body = b"".join(map(pack, [hello, *messages(text=text)]))
        answer = (await http.post("/api/v1/ingest", content=body, headers={"content-type": mime})).json()
    assert (answer["accepted"], answer["rejects"]) == (17, [])


async def by_upload(server: str, session: str, *, text: bool) -> None:
    del text
    uploader = RawUploader(server, session, robot="five")
    for kind in sorted(KINDS):
        times = {} if kind == "time_series" else {"t_ns": T0}
        uploader.upload(content(kind), kind=kind, stream=kind, name=f"a.{kind}", **times)


WAYS: list[tuple[str, Any, bool]] = [
    ("socket, JSON", by_socket, True),
    ("socket, MessagePack", by_socket, False),
    ("body, NDJSON", by_body, True),
    ("body, MessagePack", by_body, False),
    ("upload", by_upload, False),
]


async def read_back(server: str, session: str) -> dict[str, Any]:
    """Of each kind what was made of it, but for what hangs on the way it came; and the SHA-256 of its bytes."""
    async with httpx.AsyncClient(base_url=f"{server}/api/v1", trust_env=False, follow_redirects=True) as http:
        place = f"/sessions/five/{session}"
        found: dict[str, Any] = {}
        for item in (await http.get(f"{place}/records", params={"limit": 100})).json()["items"]:
            whole = (await http.get(f"/records/{item['record_id']}")).json()
            data = (await http.get(f"/records/{item['record_id']}/content")).content
            mine = {
                name: whole.get(name)
                for name in ("stream", "kind", "t_ns", "size_bytes", "metadata", "mime_type", "name")
            }
            found[item["kind"]] = mine | {"sha256": hashlib.sha256(data).hexdigest(), "checksum": whole["checksum"]}
        samples = await http.get(f"{place}/range", params={"stream": "time_series", "format": "arrow"})
        found["time_series"] = hashlib.sha256(samples.content).hexdigest()
        return found


@pytest.fixture(scope="module")
async def expected(server: str) -> dict[str, Any]:
    await by_socket(server, "way-first", text=False)
    return await read_back(server, "way-first")


def test_there_is_a_file_of_every_kind() -> None:
    assert set(FILES) == KINDS - {"time_series", "log"}


@pytest.mark.parametrize("way", range(len(WAYS)), ids=[name for name, _, _ in WAYS])
async def test_a_session_of_all_kinds_is_the_same_whichever_way_it_came(
    server: str, expected: dict[str, Any], way: int
) -> None:
    _, push, text = WAYS[way]
    await push(server, f"way-{way}", text=text)
    found = await read_back(server, f"way-{way}")
    assert set(found) == KINDS
    for kind in sorted(KINDS - {"time_series"}):
        sha256 = hashlib.sha256(content(kind)).hexdigest()
        assert found[kind] == expected[kind]
        assert (found[kind]["sha256"], found[kind]["checksum"]) == (sha256, sha256)
    assert found["time_series"] == expected["time_series"]


async def test_a_refusal_names_the_kind_and_the_place(server: str) -> None:
    data = content("zip")
    async with RawRobot(server, "refused", robot="five") as robot:
        await robot.hello()
        for kind, broken in (("zip", data[:-30]), ("json", b'{"a": @}'), ("images", b"no picture")):
            await robot.put({"data_type": kind, "stream": kind, "seq": 0, "t_ns": T0, "payload": {"data": broken}})
        await robot.until(lambda: len(robot.rejects) == 3)
    said = {reject["kind"]: reject for reject in robot.rejects}
    assert set(said) == {"zip", "json", "images"}
    for kind, reject in said.items():
        assert reject["code"] == "bad_payload"
        assert reject["detail"].startswith(f"{kind}: ")
    assert said["json"]["offset"] == 6
    assert said["images"]["offset"] == 0
