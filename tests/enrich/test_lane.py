"""A model's lane by itself: when frames may come again, and when a process is replaced."""

from pathlib import Path

import pytest
from PIL import Image
from support.drawn import encoded
from support.frames import jpeg
from support.lanes import RunningLane, running_lane
from support.waiting import eventually

from benchmarks.bad_models import bad_model
from datamanager.clock import SystemClock
from datamanager.inference.manifest import Manifest
from datamanager.storage.s3 import S3
from datamanager.worker.enrich.originals import Originals

BLACK = encoded(Image.new("RGB", (64, 64)), "PNG")
BRIGHT = jpeg(64, 64)


async def test_frames_without_room_come_again_one_after_the_other_and_not_too_late(
    s3: S3, quality: tuple[Manifest, Path]
) -> None:
    async with running_lane(*quality, Originals(s3, SystemClock(), room_bytes=0)) as running:
        first, second = running.lane.book(10), running.lane.book(10)
        assert first.first_s == pytest.approx(0.25, abs=0.01)
        assert 0 < first.apart_s < 0.1
        assert second.first_s == pytest.approx(first.first_s + 10 * first.apart_s, abs=0.05)
        far = [running.lane.book(1000).first_s for _ in range(100)][-1]
        assert far == pytest.approx(20.0, abs=0.1)


async def test_a_process_that_has_answered_and_wants_memory_is_replaced_once(s3: S3, tmp_path: Path) -> None:
    manifest, data = bad_model("out_of_memory")
    (path := tmp_path / "oom.onnx").write_bytes(data)
    for n in range(12):
        await s3.put(f"raw/{n}", BLACK if n in (0, 11) else BRIGHT)
    async with running_lane(manifest, path, Originals(s3, SystemClock(), room_bytes=1 << 20)) as running:
        host = running.lane.host
        await look(running, 0, 1)
        assert host.has_answered
        await look(running, 1, 3)
        assert running.lane.breaker.state == "open"
        assert (host.loaded, host.has_answered) == (None, False)
        await half_open(running)
        await look(running, 4, 1)
        assert running.lane.breaker.state == "open"
        assert host.loaded is not None, "one that has never answered is as good as the next"
        await half_open(running)
        await look(running, 11, 1)
    statuses = [result.status for result in running.left.results]
    assert statuses == ["ok", "failed", "failed", "failed", "failed", "ok"]


async def look(running: RunningLane, first: int, count: int) -> None:
    before = len(running.left.results)
    for n in range(first, first + count):
        running.put(n, size_bytes=len(BRIGHT), must=False)
    await running.results(before + count)


async def half_open(running: RunningLane) -> None:
    async def is_half_open() -> bool:
        return running.lane.breaker.state == "half_open"

    await eventually(is_half_open)
