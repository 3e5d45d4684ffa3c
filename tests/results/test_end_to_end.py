"""From a robot's frames to what is asked of them: pushed, looked at by real models, found by what they show, and drawn."""

import hashlib
import io
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.enriching import Enriching, enriching
from support.onnx_graphs import colour_detector, pooling_model

from datamanager.client import AsyncReader, AsyncRobot
from datamanager.config import Config
from datamanager.inference.manifest import FrameInput, Manifest

T0 = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
FRAMES = 10
RED, BLUE = (230, 20, 20), (20, 20, 230)


@pytest.fixture
async def stores(server_config: Config, server: str, worker: None) -> AsyncIterator[Enriching]:  # noqa: ARG001  # they have to run
    async with enriching(server_config) as found:
        yield found


def picture(n: int) -> npt.NDArray[np.uint8]:
    """A red block that moves to the right; from the fifth frame on it stands, and a blue one is there."""
    pixels = np.full((240, 320, 3), 60, np.uint8)
    left = 20 + 20 * min(n, 4)
    pixels[120:200, left : left + 60] = RED
    if n >= 5:
        pixels[40:100, 240:300] = BLUE
    return pixels


def complete(path: Path, manifest: Manifest) -> tuple[Manifest, bytes]:
    data = path.read_bytes()
    return msgspec.structs.replace(manifest, checksum=hashlib.sha256(data).hexdigest()), data


async def add(stores: Enriching, path: Path, manifest: Manifest) -> None:
    await stores.add_model(*complete(path, manifest))
    await stores.rule(manifest.name, manifest.name, robot_id="e2e", stream="cam", must=True)


@pytest.fixture
async def session(server: str, stores: Enriching, tmp_path: Path) -> str:
    """A session whose frames were looked at by a detector and an embedder; every result is in its stream."""
    detector = colour_detector(tmp_path / "colours.onnx", with_nms=False)
    square = FrameInput(width=64, height=64)
    await add(stores, detector, Manifest(name="colours", version="1", task="detect", input=square))
    means = pooling_model(tmp_path / "means.onnx", np.eye(3, 4, dtype=np.float32) - 0.2)
    small = FrameInput(width=32, height=32, fit="stretch")
    await add(stores, means, Manifest(name="means", version="1", task="embed", input=small))
    name = f"s{time.time_ns()}"
    async with AsyncRobot(server, "e2e", name) as robot:
        for n in range(FRAMES):
            robot.stream("cam").log_image(T0 + n * STEP_NS, picture(n))
        await robot.flush(30)
        await stores.results(2 * FRAMES, session_id=name, **{"feed.state": "fed"})
    return name


async def test_frames_are_found_by_what_they_show(server: str, session: str) -> None:
    async with AsyncReader(server) as reader:
        blue = [r async for r in reader.results("e2e", session, "cam/detections", where="counts.blue >= 1")]
        assert [result.t_ns for result in blue] == [T0 + n * STEP_NS for n in range(5, FRAMES)]
        result = blue[0]
        assert (result.model, result.version, result.status, result.task) == ("colours", "1", "ok", "detect")
        assert result.values == {"count": 2.0, "counts.red": 1.0, "counts.blue": 1.0}
        by_name = {found.name: found for found in result.detections}
        assert by_name["red"].box == pytest.approx((100, 120, 160, 200), abs=5)
        assert by_name["blue"].box == pytest.approx((240, 40, 300, 100), abs=5)
        assert 0 < result.latency_ms <= result.total_ms
        reds = [r async for r in reader.results("e2e", session, where="detections.class == 'red'")]
        assert {found.track_id for r in reds for found in r.detections if found.name == "red"} == {
            by_name["red"].track_id
        }
        assert by_name["blue"].track_id not in (None, by_name["red"].track_id)

        frame_id = str(result.frame_id)
        assert {r.output for r in await reader.frame_results(frame_id)} == {"cam/detections", "cam/embedding"}
        like = await reader.similar(frame_id, limit=4)
        assert (like.model, like.looked_at, like.is_cut) == ("means", FRAMES, False)
        assert [frame.t_ns for frame in like.frames] != []
        assert {frame.t_ns for frame in like.frames} == {T0 + n * STEP_NS for n in range(6, FRAMES)}
        assert min(frame.score for frame in like.frames) > 0.9999
        runs = [run async for run in reader.session("e2e", session).near_duplicates("cam", threshold=0.99999)]
        assert (runs[-1].frame_id, runs[-1].count, runs[-1].t_end_ns) == (frame_id, 5, T0 + 9 * STEP_NS)

        drawn, plain = [
            np.asarray(Image.open(io.BytesIO(await reader.frame(frame_id, "preview", overlay=overlay))).convert("RGB"))
            for overlay in ("detections", None)
        ]
        assert drawn.shape == plain.shape == (240, 320, 3)
        changed = np.abs(drawn.astype(int) - plain).max(axis=2) > 60
        assert changed[160, 95:105].any()
        assert changed[160, 155:165].any()
        assert not changed[205:, :].any()
        assert not changed[130:190, 180:].any()


def test_the_page_s_example_runs(server: str, session: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "enrichment.md").read_text()
    (block,) = [
        found
        for found in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if "reader.similar(" in found
    ]
    for written, here in {
        "http://127.0.0.1:8080": server,
        '"arm-1"': '"e2e"',
        '"run-7"': f'"{session}"',
        '"front': '"cam',
    }.items():
        assert written in block
        block = block.replace(written, here)
    space: dict[str, Any] = {}
    exec(block, space)  # noqa: S102 - our own page
    assert [result.t_ns for result in space["both"]] == [T0 + n * STEP_NS for n in range(5, FRAMES)]
    assert space["blue"] == [pytest.approx((240, 40, 300, 100), abs=5)] * 5
    assert len(space["alike"].frames) >= 4
    assert space["drawn"][:2] == b"\xff\xd8"
    assert sum(run.count for run in space["still"]) >= 5
