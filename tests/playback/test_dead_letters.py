"""Dead letters are found by what they were refused for, and give back the bytes that were kept."""

import httpx
from support.browse_server import Recorder

from datamanager.storage.dead_letters import DeadLetters


async def test_dead_letters_come_newest_first_and_filtered(http: httpx.AsyncClient, recorder: Recorder) -> None:
    letters = DeadLetters(recorder.mongo, per_session=100, ttl_s=3600)
    for i in range(5):
        letter = {"robot_id": "d1", "session_id": "s", "producer": "p", "stream": "x", "seq": 2**40 + i, "prev": None}
        kept = {"code": "bad_time" if i % 2 else "malformed", "detail": f"no {i}", "data": bytes([i]) * i}
        await letters.insert([{**letter, **kept, "size_bytes": i, "truncated": False}])
    found: list[dict[str, object]] = []
    cursor: dict[str, str] = {}
    for _ in range(3):
        page = (await http.get("/dead-letters", params={"robot_id": "d1", "limit": 2, **cursor})).json()
        found += page["items"]
        cursor = {"cursor": page["next_cursor"]}
    assert page["next_cursor"] is None
    assert [x["detail"] for x in found] == ["no 4", "no 3", "no 2", "no 1", "no 0"]
    assert found[0]["seq"] == 2**40 + 4
    bad = (await http.get("/dead-letters", params={"robot_id": "d1", "code": "bad_time"})).json()["items"]
    assert [x["detail"] for x in bad] == ["no 3", "no 1"]
    assert (await http.get("/dead-letters", params={"stream": "other"})).json()["items"] == []


async def test_the_bytes_of_a_dead_letter_are_saved_and_not_shown(http: httpx.AsyncClient, recorder: Recorder) -> None:
    letters = DeadLetters(recorder.mongo, per_session=100, ttl_s=3600)
    place = {"robot_id": "d2", "session_id": None, "producer": None, "stream": None, "seq": None, "prev": None}
    rest = {"code": "malformed", "detail": "x", "data": b"<script>", "size_bytes": 99, "truncated": True}
    await letters.insert([{**place, **rest}])
    (item,) = (await http.get("/dead-letters", params={"robot_id": "d2"})).json()["items"]
    assert (item["size_bytes"], item["truncated"]) == (99, True)
    answer = await http.get(item["url"].removeprefix("/api/v1"))
    assert answer.content == b"<script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_unknown_letters_and_foreign_cursors_are_told(http: httpx.AsyncClient) -> None:
    for letter_id in ("x", "0" * 24):
        assert (await http.get(f"/dead-letters/{letter_id}/content")).status_code == 404
    for cursor in ("AAAA", "kaF4"):  # no cursor at all; one that holds the text "x"
        answer = await http.get("/dead-letters", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
