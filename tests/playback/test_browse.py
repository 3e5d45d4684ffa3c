"""Robots, sessions and streams are found, paged and marked."""

import asyncio
from typing import Any

import httpx
import pytest
from support.browse_server import Recorder

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


async def all_pages(http: httpx.AsyncClient, path: str, limit: int, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await http.get(path, params={"limit": limit, **params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


async def ids(http: httpx.AsyncClient, **params: Any) -> list[str]:
    return [item["session_id"] for item in await all_pages(http, "/sessions", 2, **params)]


async def test_sessions_come_newest_first_over_any_number_of_pages(http: httpx.AsyncClient, recorder: Recorder) -> None:
    for i in range(5):
        await recorder.session("b1", f"s{i}", {}, created_ns=T0 + (i // 2) * NS)  # pairs made at the same time
    assert await ids(http, robot_id="b1") == ["s4", "s3", "s2", "s1", "s0"]


async def test_a_session_made_while_paging_moves_no_page(http: httpx.AsyncClient, recorder: Recorder) -> None:
    for i in range(4):
        await recorder.session("b2", f"s{i}", {}, created_ns=T0 + i)
    first = (await http.get("/sessions", params={"robot_id": "b2", "limit": 2})).json()
    await recorder.session("b2", "new", {}, created_ns=T0 + 9)
    rest = (await http.get("/sessions", params={"robot_id": "b2", "cursor": first["next_cursor"]})).json()
    assert [s["session_id"] for s in first["items"] + rest["items"]] == ["s3", "s2", "s1", "s0"]


async def test_sessions_are_those_whose_data_overlap_a_half_open_range(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    await recorder.session("b3", "early", {}, first_t_ns=T0, last_t_ns=T0 + 10)
    await recorder.session("b3", "late", {}, first_t_ns=T0 + 11, last_t_ns=T0 + 20)
    await recorder.session("b3", "empty", {})
    cases = {
        (T0, T0 + 1): ["early"],
        (T0 - 5, T0): [],
        (T0 + 10, T0 + 11): ["early"],
        (T0 + 10, T0 + 12): ["late", "early"],
        (T0 + 20, T0 + 99): ["late"],
        (T0 + 21, T0 + 99): [],
        (T0 + 5, T0 + 5): [],
    }
    for (start, end), want in cases.items():
        assert await ids(http, robot_id="b3", start=start, end=end) == want, (start - T0, end - T0)
    assert await ids(http, robot_id="b3", start=T0 + 11) == ["late"]
    assert await ids(http, robot_id="b3", end=T0 + 11) == ["early"]
    assert await ids(http, robot_id="b3") == ["empty", "late", "early"]


async def test_q_looks_in_ids_tags_and_notes_whatever_the_case_and_takes_no_patterns(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    await recorder.session("b4", "Run.1", {}, notes="Überholt [ok]")
    await recorder.session("b4", "run-2", {}, tags=["Blue"])
    for q, want in {"run.1": ["Run.1"], "überholt": ["Run.1"], "[ok]": ["Run.1"], "blu": ["run-2"], "r.n": []}.items():
        assert await ids(http, robot_id="b4", q=q) == want, q
    assert len(await ids(http, q="B4")) == 2


async def test_tag_and_status_filter_exactly(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("b5", "a", {}, tags=["x", "y"], status="ended")
    await recorder.session("b5", "b", {}, tags=["xy"])
    assert await ids(http, robot_id="b5", tag="x") == ["a"]
    assert await ids(http, robot_id="b5", status="recording") == ["b"]


async def test_tags_and_notes_are_set_apart_and_seen_at_once(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("b6", "s", {})
    answer = await http.patch("/sessions/b6/s", json={"tags": ["b", "a", "b"]})
    assert (answer.status_code, answer.json()["tags"]) == (200, ["b", "a"])
    await http.patch("/sessions/b6/s", json={"notes": "n"})
    found = (await http.get("/sessions/b6/s")).json()
    assert (found["tags"], found["notes"], found["status"]) == (["b", "a"], "n", "recording")
    assert (await http.patch("/sessions/b6/s", json={})).json()["notes"] == "n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"tags": ["t" * 128] * 64, "notes": "n" * 65_536}, 200),
        ({"tags": ["t" * 129]}, 400),
        ({"tags": [str(i) for i in range(65)]}, 400),
        ({"notes": "n" * 65_537}, 400),
        ({"tags": [""]}, 400),
        ({"tags": ["a,b"]}, 400),
        ({"tags": ["a\n"]}, 400),
        ({"tags": [7]}, 400),
        ({"tags": "x"}, 400),
        ({"notes": None}, 400),
        ({"status": "ended"}, 400),
        ([], 400),
    ],
)
async def test_marks_have_limits(http: httpx.AsyncClient, recorder: Recorder, body: object, status: int) -> None:
    await recorder.session("b7", "s", {})
    assert (await http.patch("/sessions/b7/s", json=body)).status_code == status


async def test_a_session_tells_what_its_streams_hold_over_all_producers(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    await recorder.session("b8", "s", {"pose": "time_series", "idle": "log"}, config={"rate": float("nan")})
    counts = {"records": 2, "samples": 2**40, "size_bytes": 10}
    for producer, first, last in (("left", T0 + 5, T0 + 9), ("right", T0, T0 + 7)):
        stream = {"stream": "pose", **counts, "first_t_ns": first, "last_t_ns": last}
        place = {"robot_id": "b8", "session_id": "s", "producer": producer}
        await recorder.mongo.durable("ledgers").insert_one({"_id": f"b8/s/{producer}", **place, "streams": [stream]})
    want = {"records": 4, "samples": 2**41, "size_bytes": 20, "first_t_ns": str(T0), "last_t_ns": str(T0 + 9)}
    found = (await http.get("/sessions/b8/s")).json()
    assert found["stats"] == {"pose": want}
    assert found["config"] == {"rate": "NaN"}
    streams = (await http.get("/sessions/b8/s/streams")).json()["items"]
    assert [s["stream"] for s in streams] == ["idle", "pose"]
    assert streams[1].items() >= {**want, "kind": "time_series"}.items()
    assert (streams[0]["records"], streams[0]["first_t_ns"]) == (0, None)


async def test_robots_are_counted_and_paged_by_name(http: httpx.AsyncClient, recorder: Recorder) -> None:
    for robot, sessions in (("robot-c", 1), ("robot-a", 2), ("robot-b", 1)):
        for i in range(sessions):
            await recorder.session(robot, f"s{i}", {}, status="recording" if i else "ended", last_t_ns=T0 + i)
    found = [r for r in await all_pages(http, "/robots", 2) if r["robot_id"].startswith("robot-")]
    assert [(r["robot_id"], r["sessions"], r["recording"]) for r in found] == [
        ("robot-a", 2, 1),
        ("robot-b", 1, 0),
        ("robot-c", 1, 0),
    ]
    assert found[0]["last_t_ns"] == str(T0 + 1)


async def test_what_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    for path in ("", "/streams", "/records", "/timeline", "/at?t=1"):
        answer = await http.get(f"/sessions/nobody/nothing{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await http.patch("/sessions/nobody/nothing", json={"notes": "x"})).status_code == 404


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": "1001"}, "too_large"),
        ({"limit": "0"}, "wrong_type"),
        ({"cursor": "AAAA"}, "malformed"),
        ({"start": "soon"}, "bad_time"),
        ({"start": "2", "end": "1"}, "bad_time"),
        ({"q": "x" * 257}, "too_large"),
        ({"q": "a\0b"}, "malformed"),
    ],
)
async def test_bad_parameters_are_refused_with_a_code(
    http: httpx.AsyncClient, params: dict[str, str], code: str
) -> None:
    answer = await http.get("/sessions", params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_many_marks_at_once_leave_one_of_them_whole(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("b9", "s", {})
    marks = [{"tags": [str(i)], "notes": str(i)} for i in range(10)]
    await asyncio.gather(*(http.patch("/sessions/b9/s", json=each) for each in marks))
    found = (await http.get("/sessions/b9/s")).json()
    assert {"tags": found["tags"], "notes": found["notes"]} in marks
