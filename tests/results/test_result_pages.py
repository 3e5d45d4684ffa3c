"""Results come by page, of a session or of all, with what they say and where their frames are."""

from typing import Any

import httpx
import pytest
from support.browse_server import Recorder
from support.results import box, detections, embedding, put_results, quality

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


async def recorded(recorder: Recorder, session_id: str, count: int, robot_id: str = "rp") -> list[str]:
    """A session with frames of `front`, each with a quality and detections: frame n has n cars and one dog."""
    await recorder.session(robot_id, session_id, {"front": "images"})
    frame_ids = await recorder.frames(robot_id, session_id, "front", [T0 + n * NS for n in range(count)])
    results = []
    for n, frame_id in enumerate(frame_ids):
        t_ns = T0 + n * NS
        cars = [box("car", 0.5 + n / 20, [n, 1, 20, 30], track_id=i) for i in range(n)]
        results.append(quality(robot_id, session_id, frame_id, t_ns, sharpness=100.0 - n))
        results.append(detections(robot_id, session_id, frame_id, t_ns, [box("dog", 0.9), *cars]))
    await put_results(recorder.mongo, results)
    return frame_ids


def ids(page: dict[str, Any]) -> list[str]:
    return [item["frame_id"] for item in page["items"]]


async def test_an_item_says_it_all(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_ids = await recorded(recorder, "one", 2)
    page = (await http.get("/sessions/rp/one/results", params={"stream": "front/detections"})).json()
    assert ids(page) == frame_ids
    item = page["items"][1]
    urls = item.pop("urls")
    assert item == {
        "result_id": f"detections/{frame_ids[1]}",
        "robot_id": "rp",
        "session_id": "one",
        "frame_id": frame_ids[1],
        "t_ns": str(T0 + NS),
        "timestamp": 1_700_000_001.0,
        "stream": "front",
        "output": "front/detections",
        "enrichment": "detections",
        "task": "detect",
        "model": "detect-model",
        "version": "1",
        "status": "ok",
        "latency_ms": 4.5,
        "total_ms": 20.25,
        "values": {"count": 2.0, "counts.dog": 1.0, "counts.car": 1.0},
        "detections": [
            {"class": "dog", "class_id": 3, "score": 0.9, "box": [0, 0, 10, 10]},
            {"class": "car", "class_id": 3, "score": 0.55, "box": [1, 1, 20, 30], "track_id": 0},
        ],
        "extra": {"width": 640, "height": 480},
    }
    records = (await http.get("/sessions/rp/one/records")).json()["items"]
    assert urls.keys() == records[1]["urls"].keys() == {"original", "preview", "thumbnail"}
    assert urls["thumbnail"] == records[1]["urls"]["thumbnail"]
    assert urls["original"].split("?")[0] == records[1]["urls"]["original"].split("?")[0]
    few = (await http.get("/sessions/rp/one/results", params={"tier": "thumbnail"})).json()["items"]
    assert [list(item["urls"]) for item in few] == [["thumbnail"]] * 4


async def test_frames_with_two_cars_are_found(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_ids = await recorded(recorder, "cars", 5)
    params = {"stream": "front/detections", "where": "counts.car >= 2"}
    assert ids((await http.get("/sessions/rp/cars/results", params=params)).json()) == frame_ids[2:]
    for where, expected in [
        ("sharpness < 98", frame_ids[3:]),
        ("counts.car == 0 and output == 'front/detections'", frame_ids[:1]),
        ("detections.class == 'car' and detections.score > 0.6", frame_ids[3:]),
        ("detections.class == 'car' and detections.score > 0.8", []),
        ("detections.class == 'dog' and detections.score > 0.8", frame_ids),
        ("detections.track_id == 3", frame_ids[4:]),
        (" ", [frame_id for frame_id in frame_ids for _ in range(2)]),
    ]:
        assert ids((await http.get("/sessions/rp/cars/results", params={"where": where})).json()) == expected, where


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_follow_each_other_whatever_comes_between(
    http: httpx.AsyncClient, recorder: Recorder, order: str
) -> None:
    session_id = f"paged-{order}"
    await recorded(recorder, session_id, 5)
    whole = (await http.get(f"/sessions/rp/{session_id}/results", params={"order": order})).json()
    assert whole["next_cursor"] is None
    times = [int(item["t_ns"]) for item in whole["items"]]
    assert times == sorted(times, reverse=order == "desc")
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"order": order, "limit": 3}
    while True:
        page = (await http.get(f"/sessions/rp/{session_id}/results", params=params)).json()
        found += page["items"]
        assert len(page["items"]) == 3 or page["next_cursor"] is None
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
        early = T0 - NS if order == "asc" else T0 + 99 * NS  # lies before where the pages are
        await put_results(recorder.mongo, [quality("rp", session_id, f"late-{order}-{len(found)}", early)])
    assert [item["result_id"] for item in found] == [item["result_id"] for item in whole["items"]]


async def test_a_range_is_half_open(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_ids = await recorded(recorder, "range", 5)
    params = {"stream": "front/quality", "start": str(T0 + NS), "end": "1700000003"}
    assert ids((await http.get("/sessions/rp/range/results", params=params)).json()) == frame_ids[1:3]
    params |= {"start": str(T0 + NS + 1)}
    assert ids((await http.get("/sessions/rp/range/results", params=params)).json()) == frame_ids[2:3]
    params |= {"start": params["end"]}
    assert ids((await http.get("/sessions/rp/range/results", params=params)).json()) == []


async def test_results_of_all_sessions_are_found_by_what_they_say(http: httpx.AsyncClient, recorder: Recorder) -> None:
    first = await recorded(recorder, "a", 4, robot_id="across-1")
    second = await recorded(recorder, "b", 3, robot_id="across-1")
    third = await recorded(recorder, "a", 4, robot_id="across-2")
    mine = "(model == 'detect-model' or model == 'quality-model') and enrichment != 'other'"

    async def asked(**params: str) -> list[str]:
        where = f"{params.pop('where', 'counts.car >= 2')} and {mine}"
        page = (await http.get("/results", params={"where": where, **params})).json()
        return [item["frame_id"] for item in page["items"] if item["robot_id"].startswith("across")]

    assert set(await asked()) == {first[2], first[3], second[2], third[2], third[3]}
    assert set(await asked(robot_id="across-1")) == {first[2], first[3], second[2]}
    assert await asked(robot_id="across-1", session_id="b") == [second[2]]
    assert set(await asked(session_id="a")) >= {first[2], first[3], third[2], third[3]}
    assert await asked(robot_id="across-2", where="sharpness == 98", order="desc") == [third[2]]
    assert await asked(robot_id="nobody") == []


async def test_what_failed_says_why_and_telemetry_has_no_frame(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("rp", "odd", {"front": "images"})
    gone = quality("rp", "odd", "gone", T0, status="failed", reason="the bytes are broken", values={})
    window = quality("rp", "odd", "", T0 + 1, of="imu@1", stream="imu", output="imu/anomaly", score=float("nan"))
    await put_results(recorder.mongo, [gone, window])
    first, second = (await http.get("/sessions/rp/odd/results")).json()["items"]
    assert (first["status"], first["reason"], first["values"], first["urls"]) == (
        "failed",
        "the bytes are broken",
        {},
        None,
    )
    assert (second["frame_id"], second["urls"], second["values"]["score"]) == (None, None, "NaN")
    found = (await http.get("/sessions/rp/odd/results", params={"where": "status == 'failed'"})).json()["items"]
    assert [item["frame_id"] for item in found] == ["gone"]


async def test_a_frame_s_results_are_all_there_without_their_vectors(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    frame_ids = await recorded(recorder, "frame", 2)
    await put_results(recorder.mongo, [embedding("rp", "frame", frame_ids[1], T0 + NS, [1.0, 0.0])])
    answer = (await http.get(f"/frames/{frame_ids[1]}/results")).json()
    assert answer["frame_id"] == frame_ids[1]
    assert [item["output"] for item in answer["items"]] == ["front/detections", "front/embedding", "front/quality"]
    assert not any("vector" in item for item in answer["items"])
    assert all(item["urls"]["thumbnail"] for item in answer["items"])
    assert (await http.get("/frames/nothing/results")).status_code == 404


async def test_what_cannot_be_read_is_refused(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorded(recorder, "bad", 1)
    for params, code in [
        ({"where": "counts.car >="}, "malformed"),
        ({"where": "(" * 17 + "x == 1"}, "too_deep"),
        ({"where": "x == " + "1" * 2000}, "too_large"),
        ({"order": "up"}, "wrong_type"),
        ({"tier": "huge"}, "wrong_type"),
        ({"limit": "201"}, "too_large"),
        ({"limit": "0"}, "wrong_type"),
        ({"cursor": "x"}, "malformed"),
        ({"cursor": "ks-AAAAAAAAAAKF4"}, "malformed"),  # a time beyond 2^63
        ({"start": "2", "end": "1"}, "bad_time"),
    ]:
        answer = await http.get("/sessions/rp/bad/results", params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, code), params
    place = (await http.get("/sessions/rp/bad/results", params={"where": "x = 1"})).json()["detail"]
    assert place == "where, at character 2: here stands `=`, and not `==`"
    assert (await http.get("/sessions/rp/nowhere/results")).status_code == 404
    assert (await http.get("/sessions/rp/bad/results", params={"stream": "front/other"})).json()["items"] == []
    assert (await http.get("/sessions/rp/bad/results", params={"limit": "200"})).status_code == 200
