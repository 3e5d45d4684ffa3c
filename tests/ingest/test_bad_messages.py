"""Every bad message is refused by name and kept, and its neighbours, before and after, are stored."""

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
from support.raw_robot import T0, RawRobot, read_range

_SESSIONS = itertools.count()


@pytest.fixture
async def robot(server: str) -> AsyncIterator[RawRobot]:
    async with RawRobot(server, f"bad{next(_SESSIONS)}") as found:
        await found.hello()
        yield found


def message(**fields: Any) -> dict[str, Any]:
    good = {"data_type": "time_series", "stream": "x", "seq": 1, "t_ns": T0, "payload": {"id": 1}}
    return without_gaps(good | fields)


def without_gaps(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


def file(**payload: Any) -> dict[str, Any]:
    return message(data_type="file", stream="f", payload=without_gaps({"data": b"x"} | payload))


def log(**payload: Any) -> dict[str, Any]:
    return message(data_type="log", stream="l", payload=without_gaps({"message": "m"} | payload))


DEEP = b"\x81\xa1a" * 100_000 + b"\xc0"
NEST: Any = 1
for _ in range(65):
    NEST = {"a": NEST}
BAD: list[tuple[Any, str]] = [
    (message(data_type="telepathy"), "unknown_kind"),
    (message(data_type=7), "wrong_type"),
    (message(data_type=...), "missing_field"),
    (message(payload=...), "missing_field"),
    (message(t_ns=...), "missing_field"),
    (message(t_ns=-1), "bad_time"),
    (message(t_ns=2**63), "bad_time"),
    (message(t_ns="now"), "wrong_type"),
    (message(t_ns=True), "wrong_type"),
    (message(t_ns=..., timestamp=-0.5), "bad_time"),
    (message(t_ns=..., timestamp=float("nan")), "bad_time"),
    (message(t_ns=..., timestamp=1e300), "bad_time"),
    (message(t_ns=..., timestamp=2**60), "bad_time"),
    (message(seq=-1), "wrong_type"),
    (message(seq=2**63), "wrong_type"),
    (message(seq=1.5), "wrong_type"),
    (message(stream=""), "bad_id"),
    (message(stream="a//b"), "bad_id"),
    (message(stream="/".join("123456789")), "bad_id"),
    (message(stream="../x"), "bad_id"),
    (message(stream="ü"), "bad_id"),
    (message(robot_id=".."), "bad_id"),
    (message(session_id="x" * 129), "bad_id"),
    (message(session_id="another"), "other_session"),
    (message(producer="a b"), "bad_id"),
    (message(payload=17), "wrong_type"),
    (message(payload={}), "bad_payload"),
    (message(payload={"x": b"1"}), "bad_payload"),
    (message(payload={"x": 2**63}), "bad_payload"),
    (message(payload={"a.b": 1, "a": {"b": 2}}), "bad_payload"),
    (message(payload=NEST), "too_deep"),
    (message(payload={str(i): i for i in range(10_000)}), "too_large"),
    (message(payload={"t_ns": [T0], "channels": {str(i): [i] for i in range(10_000)}}), "too_large"),
    (message(payload={"t_ns": [T0], "channels": {"x": [1, 2]}}), "bad_payload"),
    (message(payload={"t_ns": [T0], "channels": 5}), "wrong_type"),
    (message(payload={"t_ns": [T0], "channels": {"x": ["y" * 4_100_000]}}), "too_large"),
    (message(metadata=5), "wrong_type"),
    (message(metadata={"n": 2**64 - 1}), "bad_payload"),
    (message(metadata={"a\0b": 1}), "bad_payload"),
    (message(metadata={1: 2}), "wrong_type"),
    (message(metadata={"x": "y" * 2_000_000}), "too_large"),
    (message(metadata={"x": NEST}), "too_deep"),
    (message(data_type="video", stream="v"), "missing_field"),
    (file(data=...), "missing_field"),
    (file(data=5), "wrong_type"),
    (file(data="%%", encoding="base64"), "bad_payload"),
    (file(encoding="rot13"), "bad_payload"),
    (file(checksum="00"), "bad_payload"),
    (file(metadata={"n": 2**64 - 1}), "bad_payload"),
    (file(name="n" * 20_000_000), "too_large"),
    (file(mime_type=5), "wrong_type"),
    (log(message=...), "missing_field"),
    (log(logger="g" * 900_000, metadata={"x": "y" * 2_000_000}), "too_large"),
    (message(data_type="images", stream="i", payload={"data": b"no image"}), "bad_payload"),
    (message(data_type="images", stream="i", payload={"data": b"x", "frame_number": 2**70 // 2**7}), "bad_payload"),
    ({"messages": 5}, "wrong_type"),
    ({"messages": [5]}, "wrong_type"),
    ({"type": "nonsense"}, "malformed"),
    ({"type": 42}, "wrong_type"),
    ({"type": "hello"}, "missing_field"),
    ({"type": "hello", "robot_id": "raw", "session_id": "other"}, "other_session"),
    ({"type": "hello", "robot_id": "raw", "session_id": "s", "metadata": {"n": 2**64 - 1}}, "bad_payload"),
    ({"type": "hello", "robot_id": "raw", "session_id": "s", "config": 5}, "wrong_type"),
    (17, "wrong_type"),
    ([], "wrong_type"),
    ({}, "missing_field"),
    (b"\xc1", "malformed"),
    (b"", "malformed"),
    (DEEP, "too_deep"),
    (msgpack.packb(message(payload=0))[:-1] + DEEP, "too_deep"),
    (msgpack.packb(message())[:-2], "malformed"),
    (msgpack.packb(message(stream="abc")).replace(b"abc", b"\xff\xfe\xfd"), "malformed"),
    (b"\xdf\xff\xff\xff\xff", "malformed"),
    (b"\xdd\xff\xff\xff\xff", "malformed"),
    (b"\xc6\xff\xff\xff\xff", "malformed"),
    ("hello?", "malformed"),
    (json.dumps(message())[:-3], "malformed"),
    (json.dumps(message(payload={"x": float("nan")})), "malformed"),
    (json.dumps(message(payload={"x": 10**40})), "bad_payload"),
    ('{"data_type": "log", "stream": "l", "seq": 1, "t_ns": 1, "payload": {"message": "\\ud800"}}', "malformed"),
    ("[" * 100_000 + "]" * 100_000, "too_deep"),
    (b"\x00" * (32 * 1024 * 1024 + 1), "too_large"),
]


def name_of(value: Any) -> str:
    return repr(value)[:60]


async def test_every_bad_message_is_refused_with_its_code_and_its_neighbours_are_stored(server: str) -> None:
    wrong = {}
    async with RawRobot(server, "all") as robot:
        await robot.hello()
        await robot.send(0)
        for i, (value, code) in enumerate(BAD):
            found = await robot.refused(value)
            if found != code:
                wrong[i] = (name_of(value), found, code, robot.rejects[-1]["detail"][:80])
            await robot.send(1000 + i)
        await robot.until(lambda: robot.acked.get("x") == 999 + len(BAD))
        assert len(robot.rejects) == len(BAD)
        assert all(r["detail"] for r in robot.rejects)
    assert not wrong
    rows = await read_range(server, "all", channels="id")
    assert [row["id"] for row in rows] == [0, *(1000 + i for i in range(len(BAD)))]
