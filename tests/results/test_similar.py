"""Frames like a given one: the most similar by cosine, of the same model alone, new ones at once, and never too many."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from support.browse_server import Recorder
from support.results import embedding, put_results, quality

from datamanager.clock import SystemClock
from datamanager.playback.embeddings import EmbeddingCache, unit_rows
from datamanager.storage.result_queries import EmbeddingScope, ResultQueries

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


async def embedded(
    recorder: Recorder,
    session_id: str,
    vectors: npt.NDArray[Any],
    robot_id: str = "sim",
    stream: str = "front",
    **more: Any,
) -> list[str]:
    """A session whose frames have these embeddings."""
    await recorder.session(robot_id, session_id, {stream: "images"})
    times = [T0 + n * NS for n in range(len(vectors))]
    frame_ids = await recorder.frames(robot_id, session_id, stream, times)
    await put_results(
        recorder.mongo,
        [
            embedding(robot_id, session_id, f, t, v, stream=stream, output=f"{stream}/embedding", **more)
            for f, t, v in zip(frame_ids, times, vectors, strict=True)
        ],
    )
    return frame_ids


def circle(*degrees: float) -> npt.NDArray[np.float64]:
    """Unit vectors in a plane."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


async def asked(http: httpx.AsyncClient, frame_id: str, **params: Any) -> dict[str, Any]:
    answer = await http.get(f"/frames/{frame_id}/similar", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_most_similar_come_first_and_itself_does_not(http: httpx.AsyncClient, recorder: Recorder) -> None:
    frame_ids = await embedded(recorder, "one", circle(0, 90, 10, -20, 180, 5))
    found = await asked(http, frame_ids[0])
    order = [5, 2, 3, 1, 4]
    assert [item["frame_id"] for item in found["items"]] == [frame_ids[i] for i in order]
    expected = np.cos(np.radians([5, 10, 20, 90, 180]))
    assert [item["score"] for item in found["items"]] == pytest.approx(expected, abs=2e-6)
    head = {name: found[name] for name in ("model", "version", "scope", "looked_at", "is_cut")}
    assert head == {"model": "embed-model", "version": "1", "scope": "session", "looked_at": 6, "is_cut": False}
    first = found["items"][0]
    assert (first["robot_id"], first["session_id"], first["stream"]) == ("sim", "one", "front")
    assert (first["t_ns"], first["timestamp"]) == (str(T0 + 5 * NS), 1_700_000_005.0)
    assert set(first["urls"]) == {"original", "preview", "thumbnail"}
    assert [i["frame_id"] for i in (await asked(http, frame_ids[0], limit=2))["items"]] == [frame_ids[5], frame_ids[2]]
    few = (await asked(http, frame_ids[0], min_score="0.98"))["items"]
    assert [item["frame_id"] for item in few] == [frame_ids[5], frame_ids[2]]


async def test_it_looks_as_far_as_it_is_told(http: httpx.AsyncClient, recorder: Recorder) -> None:
    one = await embedded(recorder, "s1", circle(0, 1), robot_id="sim-a", model="scope-model")
    two = await embedded(recorder, "s2", circle(2), robot_id="sim-a", model="scope-model")
    three = await embedded(recorder, "s1", circle(3), robot_id="sim-b", model="scope-model")
    side = await embedded(recorder, "s1", circle(4), robot_id="sim-a", stream="side", model="scope-model")
    await embedded(recorder, "s3", circle(0), robot_id="sim-a", model="another-model")
    await embedded(recorder, "s4", circle(0), robot_id="sim-a", model="scope-model", version="2")

    async def found(**params: Any) -> list[str]:
        return [item["frame_id"] for item in (await asked(http, one[0], **params))["items"]]

    assert await found() == [one[1], side[0]]
    assert await found(scope="session", stream="side") == side
    assert await found(scope="session", stream="front,side") == [one[1], side[0]]
    assert await found(stream="nothing") == []
    assert await found(scope="robot") == [one[1], two[0], side[0]]
    assert await found(scope="all") == [one[1], two[0], three[0], side[0]]


async def test_what_is_new_is_found_at_once_and_what_is_gone_is_left_out(
    http: httpx.AsyncClient, recorder: Recorder
) -> None:
    frame_ids = await embedded(recorder, "live", circle(0, 10))
    assert len((await asked(http, frame_ids[0]))["items"]) == 1
    late = await recorder.frames("sim", "live", "late", [T0 - 99 * NS, T0 + 99 * NS])
    results = [
        embedding("sim", "live", late[0], T0 - 99 * NS, circle(1)[0], stream="late", output="late/embedding"),
        embedding("sim", "live", late[1], T0 + 99 * NS, circle(2)[0], stream="late", output="late/embedding"),
    ]
    await put_results(recorder.mongo, results, at_ns=T0 + 99 * NS)
    found = await asked(http, frame_ids[0])
    assert [item["frame_id"] for item in found["items"]] == [late[0], late[1], frame_ids[1]]
    assert found["looked_at"] == 4
    assert [item["frame_id"] for item in (await asked(http, frame_ids[0], stream="late"))["items"]] == late
    await recorder.mongo.durable("frames_metadata").delete_one({"_id": late[0]})
    assert [item["frame_id"] for item in (await asked(http, frame_ids[0]))["items"]] == [late[1], frame_ids[1]]


async def test_a_frame_without_an_embedding_is_told_how_to_get_one(http: httpx.AsyncClient, recorder: Recorder) -> None:
    (frame_id,) = await embedded(recorder, "none", circle(0))
    (bare,) = await recorder.frames("sim", "none", "bare", [T0])
    await put_results(recorder.mongo, [quality("sim", "none", bare, T0)])
    answer = await http.get(f"/frames/{bare}/similar")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_embedding")
    assert "POST /enrichments" in answer.json()["detail"]
    assert (await http.get("/frames/nothing/similar")).status_code == 404
    for params in (
        {"scope": "galaxy"},
        {"min_score": "1.01"},
        {"min_score": "nan"},
        {"min_score": "x"},
        {"limit": "201"},
        {"limit": "0"},
    ):
        answer = await http.get(f"/frames/{frame_id}/similar", params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), params
    assert (await asked(http, frame_id, min_score="-1", limit="200"))["items"] == []


async def test_more_than_may_be_looked_at_are_cut_and_said_to_be(http: httpx.AsyncClient, recorder: Recorder) -> None:
    """The server of these tests looks at 500."""
    frame_ids = await embedded(recorder, "cut", circle(*np.linspace(0, 90, 500)))
    found = await asked(http, frame_ids[-1], limit=1)
    assert (found["looked_at"], found["is_cut"]) == (500, False)
    (last,) = await recorder.frames("sim", "cut", "more", [T0 + 1000 * NS])
    one_more = embedding("sim", "cut", last, T0 + 1000 * NS, circle(0)[0], stream="more", output="more/embedding")
    await put_results(recorder.mongo, [one_more])
    found = await asked(http, frame_ids[0], limit=200)
    assert (found["looked_at"], found["is_cut"]) == (500, True)
    assert found["items"][0]["frame_id"] == last  # the newest is among them, the oldest went for it
    assert (await asked(http, last, limit=1))["items"][0]["frame_id"] == frame_ids[1]


# The cache.


@dataclass
class ManualClock(SystemClock):
    """A clock that is set."""

    now_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


class CountedQueries(ResultQueries):
    """Notes how much was read."""

    read = 0

    async def _counted(self, batches: AsyncIterator[list[Any]]) -> AsyncIterator[list[Any]]:
        async for batch in batches:
            self.read += len(batch)
            yield batch

    def embeddings(self, *args: Any, **kwargs: Any) -> Any:
        return self._counted(super().embeddings(*args, **kwargs))


async def test_what_is_known_is_not_read_again(recorder: Recorder) -> None:
    await embedded(recorder, "kept", circle(*range(300)))
    queries, clock = CountedQueries(recorder.mongo), ManualClock()
    cache = EmbeddingCache(queries, clock, max_vectors=1000, max_bytes=1 << 20)
    scope = EmbeddingScope(model="embed-model", version="1", robot_id="sim", session_id="kept")
    whole = await cache.of(scope, 2)
    assert (len(whole.frame_ids), queries.read) == (300, 300)
    clock.now_s = 4.9
    again = await cache.of(scope, 2)
    assert again.vectors is whole.vectors
    assert queries.read == 300 + 1  # what was the newest, and may have a twin
    clock.now_s = 5.1
    assert (await cache.of(scope, 2)).vectors is whole.vectors
    assert queries.read == 300 + 1 + 61  # the last minute, in which something may have been late
    await cache.of(scope, 2)
    assert queries.read == 300 + 1 + 61 + 1
    clock.now_s = 601.0
    await cache.of(scope, 2)
    assert queries.read == 300 + 1 + 61 + 1 + 300
    assert len((await cache.of(scope, 3)).frame_ids) == 0  # no vector of that model has three numbers


async def test_what_was_late_is_found_within_seconds(recorder: Recorder) -> None:
    frame_ids = await embedded(recorder, "late", circle(*range(100)))
    clock = ManualClock()
    cache = EmbeddingCache(ResultQueries(recorder.mongo), clock, max_vectors=1000, max_bytes=1 << 20)
    scope = EmbeddingScope(model="embed-model", version="1", robot_id="sim", session_id="late")
    await cache.of(scope, 2)
    late = [embedding("sim", "late", f"late-{n}", T0, circle(n)[0], stream="side") for n in range(2)]
    await put_results(recorder.mongo, late[:1], at_ns=T0 + 40 * NS)  # 59 s before the newest
    await put_results(recorder.mongo, late[1:], at_ns=T0 + 99 * NS)  # as new as the newest
    clock.now_s = 4.9
    assert (await cache.of(scope, 2)).frame_ids[100:].tolist() == [b"late-1"]
    clock.now_s = 5.0
    found = await cache.of(scope, 2)
    assert found.frame_ids[100:].tolist() == [b"late-1", b"late-0"]
    assert [found.stream_names[code] for code in found.streams[[0, 100, 101]]] == ["front", "side", "side"]
    assert found.frame_ids[:100].astype(str).tolist() == frame_ids


async def test_memory_bounds_what_is_looked_at(recorder: Recorder) -> None:
    wide = np.random.default_rng(3).normal(size=(64, 1024))
    await embedded(recorder, "wide", wide, model="wide-model")
    scope = EmbeddingScope(model="wide-model", version="1", robot_id="sim", session_id="wide")
    cache = EmbeddingCache(
        ResultQueries(recorder.mongo), SystemClock(), max_vectors=1000, max_bytes=60 * 4144 + 32 * 4144
    )
    found = await cache.of(scope, 1024)
    assert (len(found.frame_ids), found.is_cut) == (60, True)
    assert found.weight <= 92 * 4144
    np.testing.assert_allclose(found.vectors[-1], wide[-1] / np.linalg.norm(wide[-1]), atol=1e-6)


async def test_a_frame_of_two_rules_counts_once(recorder: Recorder) -> None:
    frame_ids = await embedded(recorder, "twice", circle(0, 1, 2))
    again = [embedding("sim", "twice", f, T0, circle(0)[0], enrichment="again") for f in frame_ids]
    await put_results(recorder.mongo, again)
    cache = EmbeddingCache(ResultQueries(recorder.mongo), SystemClock(), max_vectors=1000, max_bytes=1 << 20)
    found = await cache.of(EmbeddingScope(model="embed-model", version="1", robot_id="sim", session_id="twice"), 2)
    assert sorted(found.frame_ids.astype(str)) == sorted(frame_ids)


def test_what_has_no_direction_is_told() -> None:
    vectors = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 0], [1e30, 0]], "<f4")
    rows, is_good = unit_rows([vector.tobytes() for vector in vectors], 2)
    assert is_good.tolist() == [True, False, False, False, True]
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, 0], [0, 0], [1, 0]], atol=1e-6)
