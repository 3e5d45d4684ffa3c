"""A robot's samples become windows, scores and predictions, streams like any other, by a server and a worker."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from support.processes import datamanager_worker, served

from datamanager.config import Config

S_NS = 1_000_000_000
T0_NS = 1_700_000_000 * S_NS


@pytest.fixture(scope="module")
def place(bench_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server, beside which a worker runs that looks for lost work often."""
    folder = tmp_path_factory.mktemp("analytics")
    quick = {"DATAMANAGER_SWEEP_INTERVAL_S": "0.5", "DATAMANAGER_FLUSH_INTERVAL_S": "0.2"}
    with (
        served(bench_config, log=folder / "serve.log", **quick) as url,
        datamanager_worker(bench_config, log=folder / "worker.log", **quick),
    ):
        yield url


@pytest.fixture
async def http(place: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{place}/api/v1", trust_env=False, timeout=20) as client:
        yield client


def messages(session: str, count: int, *, first: int = 0, seed: int = 1) -> list[dict[str, Any]]:
    """A message a second, of 20 samples; at the thirtieth second something sticks."""
    made = []
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number])
        t = number + np.arange(20) / 20
        a = np.sin(t) + rng.normal(0, 0.05, 20)
        if number == 30:
            a[:] = a[0]
        channels = {"a": a.tolist(), "b": (2 * np.sin(t)).tolist()}
        payload = {"t_ns": (T0_NS + t * S_NS).astype(int).tolist(), "channels": channels}
        place = {"robot_id": "arm", "session_id": session, "producer": "p"}
        made.append({**place, "data_type": "time_series", "stream": "joints", "seq": number, "payload": payload})
    return made


async def send(http: httpx.AsyncClient, some: list[dict[str, Any]]) -> None:
    answer = await http.post("/ingest", json={"batch_id": "b", "messages": some})
    assert answer.status_code == 200, answer.text
    assert answer.json()["rejected"] == 0


async def rows(http: httpx.AsyncClient, session: str, stream: str, count: int) -> dict[str, Any]:
    """The samples of a result stream, once there are so many."""
    end_s = time.monotonic() + 25
    while True:
        answer = await http.get(f"/sessions/arm/{session}/range", params={"stream": f"joints/{stream}"})
        if answer.status_code == 200 and len(answer.json()["offset_ns"]) >= count:
            found: dict[str, Any] = answer.json()
            return found
        assert time.monotonic() < end_s, answer.text[:500]
        await asyncio.sleep(0.2)


async def flagged(http: httpx.AsyncClient, session: str) -> dict[str, Any]:
    """The one event of a session, once it was told."""
    end_s = time.monotonic() + 10
    wanted = {"types": "analytics_events", "session_id": session, "after": "0"}
    while not (found := (await http.get("/events", params=wanted)).json()["items"]):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.2)
    (event,) = found
    return dict(event)


async def test_what_is_new_in_a_stream_is_looked_at(http: httpx.AsyncClient) -> None:
    options = {
        "windows": {"seconds": 1, "functions": ["mean", "p95"], "lateness_s": 0},
        "anomaly": {"warm_up": 10},
        "learn": {"target": "a", "features": ["b"]},
    }
    rule = {"kind": "time_series", "robot_id": "arm", "session_id": "one", "stream": "*", "options": options}
    put = await http.put("/enrichments/one", json=rule)
    assert put.status_code == 200, put.text
    await asyncio.sleep(1.5)  # a rule holds within a second
    for first in range(0, 40, 5):
        await send(http, messages("one", 5, first=first))
    windows = await rows(http, "one", "windows", 39)
    assert len(windows["offset_ns"]) == 39  # the fortieth ends with the stream
    ends = {int(windows["start_ns"]) + offset for offset in windows["offset_ns"]}
    assert ends == {T0_NS + (second + 1) * S_NS for second in range(39)}
    scores = await rows(http, "one", "anomaly", 29)
    by_end = dict(zip(scores["offset_ns"], scores["channels"]["flagged"], strict=True))
    odd = [int(scores["start_ns"]) + offset for offset, flagged in by_end.items() if flagged]
    assert odd == [T0_NS + 31 * S_NS]
    event = await flagged(http, "one")
    assert (event["event_type"], event["camera_id"], event["t_ns"]) == ("anomaly", "joints", str(T0_NS + 31 * S_NS))
    said = await rows(http, "one", "predictions", 39)
    assert said["channels"]["mean_error"][-1] < said["channels"]["plain_error"][-1]
    # Results of telemetry are not looked at themselves.
    streams = (await http.get("/sessions/arm/one/streams")).json()
    names = {item["stream"] for item in streams["items"]}
    assert names == {"joints", "joints/windows", "joints/anomaly", "joints/predictions"}


async def test_the_anomaly_model_that_comes_with_us_looks_at_telemetry(http: httpx.AsyncClient) -> None:
    options = {"windows": {"seconds": 1, "lateness_s": 0}, "emit": False}
    rule = {"kind": "time_series", "model": "anomaly", "session_id": "net", "stream": "joints", "options": options}
    end_s = time.monotonic() + 20
    while (put := await http.put("/enrichments/net", json=rule)).status_code != 200:
        assert time.monotonic() < end_s, put.text  # it is there soon after the start
        await asyncio.sleep(0.3)
    await asyncio.sleep(1.5)
    await send(http, messages("net", 40))
    scores = await rows(http, "net", "anomaly", 30)
    assert set(scores["channels"]["model"]) == {"anomaly"}
    best = max(zip(scores["channels"]["score"], scores["channels"]["channel"], scores["offset_ns"], strict=True))
    assert best[1] == "a"
    assert abs((int(scores["start_ns"]) + best[2] - T0_NS) / S_NS - 32) <= 2


async def test_a_stored_range_is_learned_from(http: httpx.AsyncClient) -> None:
    await send(http, messages("old", 30))
    options = {"windows": {"seconds": 1, "lateness_s": 0}, "anomaly": {"warm_up": 10}}
    rule = {"kind": "time_series", "robot_id": "arm", "session_id": "new", "stream": "joints", "options": options}
    assert (await http.put("/enrichments/trained", json=rule)).status_code == 200
    body = {"robot_id": "arm", "session_id": "old", "stream": "joints", "start": "1700000000", "end": "1700000025"}
    asked = await http.post("/models/trained/retrain", json=body)
    assert asked.status_code == 202, asked.text
    told = asked.json()
    end_s = time.monotonic() + 20
    while told["state"] == "pending":
        assert time.monotonic() < end_s
        await asyncio.sleep(0.2)
        told = (await http.get(told["path"].removeprefix("/api/v1"))).json()
    assert (told["state"], told["version"], told["samples"], told["windows"]) == ("done", 1, 500, 25)
    await send(http, messages("new", 6))
    scores = await rows(http, "new", "anomaly", 5)  # without that, ten windows would go by before the first score
    assert len(scores["offset_ns"]) == 5
    assert set(scores["channels"]["version"]) == {"1"}


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"stream": "none"}, 404, "not_found"),
        ({"stream": "../x"}, 400, "bad_id"),
        ({"start": "1700000025"}, 400, "bad_time"),
        ({"start": "yesterday"}, 400, "bad_time"),
        ({"start": None}, 400, None),
        ({"more": 1}, 400, None),
    ],
)
async def test_a_retraining_that_cannot_be_is_refused(
    http: httpx.AsyncClient, change: dict[str, Any], status: int, code: str | None
) -> None:
    await send(http, messages("bad", 2))
    rule = {"kind": "time_series", "session_id": "nowhere", "options": {}}
    assert (await http.put("/enrichments/bad", json=rule)).status_code == 200
    body = {"robot_id": "arm", "session_id": "bad", "stream": "joints", "start": "1700000000", "end": "1700000025"}
    answer = await http.post("/models/bad/retrain", json=body | change)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code


async def test_what_a_model_cannot_learn_from_is_said(http: httpx.AsyncClient) -> None:
    await send(http, messages("lacks", 2))
    body = {"robot_id": "arm", "session_id": "lacks", "stream": "joints", "start": "1700000000", "end": "1700000025"}
    assert (await http.post("/models/nobody/retrain", json=body)).status_code == 404
    for name, options in {"channel": {"channels": ["z"]}, "target": {"learn": {"target": "z"}}}.items():
        rule = {"kind": "time_series", "session_id": "nowhere", "stream": name, "options": options}
        assert (await http.put(f"/enrichments/lacks-{name}", json=rule)).status_code == 200
        answer = await http.post(f"/models/lacks-{name}/retrain", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_payload"), answer.text
    rule = {"kind": "time_series", "session_id": "nowhere", "options": {}}
    assert (await http.put("/enrichments/empty", json=rule)).status_code == 200
    later = {"start": "1800000000", "end": "1800000025"}
    told = (await http.post("/models/empty/retrain", json=body | later)).json()
    end_s = time.monotonic() + 20
    while told["state"] == "pending":
        assert time.monotonic() < end_s
        await asyncio.sleep(0.2)
        told = (await http.get(told["path"].removeprefix("/api/v1"))).json()
    assert told["state"] == "failed"
    assert "0 samples" in told["error"]


@pytest.mark.parametrize(
    "options",
    [
        {"windows": {"seconds": 1, "samples": 5}},
        {"windows": {"seconds": 0.001}},
        {"windows": {"seconds": 1, "functions": ["__import__('os')"]}},
        {"anomaly": {"threshold": 2}},
        {"learn": {"features": ["a"]}},
        {"nonsense": 1},
    ],
)
async def test_options_that_mean_nothing_are_refused(http: httpx.AsyncClient, options: dict[str, Any]) -> None:
    answer = await http.put("/enrichments/wrong", json={"kind": "time_series", "options": options})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_payload"), answer.text
