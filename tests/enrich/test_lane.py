"""A model's lane by itself: when frames may come again, and when a process is replaced."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image
from support.drawn import encoded
from support.frames import jpeg
from support.lanes import RunningLane, loaded_host, running_lane
from support.manual_clock import ManualClock
from support.waiting import eventually

from benchmarks.bad_models import bad_model
from datamanager.clock import SystemClock
from datamanager.inference.manifest import Manifest
from datamanager.storage.s3 import S3
from datamanager.worker.enrich.booking import Booking
from datamanager.worker.enrich.originals import Originals

BLACK = encoded(Image.new("RGB", (64, 64)), "PNG")
BRIGHT = jpeg(64, 64)


def test_frames_without_room_come_again_one_after_the_other_and_not_too_late() -> None:
    booking = Booking(ManualClock())
    first, second = booking.book(10, 0.02), booking.book(10, 0.02)
    assert (first.first_s, first.apart_s) == (pytest.approx(0.25), pytest.approx(0.01))
    assert (second.first_s, second.apart_s) == (pytest.approx(0.35), pytest.approx(0.01))
    assert [booking.book(1000, 0.02).first_s for _ in range(3)] == pytest.approx([0.45, 10.45, 20.0])


def test_turns_that_are_over_are_nobodys() -> None:
    clock = ManualClock()
    booking = Booking(clock)
    booking.book(100, 0.02)
    clock.advance(5)
    assert booking.book(1, 0.02).first_s == pytest.approx(0.25)


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


async def test_frames_are_compared_with_those_before_them_also_in_a_new_process(
    s3: S3, quality: tuple[Manifest, Path]
) -> None:
    pictures = [jpeg(320, 240, seed=seed) for seed in range(9)]
    for n, picture in enumerate(pictures):
        await s3.put(f"raw/{n}", picture)
    held = Originals(s3, SystemClock(), room_bytes=1 << 20)
    async with loaded_host(*quality) as newer, running_lane(*quality, held) as running:
        for n in range(6):
            running.put(n, size_bytes=len(pictures[n]))
        swapped = asyncio.create_task(running.lane.swap(newer))
        await running.results(6)
        await swapped
        running.put(6, size_bytes=len(pictures[6]))  # the one before it was seen by the older process
        running.put(8, size_bytes=len(pictures[8]))  # and the one before this was shed
        results = await running.results(8)
    assert [result.frame_id for result in results] == ["0", "1", "2", "3", "4", "5", "6", "8"]
    assert ["motion" in result.values for result in results] == [False] + 7 * [True]


async def look(running: RunningLane, first: int, count: int) -> None:
    before = len(running.left.results)
    for n in range(first, first + count):
        running.put(n, size_bytes=len(BRIGHT), must=False)
    await running.results(before + count)


async def half_open(running: RunningLane) -> None:
    async def is_half_open() -> bool:
        return running.lane.breaker.state == "half_open"

    await eventually(is_half_open)
