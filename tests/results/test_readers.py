"""Both readers give results as what they are: typed, page by page, with errors that say what is wrong."""

import math

import numpy as np
import pytest
from support.browse_server import Recorder
from support.results import box, detections, embedding, put_results, quality

from datamanager.client import AsyncReader, Detection, FrameRun, ModelResult, Reader, ReaderError, SimilarFrames

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


@pytest.fixture
async def frame_ids(recorder: Recorder) -> list[str]:
    """A session of four frames with every sort of result."""
    await recorder.session("reads", "s", {"front": "images"})
    times = [T0 + n * NS for n in range(4)]
    found = await recorder.frames("reads", "s", "front", times)
    if await recorder.mongo.durable("results").find_one({"robot_id": "reads"}):
        return found
    results = [
        quality("reads", "s", f, t, sharpness=float(n)) for n, (f, t) in enumerate(zip(found, times, strict=True))
    ]
    results += [
        detections("reads", "s", found[3], times[3], [box("car", 0.75, [1, 2, 3, 4], track_id=7), box("dog", 0.5)])
    ]
    results += [
        embedding("reads", "s", f, t, np.array([1.0, n // 3]))
        for n, (f, t) in enumerate(zip(found, times, strict=True))
    ]
    results += [
        quality("reads", "s", "", T0 + 9 * NS, of="w", output="imu/anomaly", score=math.nan, sharpness=math.inf)
    ]
    results += [quality("reads", "s", "reads-gone", T0 + 8 * NS, status="failed", reason="broken", values={})]
    await put_results(recorder.mongo, results)
    return found


async def test_both_readers_give_the_same(browse_url: str, frame_ids: list[str]) -> None:
    where = "sharpness >= 1 and stream == 'front'"
    with Reader(browse_url) as reader:
        of = reader.session("reads", "s")
        here = (
            list(reader.results("reads", "s", "front/quality", where=where, order="desc", page_limit=2)),
            list(reader.results("reads", stream=["front/quality"], start=T0 + NS, end=T0 + 2 * NS)),
            reader.frame_results(frame_ids[3]),
            reader.similar(frame_ids[0], scope="robot", stream="front", min_score=0.5, limit=3),
            list(of.near_duplicates("front", T0, 1_700_000_009.0, threshold=0.9, page_limit=1)),
        )
    async with AsyncReader(browse_url) as reader:
        there_of = reader.session("reads", "s")
        there = (
            [r async for r in reader.results("reads", "s", "front/quality", where=where, order="desc", page_limit=2)],
            [r async for r in reader.results("reads", stream=["front/quality"], start=T0 + NS, end=T0 + 2 * NS)],
            await reader.frame_results(frame_ids[3]),
            await reader.similar(frame_ids[0], scope="robot", stream="front", min_score=0.5, limit=3),
            [run async for run in there_of.near_duplicates("front", T0, 1_700_000_009.0, threshold=0.9, page_limit=1)],
        )
    assert without_urls(here) == without_urls(there)
    newest, in_range, of_frame, alike, runs = here
    assert [result.frame_id for result in newest] == frame_ids[:0:-1]
    assert [result.frame_id for result in in_range] == frame_ids[1:2]
    assert [result.output for result in of_frame] == ["front/detections", "front/embedding", "front/quality"]
    assert isinstance(alike, SimilarFrames)
    assert [(frame.frame_id in frame_ids[1:3], frame.score) for frame in alike.frames[:2]] == [(True, 1.0)] * 2
    assert runs == [
        FrameRun(
            frame_id=frame_ids[0], last_frame_id=frame_ids[2], t_ns=T0, t_end_ns=T0 + 2 * NS, count=3, min_score=1.0
        )
    ]


def without_urls(value: object) -> object:
    """Addresses are signed at a time of their own."""
    if isinstance(value, tuple | list):
        return [without_urls(each) for each in value]
    if isinstance(value, SimilarFrames):
        return [(value.model, value.looked_at, frame.frame_id, frame.score, frame.t_ns) for frame in value.frames]
    return value.result_id if isinstance(value, ModelResult) else value


def test_results_are_typed(browse_url: str, frame_ids: list[str]) -> None:
    with Reader(browse_url) as reader:
        (result,) = reader.results("reads", "s", where="detections.class == 'car'")
        assert result.detections == (
            Detection(name="car", score=0.75, box=(1, 2, 3, 4), class_id=3, track_id=7),
            Detection(name="dog", score=0.5, box=(0, 0, 10, 10), class_id=3),
        )
        assert (result.frame_id, result.t_ns, result.values["counts.car"]) == (frame_ids[3], T0 + 3 * NS, 1.0)
        assert set(result.urls) == {"original", "preview", "thumbnail"}
        (window,) = reader.results("reads", "s", "imu/anomaly")
        assert (window.frame_id, window.urls, window.detections) == (None, {}, ())
        assert math.isnan(float(window.values["score"]))
        assert window.values["sharpness"] == math.inf
        (failed,) = reader.results("reads", "s", where="status == 'failed'")
        assert (failed.status, failed.reason, failed.values) == ("failed", "broken", {})


def test_errors_say_what_is_wrong(browse_url: str, frame_ids: list[str]) -> None:
    with Reader(browse_url) as reader:
        for wrong, code, status in [
            (lambda: list(reader.results("reads", "s", where="sharpness <")), "malformed", 400),
            (lambda: list(reader.results("reads", "nowhere")), "not_found", 404),
            (lambda: reader.similar("nothing"), "not_found", 404),
            (lambda: reader.frame_results("../sessions"), "not_found", 404),
            (lambda: reader.frame(frame_ids[0], "thumbnail", overlay="hats"), "wrong_type", 400),
        ]:
            with pytest.raises(ReaderError) as error:
                wrong()
            assert (error.value.code, error.value.status) == (code, status)
