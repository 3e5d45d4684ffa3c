"""Runs of frames that are like their first one: as a plain loop finds them, whatever batches and pages they come in."""

import json
from typing import Any

import httpx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.browse_server import Recorder
from support.results import embedding, put_results

from datamanager.playback.near_duplicates import RunFinder

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


def turned(*degrees: float) -> list[list[float]]:
    return [[float(np.cos(np.radians(d))), float(np.sin(np.radians(d)))] for d in degrees]


def plain_runs(degrees: list[int], most: int) -> list[tuple[int, int]]:
    """(first, last) of each run, by a loop."""
    runs, first = [], 0
    for at in range(1, len(degrees) + 1):
        if at == len(degrees) or abs(degrees[at] - degrees[first]) > most:
            runs.append((first, at - 1))
            first = at
    return runs


@given(st.lists(st.integers(0, 4), max_size=80), st.lists(st.integers(1, 30), max_size=8))
def test_batches_make_no_difference(steps: list[int], sizes: list[int]) -> None:
    degrees = list(np.cumsum(steps) % 120)
    documents: list[dict[str, Any]] = [
        {
            "_id": str(n),
            "frame_id": str(n),
            "t_ns": n,
            "model": "m",
            "version": "1",
            "vector": np.array(v, "<f4").tobytes(),
        }
        for n, v in enumerate(turned(*degrees))
    ]
    finder = RunFinder(float(np.cos(np.radians(3.5))))
    found, at = [], 0
    for size in [*sizes, len(documents)]:
        found += finder.feed(documents[at : at + size])
        at += size
    if finder.open is not None:
        assert finder.open.last["_id"] == documents[-1]["_id"]
        found += [finder.open] if finder.open.count > 1 else []
    expected = [(first, last) for first, last in plain_runs(degrees, 3) if last > first] if degrees else []
    assert [(int(run.first["_id"]), int(run.last["_id"])) for run in found] == expected
    assert [run.count for run in found] == [last - first + 1 for first, last in expected]
    assert [run.before for run in found] == [(first - 1, str(first - 1)) if first else None for first, _ in expected]


def test_another_model_or_dimension_begins_a_new_run() -> None:
    def document(n: int, model: str, *vector: float) -> dict[str, Any]:
        return {"_id": str(n), "t_ns": n, "model": model, "version": "1", "vector": np.array(vector, "<f4").tobytes()}

    finder = RunFinder(0.9)
    batch = [document(0, "a", 1, 0), document(1, "a", 1, 0), document(2, "b", 1, 0), document(3, "b", 1, 0, 0)]
    ended = [(run.first["_id"], run.count) for run in finder.feed(batch)]
    assert ended == [("0", 2)]
    assert finder.open is not None
    assert [run.count for run in finder.feed([document(4, "b", 1, 0, 0), document(5, "b", 0, 0, 0)])] == [2]


async def still(recorder: Recorder, session_id: str, degrees: list[float]) -> list[str]:
    """A session whose camera turns so."""
    await recorder.session("dup", session_id, {"front": "images"})
    times = [T0 + n * NS for n in range(len(degrees))]
    frame_ids = await recorder.frames("dup", session_id, "front", times)
    vectors = turned(*degrees)
    await put_results(
        recorder.mongo,
        [embedding("dup", session_id, f, t, np.array(v)) for f, t, v in zip(frame_ids, times, vectors, strict=True)],
    )
    return frame_ids


async def test_runs_are_told_by_their_first_frame(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_ids = await still(recorder, "one", [0, 1, 2, 50, 90, 90, 90, 90, 150])
    params = {"stream": "front", "threshold": "0.999"}
    answer = (await http.get("/sessions/dup/one/near-duplicates", params=params)).json()
    runs = [(item["frame_id"], item["last_frame_id"], item["count"]) for item in answer["items"]]
    assert runs == [(frame_ids[0], frame_ids[2], 3), (frame_ids[4], frame_ids[7], 4)]
    assert (answer["output"], answer["threshold"], answer["looked_at"]) == ("front/embedding", 0.999, 9)
    assert answer["next_cursor"] is None
    first, second = answer["items"]
    assert (first["t_ns"], first["t_end_ns"], first["timestamp"]) == (str(T0), str(T0 + 2 * NS), 1_700_000_000.0)
    assert (first["min_score"], second["min_score"]) == (round(float(np.cos(np.radians(2))), 6), 1.0)
    assert set(first["urls"]) == {"original", "preview", "thumbnail"}
    named = {"stream": "front/embedding", "threshold": "0.999", "start": str(T0 + NS), "end": str(T0 + 6 * NS)}
    part = (await http.get("/sessions/dup/one/near-duplicates", params=named)).json()
    assert [item["count"] for item in part["items"]] == [2, 2]


async def test_pages_of_runs_come_to_the_same(http: httpx.AsyncClient, recorder: Recorder) -> None:
    degrees = [float(d) for d in np.repeat(np.arange(40) * 12 % 180, np.arange(40) % 5)]
    await still(recorder, "paged", degrees)
    whole = (await http.get("/sessions/dup/paged/near-duplicates", params={"stream": "front"})).json()["items"]
    assert len(whole) == 24
    for limit in (1, 7, 24, 25):
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"stream": "front", "limit": limit}
        while True:
            page = (await http.get("/sessions/dup/paged/near-duplicates", params=params)).json()
            found += page["items"]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert [item["frame_id"] for item in found] == [item["frame_id"] for item in whole]
        assert [item["count"] for item in found] == [item["count"] for item in whole]


async def test_one_call_looks_at_so_many_and_the_next_goes_on(http: httpx.AsyncClient, recorder: Recorder) -> None:
    """The server of these tests looks at 500; a run on the edge is not torn unless it alone is longer."""
    await still(recorder, "long", [0.0] * 3 + [90.0] * 490 + [0.0] * 20 + [90.0] * 600)
    found, looks = [], []
    params: dict[str, Any] = {"stream": "front"}
    while True:
        page = (await http.get("/sessions/dup/long/near-duplicates", params=params)).json()
        found += [item["count"] for item in page["items"]]
        looks.append(page["looked_at"])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert found == [3, 490, 20, 500, 100]
    assert max(looks) == 500


async def test_the_model_says_what_is_alike(http: httpx.AsyncClient, recorder: Recorder) -> None:
    """Cos 15° = 0.966: not alike by the server's 0.98, alike by a model's 0.96."""
    await still(recorder, "own", [0, 15, 60])
    address = "/sessions/dup/own/near-duplicates"
    assert (await http.get(address, params={"stream": "front"})).json()["threshold"] == 0.98
    manifest = {"name": "embed-model", "version": "1", "task": "embed", "options": {"near_duplicate": 0.96}}
    entry = {"version": "1", "state": "ready", "task": "embed", "output": "embedding", "about": "", "checksum": ""}
    entry |= {"size_bytes": 1, "manifest": json.dumps(manifest).encode(), "bundled": False, "use": True, "added_ns": 1}
    document = {"_id": "embed-model", "current": "1", "revision": 1, "versions": [entry], "loaded": []}
    models = recorder.mongo.durable("models")
    await models.insert_one(document)
    answer = (await http.get(address, params={"stream": "front"})).json()
    assert (answer["threshold"], [item["count"] for item in answer["items"]]) == (0.96, [2])
    answer = (await http.get(address, params={"stream": "front", "threshold": "0.97"})).json()
    assert (answer["threshold"], answer["items"]) == (0.97, [])
    await models.delete_one({"_id": "embed-model"})


async def test_what_is_asked_must_be_there(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("dup", "bare", {"front": "images"})
    address = "/sessions/dup/bare/near-duplicates"
    answer = await http.get(address, params={"stream": "front"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_embedding")
    assert (await http.get("/sessions/dup/nowhere/near-duplicates", params={"stream": "front"})).status_code == 404
    assert (await http.get(address)).json()["code"] == "missing_field"
    for threshold in ("1.1", "-1.1", "high", "nan"):
        answer = await http.get(address, params={"stream": "front", "threshold": threshold})
        assert (answer.status_code, answer.json()["code"]) == (400, "wrong_type")
