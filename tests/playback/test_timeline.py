"""A timeline counts every record once, and a moment knows each stream's last one."""

import random
from typing import Any

import httpx
import pytest
from support.browse_server import KnownSamples, Recorder

from datamanager.playback.samples_port import SampleAt

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
DAY = 86_400 * NS


async def timeline(http: httpx.AsyncClient, session: str, **params: Any) -> dict[str, Any]:
    answer = await http.get(f"/sessions/{session}/timeline", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("span", [9, 1000, 7 * NS + 1, 2**53 // 7, 2**53 // 7 + 1, 200 * DAY, 150 * 365 * DAY])
async def test_every_record_stands_in_its_bin(http: httpx.AsyncClient, recorder: Recorder, span: int) -> None:
    session, bins = f"s{span}", 7
    rng = random.Random(span)  # noqa: S311  # test data
    edges = [-(-k * span // bins) for k in range(bins)]  # the first time of each bin, and the last of the one before
    times = sorted({0, span - 1, *edges, *(e - 1 for e in edges if e), *(rng.randrange(span) for _ in range(50))})
    await recorder.session("t1", session, {"cam": "images", "note": "file", "empty": "log"})
    await recorder.frames("t1", session, "cam", times)
    await recorder.records("t1", session, "note", [(t, b"x") for t in times[::2]])
    found = await timeline(http, f"t1/{session}", bins=bins)
    assert (found["start_ns"], found["end_ns"]) == ("0", str(span))
    for stream, kept in (("cam", times), ("note", times[::2])):
        want = [0] * bins
        for t in kept:
            want[t * bins // span] += 1
        assert found["streams"][stream] == want
    assert found["streams"]["empty"] == [0] * bins


async def test_the_sum_over_bins_is_what_records_lists(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("t2", "s", {"cam": "images"})
    await recorder.frames("t2", "s", "cam", [T0 + i * 37 for i in range(100)])
    for start, end in ((T0, T0 + 3700), (T0 + 37, T0 + 74), (T0 + 1, T0 + 2), (T0 + 5, T0 + 5), (0, 2**63)):
        counts = (await timeline(http, "t2/s", bins=9, start=start, end=end))["streams"]["cam"]
        page = await http.get("/sessions/t2/s/records", params={"start": start, "end": end, "limit": 1000})
        assert sum(counts) == len(page.json()["items"])
    assert sum((await timeline(http, "t2/s"))["streams"]["cam"]) == 100


async def test_samples_are_counted_beside_records(
    http: httpx.AsyncClient, recorder: Recorder, known_samples: KnownSamples
) -> None:
    await recorder.session("t3", "s", {"cam": "images", "pose": "time_series"})
    await recorder.frames("t3", "s", "cam", [T0, T0 + 9])
    known_samples.known["t3", "s", "pose"] = [SampleAt(T0 + i, {"x": i}) for i in range(10)]
    assert (await timeline(http, "t3/s", bins=2))["streams"] == {"cam": [1, 1], "pose": [5, 5]}


async def test_a_session_without_data_has_no_extent(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("t4", "s", {"cam": "images"})
    assert await timeline(http, "t4/s", bins=2) == {"start_ns": None, "end_ns": None, "streams": {"cam": [0, 0]}}


@pytest.mark.parametrize(("bins", "status"), [("1", 200), ("10000", 200), ("10001", 400), ("0", 400), ("x", 400)])
async def test_bins_have_limits(http: httpx.AsyncClient, recorder: Recorder, bins: str, status: int) -> None:
    await recorder.session("t5", "s", {"cam": "images"})
    assert (await http.get(f"/sessions/t5/s/timeline?bins={bins}")).status_code == status


async def test_too_many_counts_are_refused(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("t6", "s", {f"s{i}": "log" for i in range(201)})
    answer = await http.get("/sessions/t6/s/timeline?bins=10000")
    assert (answer.status_code, answer.json()["code"]) == (413, "range_too_large")


async def test_a_moment_gives_the_last_of_each_stream(
    http: httpx.AsyncClient, recorder: Recorder, known_samples: KnownSamples
) -> None:
    await recorder.session("m1", "s", {"cam": "images", "note": "file", "pose": "time_series"})
    frames = await recorder.frames("m1", "s", "cam", [T0, T0 + 10, T0 + 10])
    await recorder.records("m1", "s", "note", [(T0 + 5, b"x")])
    known_samples.known["m1", "s", "pose"] = [SampleAt(T0 + 2, {"x": float("nan"), "s": "a", "n": None})]

    async def at(t: str | int, **params: Any) -> dict[str, dict[str, Any]]:
        answer = await http.get("/sessions/m1/s/at", params={"t": t, **params})
        assert answer.status_code == 200, answer.text
        return {item["stream"]: item for item in answer.json()["items"]}

    assert await at(T0 - 1) == {}
    assert list(await at(T0)) == ["cam"]
    found = await at(T0 + 99)
    assert list(found) == ["cam", "note", "pose"]
    assert found["cam"]["record_id"] == max(frames[1:])
    assert (found["cam"]["t_ns"], found["note"]["t_ns"]) == (str(T0 + 10), str(T0 + 5))
    assert found["pose"]["values"] == {"x": "NaN", "s": "a", "n": None}
    assert (await at(T0 + 9))["cam"]["record_id"] == frames[0]
    assert list(await at(T0 + 99, streams="pose,cam,unknown")) == ["pose", "cam"]
    assert list(await at("1700000000.0000000049", streams="cam")) == ["cam"]
    assert await at("1699999999.9999999999") == {}  # between two nanoseconds: the earlier one counts


async def test_a_moment_needs_its_time(http: httpx.AsyncClient, recorder: Recorder) -> None:
    await recorder.session("m2", "s", {})
    assert (await http.get("/sessions/m2/s/at")).status_code == 400
    assert (await http.get("/sessions/m2/s/at?t=never")).json()["code"] == "bad_time"
