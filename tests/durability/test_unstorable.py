"""What MongoDB has no form for is refused by name; it is not tried for ever while everything else waits behind it."""

import asyncio
import base64
import json
from typing import Any

import pytest
import websockets
from support.senders import picture

HUGE = 10**30
CASES: dict[str, dict[str, Any]] = {
    "a frame's number": {"data_type": "images", "payload": {"frame_number": 2**70}},
    "a frame's metadata": {"data_type": "images", "payload": {"metadata": {"x": HUGE}}},
    "a message's metadata": {"data_type": "images", "payload": {}, "metadata": {"deep": [{"x": 2**64 - 1}]}},
    "a frame's large metadata": {"data_type": "images", "payload": {"metadata": {"x": 2_000_000 * "x"}}},
    "a key with a zero": {"data_type": "log", "payload": {"message": "x", "metadata": {"a\0b": 1}}},
    "a log's metadata": {"data_type": "log", "payload": {"message": "x", "metadata": {"x": HUGE}}},
    "a stream's metadata": {"data_type": "time_series", "payload": {"x": 1}, "metadata": {"x": HUGE}},
    "a stream's large metadata": {"data_type": "time_series", "payload": {"x": 1}, "metadata": {"x": 2_000_000 * "x"}},
    "a stream's metadata with a zero": {"data_type": "time_series", "payload": {"x": 1}, "metadata": {"a\0b": HUGE}},
}


async def _answers(ws: websockets.ClientConnection, stream: str, seq: int) -> list[dict[str, Any]]:
    """What is said until a number of a stream is acked."""
    said: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not said or said[-1].get("acked", {}).get(stream, -1) < seq:
            said.append(json.loads(await ws.recv()))
    return said


@pytest.mark.parametrize("name", CASES)
async def test_it_is_refused_and_what_comes_after_it_is_acked(server: str, name: str) -> None:
    case = json.loads(json.dumps(CASES[name]))
    if case["data_type"] == "images":
        case["payload"] |= {"format": "jpeg", "data": base64.b64encode(picture(1)).decode()}
    async with websockets.connect(f"ws{server[4:]}/api/v1/ingest", max_size=None, proxy=None) as ws:
        hello = {"type": "hello", "robot_id": "unstorable", "session_id": f"s{list(CASES).index(name)}"}
        await ws.send(json.dumps(hello))
        await ws.recv()
        await ws.send(json.dumps({"stream": "s", "seq": 0, "t_ns": 1} | case))
        said = await _answers(ws, "s", 0)
        rejects = [s for s in said if s["type"] == "reject"]
        assert [(r["stream"], r["seq"]) for r in rejects] == [("s", 0)]
        assert rejects[0]["code"] in ("bad_payload", "too_large")
        await ws.send(
            json.dumps({"data_type": "time_series", "stream": "good", "seq": 0, "t_ns": 1, "payload": {"x": 1}})
        )
        await _answers(ws, "good", 0)


@pytest.mark.parametrize("field", ["config", "metadata"])
async def test_a_hello_that_cannot_be_kept_is_refused(server: str, field: str) -> None:
    async with websockets.connect(f"ws{server[4:]}/api/v1/ingest", proxy=None) as ws:
        hello = {"type": "hello", "robot_id": "unstorable", "session_id": "hello"}
        await ws.send(json.dumps(hello | {field: {"x": HUGE}}))
        said = json.loads(await ws.recv())
        assert (said["type"], said["code"]) == ("reject", "bad_payload")
        await ws.send(json.dumps(hello))
        assert json.loads(await ws.recv())["type"] == "welcome"
