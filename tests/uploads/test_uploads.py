"""Bytes that go straight to S3 become one record, exactly as they are; or none, and it is said why."""

import hashlib
import os
import time
from typing import Any

import httpx
import pytest
from support.frames import jpeg
from support.uploading import T0, RawUploader

MB = 1024 * 1024


@pytest.fixture(scope="module")
def server(upload_server: str) -> str:
    """All of these ask a server whose parts are as small as S3 takes them."""
    return upload_server


def test_bytes_put_at_once_become_a_record(server: str) -> None:
    robot = RawUploader(server, "once")
    data = os.urandom(100_000)
    item = robot.upload(data, name="noise.bin", metadata={"of": "a test"})
    assert item["status"] == "done"
    [record] = robot.records()
    assert (record["record_id"], record["t_ns"], record["size_bytes"]) == (item["record_id"], str(T0), len(data))
    assert record["metadata"]["of"] == "a test"
    assert robot.content(record["record_id"]) == data
    whole = robot.http.get(f"/records/{record['record_id']}").json()
    assert whole["checksum"] == hashlib.sha256(data).hexdigest()


def test_a_large_one_goes_in_parts_and_is_resumed_where_it_broke_off(server: str) -> None:
    robot = RawUploader(server, "parts")
    data = os.urandom(11 * MB)
    item = robot.begin(data, checksum="sha256:" + hashlib.sha256(data).hexdigest())
    assert [(p["number"], p["offset"], p["size"]) for p in item["parts"]] == [
        (1, 0, 5 * MB),
        (2, 5 * MB, 5 * MB),
        (3, 10 * MB, MB),
    ]
    assert (item["part_size"], item["part_count"]) == (5 * MB, 3)
    robot.put(item, data, only={2})
    early = robot.http.post(f"/uploads/{item['upload_id']}/complete")
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    assert "2 parts, of them 1, 3, are missing" in early.json()["detail"]
    again = robot.look(item["upload_id"])
    assert [p["number"] for p in again["parts"] if "url" in p] == [1, 3]
    assert [p["number"] for p in robot.look(item["upload_id"], after=1, limit=1)["parts"]] == [2]
    assert robot.look(item["upload_id"], after=1, limit=1)["next_part"] == 2
    robot.put(again, data)
    done = robot.complete(item["upload_id"]).json()
    assert done["status"] == "done"
    assert robot.content(done["record_id"]) == data
    late = httpx.put(item["parts"][0]["url"], content=b"late", trust_env=False)
    assert late.status_code >= 400  # nobody changes what was checked
    assert robot.content(done["record_id"]) == data


def test_completing_again_says_the_same_and_makes_no_second_record(server: str) -> None:
    robot = RawUploader(server, "again")
    item = robot.upload(b"once")
    for _ in range(3):
        assert robot.complete(item["upload_id"]).json() == item
    assert len(robot.records()) == 1
    assert robot.http.delete(f"/uploads/{item['upload_id']}").status_code == 409
    stats = robot.http.get(f"/sessions/{robot.robot}/{robot.session}").json()["stats"]
    assert stats["files"]["records"] == 1


def test_what_is_put_again_after_the_check_changes_nothing(server: str) -> None:
    robot = RawUploader(server, "again-put")
    item = robot.begin(b"good")
    robot.put(item, b"good")
    done = robot.complete(item["upload_id"]).json()
    robot.put(item, b"evil")
    assert robot.content(done["record_id"]) == b"good"


@pytest.mark.parametrize(
    ("more", "data", "code", "detail"),
    [
        ({"checksum": "sha256:" + "0" * 64}, b"abc", "bad_payload", "the checksum says 000"),
        ({"kind": "images"}, b"no picture at all", "bad_payload", "images: "),
        ({"size_bytes": 4}, b"abc", "bad_payload", "S3 has 3 bytes, 4 were to come"),
        ({"size_bytes": 2}, b"abc", "bad_payload", "S3 has 3 bytes, 2 were to come"),
        ({"mime_type": "no type"}, b"abc", "bad_payload", "is no media type"),
    ],
)
def test_what_is_bad_is_refused_kept_as_a_letter_and_gone_from_s3(
    server: str, more: dict[str, Any], data: bytes, code: str, detail: str
) -> None:
    robot = RawUploader(server, f"bad-{abs(hash(detail))}")
    item = robot.begin(data, **more)
    robot.put(item, data)
    for _ in range(2):
        refused = robot.complete(item["upload_id"])
        assert (refused.status_code, refused.json()["code"]) == (400, code), refused.text
        assert detail in refused.json()["detail"]
    stood = robot.look(item["upload_id"])
    assert (stood["status"], stood["code"]) == ("refused", code)
    [letter] = robot.letters()
    assert (letter["code"], letter["stream"]) == (code, "files")
    assert robot.records() == []
    assert robot.http.delete(f"/uploads/{item['upload_id']}").status_code == 204


def test_pictures_become_frames_by_their_content(server: str) -> None:
    robot = RawUploader(server, "frames")
    data = jpeg(320, 240)
    robot.upload(data, kind="images", stream="cam", payload={"frame_number": 7, "camera_id": "cam"})
    [frame] = robot.records()
    assert (frame["metadata"]["width"], frame["metadata"]["frame_number"]) == (320, 7)
    assert robot.content(frame["record_id"]) == data
    answer = robot.ask(3, stream="cam")
    assert (answer.status_code, answer.json()["code"]) == (400, "kind_mismatch")  # before a byte has moved


def test_samples_may_be_uploaded_as_the_payload_of_a_message(server: str) -> None:
    robot = RawUploader(server, "samples")
    payload = b'{"t_ns": [1700000000000000000, 1700000000000000001], "channels": {"x": [1, 2]}}'
    robot.upload(payload, kind="time_series", stream="pose")
    found = robot.http.get(
        f"/sessions/{robot.robot}/{robot.session}/range", params={"stream": "pose", "format": "ndjson"}
    )
    assert len(found.text.splitlines()) == 2


def test_a_key_names_one_upload_for_ever(server: str) -> None:
    robot = RawUploader(server, "keyed")
    first = robot.begin(b"abc", upload_key="arm.log of monday")
    assert robot.begin(b"abc", upload_key="arm.log of monday")["upload_id"] == first["upload_id"]
    other = robot.ask(4, upload_key="arm.log of monday")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    robot.put(first, b"abc")
    done = robot.complete(first["upload_id"]).json()
    assert robot.begin(b"abc", upload_key="arm.log of monday")["record_id"] == done["record_id"]
    assert len(robot.records()) == 1


def test_an_upload_that_is_given_up_may_be_begun_again(server: str) -> None:
    robot = RawUploader(server, "given-up")
    data = os.urandom(6 * MB)
    first = robot.begin(data, upload_key="k")
    robot.put(first, data, only={1})
    assert robot.http.delete(f"/uploads/{first['upload_id']}").status_code == 204
    assert robot.http.delete(f"/uploads/{first['upload_id']}").status_code == 204
    assert robot.http.post(f"/uploads/{first['upload_id']}/complete").status_code == 409
    assert httpx.put(first["parts"][1]["url"], content=data[5 * MB :], trust_env=False).status_code >= 400
    second = robot.begin(data, upload_key="k")
    assert [p["number"] for p in second["parts"] if "url" in p] == [1, 2]
    robot.put(second, data)
    assert robot.complete(first["upload_id"]).json()["status"] == "done"
    assert len(robot.records()) == 1


def test_what_is_left_alone_is_given_up(server: str) -> None:
    robot = RawUploader(server, "alone")
    data = os.urandom(6 * MB)
    items = [robot.begin(b"abc"), robot.begin(data)]
    robot.put(items[0], b"abc")
    robot.put(items[1], data, only={1})
    give_up_s = time.monotonic() + 20
    while (stood := [robot.look(i["upload_id"])["status"] for i in items]) != ["expired"] * 2:
        assert time.monotonic() < give_up_s, stood
        time.sleep(3.1)  # looking is asking for it
    assert httpx.put(items[1]["parts"][1]["url"], content=b"x", trust_env=False).status_code >= 400
    assert robot.records() == []


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"robot_id": "a b"}, 400, "bad_id"),
        ({"stream": "../x"}, 400, "bad_id"),
        ({"kind": "nonsense"}, 400, "unknown_kind"),
        ({"t_ns": -1}, 400, "bad_time"),
        ({"t_ns": None}, 400, "missing_field"),
        ({"checksum": "md5:1"}, 400, "bad_payload"),
        ({"size_bytes": 2**62}, 400, "too_large"),
        ({"size_bytes": -1}, 400, "malformed"),
        ({"metadata": {"$ref": 1}}, 400, "bad_payload"),
        ({"surprise": 1}, 400, "malformed"),
        ({"kind": "time_series", "size_bytes": 33 * MB}, 400, "too_large"),
    ],
)
def test_what_would_never_be_taken_is_not_begun(server: str, more: dict[str, Any], status: int, code: str) -> None:
    answer = RawUploader(server, "never").ask(3, **more)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_what_is_not_there_is_said_so(server: str) -> None:
    robot = RawUploader(server, "nothing")
    for answer in (
        robot.http.get("/uploads/none"),
        robot.http.post("/uploads/none/complete"),
        robot.http.delete("/uploads/none"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    item = robot.begin(b"abc")
    assert robot.http.post(f"/uploads/{item['upload_id']}/complete").status_code == 409
    bad = robot.http.post(f"/uploads/{item['upload_id']}/complete", params={"checksum": "x"})
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_payload")
