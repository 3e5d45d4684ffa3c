"""HTTP bodies: messages as they arrive, one answer at the end, and nothing that a sender does holds the server up."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgpack
import pytest
from support.processes import served
from support.raw_robot import T0, RawRobot, read_range
from support.waiting import eventually

from datamanager.config import Config

_SESSIONS = itertools.count()
NDJSON, MSGPACK = "application/x-ndjson", "application/msgpack"


@pytest.fixture
def session() -> str:
    return f"body{next(_SESSIONS)}"


@pytest.fixture(scope="module")
def hasty(server_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with small limits and no patience."""
    small = {
        "MESSAGE_TIMEOUT_S": "0.5",
        "MAX_MESSAGE_BYTES": "4000",
        "MAX_BATCH_MESSAGES": "10",
        "MAX_STREAMS": "3",
        "DEAD_LETTERS_PER_SESSION": "7",
    }
    variables = {f"DATAMANAGER_{name}": value for name, value in small.items()}
    with served(server_config, log=tmp_path_factory.mktemp("hasty") / "serve.log", **variables) as url:
        yield url


def hello(session: str, producer: str = "p") -> dict[str, Any]:
    return {"type": "hello", "robot_id": "raw", "session_id": session, "producer": producer}


def sample(seq: int | None, **fields: Any) -> dict[str, Any]:
    numbered = {} if seq is None else {"seq": seq}
    good = {"data_type": "time_series", "stream": "x", "t_ns": T0 + (seq or 0), "payload": {"id": seq}}
    return good | numbered | fields


def packed(values: list[Any], mime: str) -> bytes:
    if mime == MSGPACK:
        return b"".join(msgpack.packb(value) for value in values)
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


async def post(server: str, body: bytes | AsyncIterator[bytes], mime: str = NDJSON) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server, trust_env=False, timeout=30) as http:
        return await http.post("/api/v1/ingest", content=body, headers={"content-type": mime})


async def in_pieces(body: bytes, size: int, pause_s: float = 0) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]
        await asyncio.sleep(pause_s)


@pytest.mark.parametrize("mime", [NDJSON, MSGPACK])
async def test_a_body_in_pieces_is_answered_once_all_of_it_is_durable(server: str, session: str, mime: str) -> None:
    bad = b'{"x": oops}\n' if mime == NDJSON else msgpack.packb(17)
    values = [hello(session), *(sample(i) for i in range(40)), {"messages": [sample(i) for i in range(40, 50)]}]
    body = packed(values[:20], mime) + bad + packed(values[20:], mime)
    answer = await post(server, in_pieces(body, 37), mime)
    assert answer.status_code == 200
    said = answer.json()
    assert (said["accepted"], said["rejected"], said["acked"]) == (50, 1, {"x": 49})
    assert said["rejects"][0]["code"] in ("malformed", "wrong_type")
    assert [row["id"] for row in await read_range(server, session)] == list(range(50))


@pytest.mark.parametrize("mime", [NDJSON, MSGPACK])
async def test_a_body_that_is_sent_again_is_taken_once_and_told_no_conflict(
    server: str, session: str, mime: str
) -> None:
    columnar = {"t_ns": [T0 + 7, T0 + 6], "channels": {"id": [60, 61]}}
    log = {"data_type": "log", "stream": "l", "seq": 0, "t_ns": T0, "payload": {"message": "hi"}}
    body = packed([hello(session), *(sample(i) for i in range(6)), sample(6, payload=columnar), log], mime)
    for _ in range(2):
        said = (await post(server, body, mime)).json()
        assert said == {"accepted": 8, "rejected": 0, "rejects": [], "acked": {"x": 6, "l": 0}}
    assert len(await read_range(server, session)) == 8


async def test_another_message_under_a_known_number_is_a_conflict(server: str, session: str) -> None:
    await post(server, packed([hello(session), sample(0), sample(5), sample(3)], NDJSON))
    others = [sample(3), sample(0, t_ns=T0 + 99), sample(5, payload={"t_ns": [1], "channels": 5}), sample(6)]
    said = (await post(server, packed([hello(session), *others], NDJSON))).json()
    assert [(r["seq"], r["code"]) for r in said["rejects"]] == [(0, "seq_conflict"), (5, "wrong_type")]
    assert (said["accepted"], said["acked"]) == (2, {"x": 6})


async def test_thousands_of_bad_messages_are_counted_and_the_first_thousand_told(server: str, session: str) -> None:
    batch = {"messages": [sample(i, payload={"x": 2**70}) for i in range(1500)]}
    said = (await post(server, packed([hello(session), batch, sample(1500)], NDJSON))).json()
    assert (said["accepted"], said["rejected"], len(said["rejects"])) == (1, 1500, 1000)
    assert said["acked"] == {"x": 1500}


async def test_an_answer_waits_for_no_other_sender(server: str, session: str) -> None:
    async with RawRobot(server, session) as robot:
        await robot.hello()

        async def push() -> None:
            for seq in itertools.count():
                await robot.send(2 * seq + 1000, t_ns=T0)
                await asyncio.sleep(0.001)

        pushing = asyncio.create_task(push())
        began = time.monotonic()
        said = (await post(server, packed([hello(session), sample(0)], NDJSON))).json()
        assert said["accepted"] == 1
        assert time.monotonic() - began < 5
        pushing.cancel()


async def test_a_message_that_trickles_is_given_up_and_what_came_before_is_kept(hasty: str, session: str) -> None:
    body = packed([hello(session), sample(0)], NDJSON)
    answer = await post(hasty, in_pieces(body + b'{"data_type": "time_series", ' * 20, 29, 0.1))
    said = answer.json()
    assert (said["accepted"], said["acked"]) == (1, {"x": 0})
    assert [r["code"] for r in said["rejects"]] == ["malformed"]
    assert "not whole after 0.5 s" in said["rejects"][0]["detail"]


async def test_a_body_that_is_never_between_messages_may_take_its_time(hasty: str, session: str) -> None:
    body = packed([hello(session), *(sample(i) for i in range(30))], NDJSON)
    said = (await post(hasty, in_pieces(body, len(body) // 20, 0.1))).json()  # each piece ends within a message
    assert (said["accepted"], said["rejected"]) == (30, 0)


async def test_a_pause_between_messages_may_be_long(hasty: str, session: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield packed([hello(session), sample(0)], NDJSON)
        await asyncio.sleep(0.8)
        yield packed([sample(1)], NDJSON)[:10]
        await asyncio.sleep(0.1)
        yield packed([sample(1)], NDJSON)[10:]

    assert (await post(hasty, body())).json()["accepted"] == 2


async def test_limits_are_taken_up_to_and_refused_beyond(hasty: str, session: str) -> None:
    def padded(seq: int, length: int) -> bytes:
        text = json.dumps(sample(seq, payload={"id": ""}))
        return text.replace('""', json.dumps("x" * (length - len(text)))).encode() + b"\n"

    body = packed([hello(session)], NDJSON) + padded(0, 4000) + padded(1, 4001) + padded(2, 50_000) + padded(3, 100)
    said = (await post(hasty, body)).json()
    assert [r["code"] for r in said["rejects"]] == ["too_large", "too_large"]
    assert (said["accepted"], said["acked"]) == (2, {"x": 3})
    ten = {"messages": [sample(i) for i in range(4, 14)]}
    eleven = {"messages": [sample(i) for i in range(14, 25)]}
    said = (await post(hasty, packed([hello(session), ten, eleven], MSGPACK), MSGPACK)).json()
    assert (said["accepted"], [r["code"] for r in said["rejects"]]) == (10, ["too_large"])
    streams = [sample(0, stream=name) for name in ("y", "z", "one_too_many")]
    said = (await post(hasty, packed([hello(session), *streams], NDJSON))).json()
    assert [(r["stream"], r["code"]) for r in said["rejects"]] == [("one_too_many", "too_large")]


async def test_a_msgpack_body_that_cannot_be_cut_any_more_ends_there(hasty: str, session: str) -> None:
    good = packed([hello(session), sample(0)], MSGPACK)
    for tail in (b"\xc1", b"\xc6\xff\xff\xff\xff" + bytes(5000), packed([sample(1)], MSGPACK)[:-1]):
        said = (await post(hasty, good + tail, MSGPACK)).json()
        assert (said["accepted"], len(said["rejects"])) == (1, 1)


async def test_bodies_of_no_known_type_and_messages_of_nobody_are_refused(server: str) -> None:
    answer = await post(server, b"x", "text/html")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    said = (await post(server, packed([sample(0)], NDJSON))).json()
    assert [r["code"] for r in said["rejects"]] == ["missing_field"]
    assert (await post(server, b"")).json() == {"accepted": 0, "rejected": 0, "rejects": [], "acked": {}}


async def test_what_a_sender_that_vanished_had_sent_is_kept(
    server_config: Config, session: str, tmp_path: Path
) -> None:
    log = tmp_path / "serve.log"
    with served(server_config, log=log) as server:
        await vanish(server, session)
        async with asyncio.timeout(10), RawRobot(server, session) as robot:
            assert (await robot.hello())["acked"] == {"x": 1}
        assert [row["id"] for row in await read_range(server, session)] == [0, 1]
    assert "a sender broke its body off" in log.read_text()
    assert "failed" not in log.read_text()


async def vanish(server: str, session: str) -> None:
    """Sends half a body, and closes the connection."""
    where = urlsplit(server)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    body = packed([hello(session), sample(0), sample(1)], NDJSON) + b'{"data_type": "time_'
    head = f"POST /api/v1/ingest HTTP/1.1\r\nhost: x\r\ncontent-type: {NDJSON}\r\ncontent-length: 100000\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:

        async def arrived() -> bool:
            answer = await http.get(f"/api/v1/sessions/raw/{session}/streams")
            return answer.status_code == 200 and bool(answer.json()["items"])

        await eventually(arrived)
    writer.write_eof()  # half closed: no more will come
    await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def test_a_body_may_end_the_session(server: str, session: str) -> None:
    said = (await post(server, packed([hello(session), sample(0), {"type": "bye"}], NDJSON))).json()
    assert said["acked"] == {"x": 0}
    async with httpx.AsyncClient(base_url=server, trust_env=False) as http:
        assert (await http.get(f"/api/v1/sessions/raw/{session}")).json()["status"] == "ended"


async def test_dead_letters_of_a_session_are_bounded_and_the_newest_stay(hasty: str, session: str) -> None:
    bad = [sample(i, payload=5) for i in range(50)]
    said = (await post(hasty, packed([hello(session), sample(50), *bad], NDJSON))).json()
    assert (said["rejected"], said["acked"]) == (50, {"x": 50})
    async with httpx.AsyncClient(base_url=hasty, trust_env=False) as http:
        items = (await http.get("/api/v1/dead-letters", params={"session_id": session})).json()["items"]
    assert sorted(item["seq"] for item in items) == list(range(43, 50))
