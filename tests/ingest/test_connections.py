"""What a robot is promised on its socket: welcome, acks, rejects, windows, and how it ends."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest
from support.raw_robot import T0, RawRobot, read_range
from support.waiting import eventually

_SESSIONS = itertools.count()
NS = 1_000_000_000


@pytest.fixture
def session() -> str:
    return f"con{next(_SESSIONS)}"


@pytest.fixture
async def robot(server: str, session: str) -> AsyncIterator[RawRobot]:
    async with RawRobot(server, session) as found:
        await found.hello()
        yield found


async def document(server: str, session: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        found: dict[str, Any] = (await http.get(f"/api/v1/sessions/raw/{session}")).json()
    return found


async def ids(server: str, session: str, **more: Any) -> list[int]:
    return [row["id"] for row in await read_range(server, session, **more)]


async def test_the_welcome_tells_the_limits_and_what_is_acked(server: str, session: str, robot: RawRobot) -> None:
    assert robot.welcome["acked"] == {}
    assert {"window", "window_bytes", "max_message_bytes"} <= robot.welcome["limits"].keys()
    for seq in (3, 4, 9):
        await robot.send(seq)
    await robot.until(lambda: robot.acked.get("x") == 9)
    async with RawRobot(server, session) as again:
        assert (await again.hello())["acked"] == {"x": 9}
        assert (await again.hello("another"))["acked"] == {}


async def test_answers_come_in_the_form_of_what_was_sent(robot: RawRobot) -> None:
    await robot.send(0, text=True)
    await robot.until(lambda: robot.acked.get("x") == 0)
    await robot.send(1)
    await robot.until(lambda: robot.acked.get("x") == 1)
    assert robot.forms == [bytes, str, bytes]  # welcome, ack, ack


async def test_a_reject_comes_before_the_ack_that_covers_it(robot: RawRobot) -> None:
    for seq in range(20):
        await robot.send(seq, {"id": b"bad"} if seq % 3 == 0 else None)
    await robot.until(lambda: robot.acked.get("x") == 19)
    told: set[int] = set()
    for said in robot.said:
        if said["type"] == "reject":
            assert (said["stream"], said["code"]) == ("x", "bad_payload")
            told.add(said["seq"])
        if said["type"] == "ack":
            assert set(range(0, said["acked"]["x"] + 1, 3)) <= told
    assert told == set(range(0, 20, 3))


async def test_a_newer_hello_closes_the_older_socket_and_both_sockets_data_are_kept(
    server: str, session: str, robot: RawRobot
) -> None:
    await robot.send(0)
    await robot.until(lambda: robot.acked)
    async with RawRobot(server, session) as newer:
        assert (await newer.hello())["acked"] == {"x": 0}
        assert await robot.closed() == 4001
        await newer.send(1)
        await newer.until(lambda: newer.acked.get("x") == 1)
    assert await ids(server, session) == [0, 1]


async def test_other_producers_sockets_stay_open_and_number_for_themselves(
    server: str, session: str, robot: RawRobot
) -> None:
    async with RawRobot(server, session) as other:
        await other.hello("q")
        for seq in range(3):
            await robot.send(seq, {"id": seq})
            await other.send(seq, {"id": 10 + seq})
        await robot.until(lambda: robot.acked.get("x") == 2)
        await other.until(lambda: other.acked.get("x") == 2)
    assert sorted(await ids(server, session)) == [0, 1, 2, 10, 11, 12]


async def test_a_robot_that_counts_from_nought_again_is_told_so(robot: RawRobot) -> None:
    for seq in (0, 1):
        await robot.send(seq)
    await robot.until(lambda: robot.acked.get("x") == 1)
    await robot.send(0, {"id": "new"})
    await robot.until(lambda: robot.rejects)
    assert (robot.rejects[0]["seq"], robot.rejects[0]["code"]) == (0, "seq_conflict")
    await robot.send(2)
    await robot.until(lambda: robot.acked.get("x") == 2)


async def test_a_refused_repeat_of_what_is_under_way_covers_nothing(server: str, session: str) -> None:
    async with RawRobot(server, session) as robot:
        await robot.hello()
        await robot.send(5)
        await robot.send(5)
        await robot.until(lambda: robot.rejects and robot.acked.get("x") == 5)
    async with RawRobot(server, session) as again:
        assert (await again.hello())["acked"] == {"x": 5}


async def test_what_is_sent_again_as_a_redelivery_is_acked_and_not_doubled(
    server: str, session: str, robot: RawRobot
) -> None:
    payload = {"t_ns": [T0, T0 + 1], "channels": {"id": [1, 2]}}
    for _ in range(3):
        await robot.send(0, payload, redelivery=True)
        await robot.send(1, {"id": 3}, redelivery=True, t_ns=T0 + 2)
    await robot.until(lambda: robot.acked.get("x") == 1)
    acks = len(robot.said)
    await robot.send(0, payload, redelivery=True)
    await robot.until(lambda: len(robot.said) > acks)  # told again, for who asks again waits
    assert await ids(server, session) == [1, 2, 3]
    assert not robot.rejects


async def test_numbers_may_skip_and_come_late(server: str, session: str, robot: RawRobot) -> None:
    for seq in (17, 25, 20, 18):
        await robot.send(seq, t_ns=T0 + seq)
    await robot.until(lambda: robot.acked.get("x") == 25)
    await robot.send(19, t_ns=T0 + 19)
    said = len(robot.said)
    await robot.until(lambda: len(robot.said) > said)
    assert await ids(server, session) == [17, 18, 19, 20, 25]


async def test_the_largest_number_is_taken_and_nothing_can_be_numbered_after_it(server: str, session: str) -> None:
    async with RawRobot(server, session) as robot:
        await robot.hello()
        await robot.send(2**63 - 1, {"id": 0})
        await robot.until(lambda: robot.acked.get("x") == 2**63 - 1)
        for n in (1, 2):
            good = {"data_type": "time_series", "stream": "x", "t_ns": T0 + 1, "payload": {"id": 1}}
            await robot.put({"messages": [good] * n})
            await robot.until(lambda n=n: len(robot.rejects) == n * (n + 1) // 2)
        assert {r["code"] for r in robot.rejects} == {"wrong_type"}
    assert await ids(server, session) == [0]


async def test_what_bears_no_number_is_numbered_on_over_connections_and_transports(server: str, session: str) -> None:
    message = {"robot_id": "raw", "session_id": session, "data_type": "telemetry", "stream": "x"}
    for i in range(2):
        async with RawRobot(server, session, path="/ws") as robot:
            batch = [message | {"timestamp": 1_700_000_000 + 2 * i + k, "payload": {"id": 2 * i + k}} for k in range(2)]
            await robot.put({"batch_id": "b", "messages": batch}, text=True)
            await robot.until(lambda i=i: robot.acked.get("x") == 2 * i + 1)
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        body = message | {"timestamp": 1_700_000_004, "payload": {"id": 4}}
        answer = await http.post("/api/v1/ingest", json=body)
        assert answer.json() == {"accepted": 1, "rejected": 0, "rejects": [], "acked": {"x": 4}}
    assert await ids(server, session) == [0, 1, 2, 3, 4]


async def test_bye_ends_the_session_and_later_data_opens_it_again(server: str, session: str, robot: RawRobot) -> None:
    await robot.send(0)
    await robot.put({"type": "bye"})
    assert await robot.closed() == 1000
    assert robot.acked == {"x": 0}  # told before the close
    ended = await document(server, session)
    assert (ended["status"], ended["end_time"]) == ("ended", "2023-11-14T22:13:20Z")
    async with RawRobot(server, session) as again:
        await again.hello()
        await again.send(1)
        await again.until(lambda: again.acked.get("x") == 1)
    assert (await document(server, session))["status"] == "recording"


async def test_a_time_far_ahead_is_kept_and_flagged(server: str, session: str, robot: RawRobot) -> None:
    await robot.send(0, t_ns=2**63 - 1)
    await robot.until(lambda: robot.acked.get("x") == 0)
    assert await ids(server, session) == [0]
    assert (await document(server, session))["flags"] == ["clock_ahead"]


async def test_times_of_all_ages_stand_in_one_message(server: str, session: str, robot: RawRobot) -> None:
    await robot.send(0, {"t_ns": [2**63 - 1, 0, T0], "channels": {"id": [3, 1, 2]}})
    await robot.until(lambda: robot.acked.get("x") == 0)
    assert await ids(server, session) == [1, 2, 3]
    assert await ids(server, session, start=T0, end=T0 + 1) == [2]


async def test_ten_thousand_channels_are_too_many_also_one_by_one(robot: RawRobot) -> None:
    most = robot.welcome["limits"]["max_channels"]
    await robot.send(0, {"t_ns": [T0], "channels": {f"c{i:05}": [i] for i in range(most)}})
    await robot.send(1, {"one": 1, "more": 2})
    await robot.send(2, {"c00000": 1})
    await robot.until(lambda: robot.acked.get("x") == 2)
    assert [(r["seq"], r["code"]) for r in robot.rejects] == [(1, "too_large")]


async def test_samples_of_ever_other_channels_are_all_stored(server: str, session: str, robot: RawRobot) -> None:
    for seq in range(2000):
        await robot.send(seq, {"id": seq, f"c{seq % 700}": seq}, t_ns=T0 + seq)
    await robot.until(lambda: robot.acked.get("x") == 1999)
    rows = await read_range(server, session, channels="id,c3")
    assert [row["id"] for row in rows] == list(range(2000))
    assert [row["c3"] for row in rows if row["c3"] is not None] == [3, 703, 1403]
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        [stream] = (await http.get(f"/api/v1/sessions/raw/{session}/streams")).json()["items"]
    assert len(stream["channels"]) == 701


async def test_a_long_text_is_taken_up_to_a_block_and_refused_beyond(
    server: str, session: str, robot: RawRobot
) -> None:
    most = robot.welcome["limits"]["max_block_bytes"]
    for seq, length in enumerate((most - 100, most + 1, 10)):
        await robot.send(seq, {"id": "x" * length}, t_ns=T0 + seq)
    await robot.until(lambda: robot.acked.get("x") == 2)
    assert [(r["seq"], r["code"]) for r in robot.rejects] == [(1, "too_large")]
    assert [len(text) for text in await ids(server, session)] == [most - 100, 10]  # type: ignore[arg-type]  # texts here


async def test_numbers_that_become_text_within_one_block_are_kept(server: str, session: str, robot: RawRobot) -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    await robot.send(0, {"t_ns": list(range(20_000)), "channels": {"id": values.tobytes()}})
    await robot.send(1, {"id": "text"}, t_ns=20_001)
    await robot.until(lambda: robot.acked.get("x") == 1)
    found = await ids(server, session)
    assert [float(text) for text in found[:-1]] == values.tolist()
    assert found[-1] == "text"


async def test_many_booleans_that_stand_among_texts_are_kept(server: str, session: str, robot: RawRobot) -> None:
    n = 20_000
    flags = {f"c{i}": np.ones(n, bool).tobytes() for i in range(40)}
    times = (T0 + np.arange(n)).tobytes()
    await robot.send(0, dict.fromkeys(flags, "text"), t_ns=T0 - 1)
    await robot.send(1, {"t_ns": times, "channels": flags, "dtypes": dict.fromkeys(flags, "bool")})
    await robot.send(2, dict.fromkeys(flags, "text"), t_ns=T0 + n)
    await robot.until(lambda: robot.acked.get("x") == 2)
    assert not robot.rejects
    rows = await read_range(server, session, channels="c7")
    assert [row["c7"] for row in rows] == ["text", *["true"] * n, "text"]


async def test_a_message_of_another_session_touches_no_number_of_this_one(robot: RawRobot) -> None:
    await robot.send(0)
    await robot.send(50, session_id="elsewhere")
    await robot.send(60, producer="q", payload={"id": b"bad"})
    await robot.put({"data_type": "time_series", "stream": "x", "seq": 70, "producer": "q"})
    await robot.until(lambda: len(robot.rejects) == 3)
    await robot.send(1)
    await robot.until(lambda: robot.acked.get("x") == 1)
    mine = [said["acked"] for said in robot.said if said["type"] == "ack" and "producer" not in said]
    assert mine == sorted(mine, key=lambda acked: acked["x"])
    assert mine[-1] == {"x": 1}
    await robot.until(lambda: any(s.get("producer") == "q" and s["acked"] == {"x": 70} for s in robot.said))


async def test_what_is_refused_makes_no_stream_and_is_acked_past(server: str, session: str, robot: RawRobot) -> None:
    await robot.send(0, {"data": b"no image"}, data_type="images")
    await robot.send(1, {"data": b"x"}, data_type="video")
    await robot.send(2, {"id": b"bad"})
    await robot.send(3, t_ns=-1)
    await robot.until(lambda: robot.acked.get("x") == 3)
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        assert (await http.get(f"/api/v1/sessions/raw/{session}/streams")).json()["items"] == []
    await robot.send(4)
    await robot.until(lambda: robot.acked.get("x") == 4)
    assert await ids(server, session) == [4]
    assert [r["code"] for r in robot.rejects] == ["bad_payload", "bad_payload", "bad_payload", "bad_time"]
    async with RawRobot(server, session) as again:
        assert (await again.hello())["acked"] == {"x": 4}


async def test_a_batch_of_anything_is_taken_apart(server: str, session: str, robot: RawRobot) -> None:
    good: dict[str, Any] = {"data_type": "time_series", "stream": "x", "t_ns": T0}
    batch: list[Any] = [
        good | {"seq": 0, "payload": {"id": 0}},
        5,
        good | {"seq": 1, "payload": {"id": b"bad"}},
        good | {"seq": 2, "payload": {"t_ns": [T0 + 1], "channels": {"id": [2]}}},
        good | {"seq": 3, "payload": {"id": 3.5}, "t_ns": T0 + 2},
        {"data_type": "log", "stream": "l", "seq": 0, "t_ns": T0, "payload": {"message": "hi"}},
        good | {"seq": 4, "payload": {"id": 4}, "t_ns": T0 + 3},
    ]
    await robot.put({"batch_id": "b", "messages": batch})
    await robot.until(lambda: robot.acked.get("x") == 4 and robot.acked.get("l") == 0)
    assert [r["seq"] for r in robot.rejects] == [None, 1]
    assert await ids(server, session) == [0.0, 2.0, 3.5, 4.0]


async def test_a_data_message_with_a_field_called_messages_is_one(server: str, session: str, robot: RawRobot) -> None:
    await robot.send(0, messages=[])
    await robot.until(lambda: robot.acked.get("x") == 0)
    assert await ids(server, session) == [0]


async def test_samples_of_several_cameras_in_a_batch_go_to_their_streams(
    server: str, session: str, robot: RawRobot
) -> None:
    good = {"data_type": "time_series", "t_ns": T0}
    for camera in ("a", "b"):
        await robot.put(good | {"payload": {"camera_id": camera, "id": 0}})
    await robot.put({"messages": [good | {"payload": {"camera_id": c, "id": 1}} for c in ("a", "b", "a", "b")]})
    await robot.until(lambda: robot.acked.get("a") == 2 and robot.acked.get("b") == 2)
    assert await ids(server, session, stream="a") == [0, 1, 1]


async def test_dead_letters_keep_the_bytes_and_are_bounded(server: str, session: str, robot: RawRobot) -> None:
    await robot.send(0, {"id": b"bad"})
    await robot.send(1, {"id": b"x" * 200_000})
    await robot.until(lambda: len(robot.rejects) == 2)
    async with httpx.AsyncClient(base_url=f"{server}/api/v1/", trust_env=False) as http:

        async def kept() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await http.get("dead-letters", params={"session_id": session})).json()[
                "items"
            ]
            return found if len(found) == 2 else []

        await eventually(kept)
        large, small = await kept()
        assert (small["stream"], small["seq"], small["code"], small["producer"]) == ("x", 0, "bad_payload", "p")
        assert (large["seq"], large["truncated"], large["size_bytes"] > 200_000) == (1, True, True)
        content = (await http.get(f"dead-letters/{small['dead_letter_id']}/content")).content
        assert msgpack.unpackb(content)["payload"] == {"id": b"bad"}
        assert len((await http.get(f"dead-letters/{large['dead_letter_id']}/content")).content) == 65536
