"""What `nvidia-smi` says, by a program of that name that really runs."""

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest
from prometheus_client import REGISTRY
from support.manual_clock import ManualClock

from datamanager.worker.enrich.gpu import GpuReading, GpuWatch, parse_readings, read_gpus

MIB = 1024 * 1024


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test puts its `nvidia-smi`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "nvidia-smi"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def test_it_is_asked_for_load_and_memory_of_each_gpu(program: Path, tmp_path: Path) -> None:
    write(program, f'echo "$@" > {tmp_path}/asked; echo "0, 37, 1024, 143771"; echo "1, 0, 0, 143771"')
    assert await read_gpus() == [
        GpuReading(0, 0.37, 1024 * MIB, 143771 * MIB),
        GpuReading(1, 0.0, 0, 143771 * MIB),
    ]
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["--query-gpu=index,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"]


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("", []),
        ("No devices were found", []),
        ("0, [N/A], 5, 10", [GpuReading(0, None, 5 * MIB, 10 * MIB)]),
        ("0, [Unknown Error], [N/A], [N/A]", [GpuReading(0, None, None, None)]),
        ("x, 1, 2, 3", []),
        ("0, 1, 2", []),
        ("0, 1, 2, 3, 4", []),
        ("0, nan, inf, -3", [GpuReading(0, None, None, None)]),
        ("0, 250, 1, 2", [GpuReading(0, 1.0, MIB, 2 * MIB)]),
        ("junk\n\n3, 50, 1, 2\n", [GpuReading(3, 0.5, MIB, 2 * MIB)]),
    ],
)
def test_lines_are_read_and_others_left_out(text: str, readings: list[GpuReading]) -> None:
    assert parse_readings(text) == readings


async def test_a_program_that_fails_is_told_of(program: Path) -> None:
    write(program, "echo 'NVIDIA-SMI has failed: no driver'; exit 9")
    with pytest.raises(OSError, match="fails with 9: NVIDIA-SMI has failed"):
        await read_gpus()


async def test_a_program_that_hangs_is_ended(program: Path, tmp_path: Path) -> None:
    write(program, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    with pytest.raises(TimeoutError, match="says nothing"):
        await read_gpus(timeout_s=0.5)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


async def test_no_program_is_no_gpu(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(FileNotFoundError):
        await read_gpus()


async def test_it_is_watched_and_metrics_say_so(program: Path) -> None:
    write(program, 'echo "6, 40, 100, 200"; echo "7, 90, 1, 2"')
    watch = GpuWatch(ManualClock())
    assert watch.load is None
    watching = asyncio.create_task(watch.run())
    await asyncio.sleep(0.2)
    assert watch.load is None  # no model is on a GPU yet
    watch.begin()
    async with asyncio.timeout(10):
        while watch.load is None:  # noqa: ASYNC110  # there is no event for it
            await asyncio.sleep(0.01)
    assert watch.load == 0.9
    assert REGISTRY.get_sample_value("datamanager_gpu_utilisation_ratio", {"gpu": "6"}) == 0.4
    assert REGISTRY.get_sample_value("datamanager_gpu_memory_bytes", {"gpu": "6", "of": "used"}) == 100 * MIB
    write(program, "exit 1")
    async with asyncio.timeout(10):
        while watch.load is not None:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
