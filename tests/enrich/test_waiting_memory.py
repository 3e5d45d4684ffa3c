"""Memory for the originals that wait for models: bounded, given back, and never what a frame waits for in vain."""

import asyncio
from pathlib import Path

import pytest
from support.frames import jpeg
from support.lanes import running_lane
from support.waiting import eventually

from benchmarks.bad_models import bad_model
from datamanager.clock import SystemClock
from datamanager.inference.manifest import Manifest
from datamanager.storage.s3 import S3
from datamanager.worker.enrich.originals import Originals

FRAMES = 12
PICTURE = jpeg(320, 240, seed=3)
SIZE = len(PICTURE)


@pytest.fixture(autouse=True)
async def pictures(s3: S3) -> None:
    for n in range(FRAMES):
        await s3.put(f"raw/{n}", PICTURE)


def originals(s3: S3, room_bytes: int) -> Originals:
    return Originals(s3, SystemClock(), room_bytes=room_bytes)


# what is held


async def test_what_is_asked_for_ahead_has_to_fit_and_what_is_needed_now_does_not(s3: S3) -> None:
    held = originals(s3, 2 * SIZE)
    first, second = (held.ask(f"raw/{n}", SIZE, ahead=True) for n in range(2))
    assert first is not None
    assert second is not None
    assert held.ask("raw/2", 1, ahead=True) is None
    now = held.ask("raw/2", SIZE, ahead=False)
    assert now is not None
    assert [await original.data() for original in (first, second, now)] == [PICTURE] * 3
    assert held.held_bytes == 3 * SIZE
    first.let_go()
    first.let_go()
    assert held.held_bytes == 2 * SIZE
    assert held.ask("raw/3", 1, ahead=True) is None
    second.let_go()
    assert held.ask("raw/3", SIZE, ahead=True) is not None
    assert held.held_bytes == 2 * SIZE
    held.close()
    assert held.held_bytes == 0


@pytest.mark.parametrize("said", [0, 10 * SIZE], ids=["unknown", "wrong"])
async def test_an_original_counts_as_what_it_has_once_it_is_there(s3: S3, said: int) -> None:
    held = originals(s3, 100 * SIZE)
    original = held.ask("raw/0", said, ahead=True)
    assert original is not None
    assert held.held_bytes == said
    await original.data()
    assert held.held_bytes == SIZE
    original.let_go()
    assert held.held_bytes == 0


async def test_an_original_that_is_gone_takes_no_memory(s3: S3) -> None:
    held = originals(s3, SIZE)
    original = held.ask("raw/nowhere", SIZE, ahead=True)
    assert original is not None
    assert await original.data() is None
    assert held.held_bytes == 0


async def test_what_is_let_go_on_its_way_is_not_counted_when_it_comes(s3: S3) -> None:
    held = originals(s3, SIZE)
    original = held.ask("raw/0", 0, ahead=True)
    assert original is not None
    original.let_go()
    with pytest.raises(asyncio.CancelledError):
        await original.data()
    assert held.held_bytes == 0


# in a lane


@pytest.mark.parametrize("room", [0, SIZE // 2, 3 * SIZE, 1000 * SIZE], ids=["none", "half", "three", "much"])
async def test_every_frame_is_looked_at_whatever_the_room(s3: S3, quality: tuple[Manifest, Path], room: int) -> None:
    held = originals(s3, room)
    async with running_lane(*quality, held) as lane:
        for n in range(FRAMES):
            lane.put(n, size_bytes=SIZE)
        results = await lane.results(FRAMES)
        assert [result.frame_id for result in results] == [str(n) for n in range(FRAMES)]
        assert {result.status for result in results} == {"ok"}
        assert "motion" not in results[0].values
        assert all("motion" in result.values for result in results[1:])
        assert held.held_bytes == 0
    assert lane.most_bytes <= max(room, SIZE)


async def test_a_batch_of_unknown_sizes_is_looked_at_too(s3: S3, quality: tuple[Manifest, Path]) -> None:
    held = originals(s3, SIZE)
    async with running_lane(*quality, held) as lane:
        for n in range(FRAMES):
            lane.put(n, size_bytes=0)
        assert len(await lane.results(FRAMES)) == FRAMES
        assert held.held_bytes == 0


async def test_a_full_lane_does_not_keep_another_one_waiting(
    s3: S3, quality: tuple[Manifest, Path], tmp_path: Path
) -> None:
    manifest, data = bad_model("hanging")
    (path := tmp_path / "hanging.onnx").write_bytes(data)
    held = originals(s3, 2 * SIZE)
    async with running_lane(manifest, path, held) as hanging, running_lane(*quality, held) as lane:
        for n in range(FRAMES):
            hanging.put(n, size_bytes=SIZE)
        assert held.held_bytes == 2 * SIZE
        for n in range(FRAMES):
            lane.put(n, size_bytes=SIZE)
        assert len(await lane.results(FRAMES)) == FRAMES
        assert len(hanging.left.results) < FRAMES
        assert lane.most_bytes <= 3 * SIZE


async def test_frames_that_fail_give_their_memory_back(s3: S3, tmp_path: Path) -> None:
    manifest, data = bad_model("failing")
    (path := tmp_path / "failing.onnx").write_bytes(data)
    held = originals(s3, 3 * SIZE)
    async with running_lane(manifest, path, held) as lane:
        for n in range(FRAMES):
            lane.put(n, size_bytes=SIZE, must=n == 0)
        results = await lane.results(FRAMES - 1)
        assert {result.status for result in results} == {"failed", "skipped"}
        assert lane.left.back == ["0"]
        assert held.held_bytes == 0


async def test_frames_whose_original_is_gone_say_so_and_take_no_memory(s3: S3, quality: tuple[Manifest, Path]) -> None:
    await s3.delete(["raw/1"])
    held = originals(s3, 2 * SIZE)
    async with running_lane(*quality, held) as lane:
        for n in range(3):
            lane.put(n, size_bytes=SIZE)
        by_frame = {result.frame_id: result for result in await lane.results(3)}
        assert [by_frame[str(n)].status for n in range(3)] == ["ok", "failed", "ok"]
        assert by_frame["1"].reason == "its bytes are not here any more"
        assert held.held_bytes == 0


async def test_frames_that_came_too_late_give_their_memory_back(s3: S3, quality: tuple[Manifest, Path]) -> None:
    held = originals(s3, 1000 * SIZE)
    async with running_lane(*quality, held, shed_after_s=-1.0) as lane:
        for n in range(FRAMES):
            lane.put(n, size_bytes=SIZE, must=False)

        async def are_shed() -> bool:
            return len(lane.left.given_up) == FRAMES

        await eventually(are_shed)
        assert held.held_bytes == 0


async def test_what_a_lane_still_holds_goes_with_it(s3: S3, quality: tuple[Manifest, Path]) -> None:
    held = originals(s3, 1000 * SIZE)
    async with running_lane(*quality, held) as lane:
        for n in range(FRAMES):
            lane.put(n, size_bytes=SIZE)
        assert held.held_bytes == FRAMES * SIZE
    assert held.held_bytes == 0
