"""Derived data whose job was lost, or whose worker died, is made all the same."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.hls import Playlist, read_playlist, times_of
from support.media_samples import video_file, wav
from support.processes import datamanager_worker, served
from support.raw_robot import RawRobot

from datamanager.config import Config
from datamanager.storage.keys import record_id
from datamanager.storage.redis import open_redis


async def send(server: str, kind: str, data: bytes) -> str:
    async with RawRobot(server, "lost") as robot:
        await robot.hello()
        await robot.send(0, {"data": data}, data_type=kind, stream=kind)
        await robot.until(lambda: robot.acked.get(kind) == 0)
        await robot.put({"type": "bye"})
        await robot.closed()
    return record_id("raw", "lost", kind, "p", 0)


def playlist_of(http: httpx.Client) -> Playlist | None:
    answer = http.get("/api/v1/sessions/raw/lost/playlist.m3u8")
    return read_playlist(answer.text) if answer.status_code == 200 else None


async def test_what_redis_lost_is_found_again(new_config: Callable[[], Config], tmp_path: Path) -> None:
    config = new_config()
    config = replace(config, worker=replace(config.worker, sweep_interval_s=0.3))
    with served(config, log=tmp_path / "serve.log") as url:
        sound, video = await send(url, "audio", wav()), await send(url, "video", video_file())
        async with open_redis(config.redis) as redis:
            await asyncio.sleep(0.5)  # until the jobs are queued
            await redis.client.flushdb()
        with (
            datamanager_worker(config, log=tmp_path / "worker.log"),
            httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
        ):
            until_s = time.monotonic() + 30
            while not ((found := playlist_of(http)) and found.is_ended):
                assert time.monotonic() < until_s
                await asyncio.sleep(0.1)
            for path in (f"{video}/thumbnails", f"{sound}/waveform"):
                answer = await asyncio.to_thread(http.get, f"/api/v1/records/{path}")
                assert answer.status_code == 200


@pytest.mark.soak
async def test_a_preview_whose_worker_was_killed_is_gone_on_with(
    new_config: Callable[[], Config], tmp_path: Path
) -> None:
    config = new_config()
    config = replace(config, worker=replace(config.worker, sweep_interval_s=0.3, job_timeout_s=6.0))
    data = video_file(seconds=60, fps=25, size=(640, 360), gop=50, sound="aac")
    with (
        served(config, log=tmp_path / "serve.log") as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
    ):
        await send(url, "video", data)
        with datamanager_worker(config, log=tmp_path / "first.log") as first:
            until_s = time.monotonic() + 30
            while (begun := playlist_of(http)) is None:
                assert time.monotonic() < until_s
            first.kill()
        assert not begun.is_ended
        with datamanager_worker(config, log=tmp_path / "second.log"):
            until_s = time.monotonic() + 60
            while not ((found := playlist_of(http)) and found.is_ended):
                assert time.monotonic() < until_s
                await asyncio.sleep(0.1)
    (part,) = found.parts
    with httpx.Client(trust_env=False, timeout=30) as plain:
        times = times_of(plain, part)
    assert np.allclose(times["video"], np.arange(1500) / 25, atol=1e-3)
    assert np.allclose(np.diff(times["audio"]), 1024 / 48_000, atol=1e-3)
    assert len(times["audio"]) >= 60 * 48_000 // 1024
