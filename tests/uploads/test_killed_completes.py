"""A server killed in the midst of completing an upload: the next one goes on, and there is one record at the end."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from support.restartable import restartable
from support.uploading import RawUploader

from datamanager.config import Config

MB = 1024 * 1024


@pytest.mark.parametrize(
    "pauses_s", [(0.05,), pytest.param((0.0, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2), marks=pytest.mark.soak)]
)
def test_a_killed_complete_is_gone_on_with(
    new_config: Callable[[], Config], tmp_path: Path, pauses_s: tuple[float, ...]
) -> None:
    def configured() -> Config:
        config = new_config()
        return replace(config, uploads=replace(config.uploads, part_bytes=5 * MB, lease_s=0.5, sweep_s=0.2, wait_s=0.0))

    data = os.urandom(12 * MB)
    with restartable(configured, tmp_path / "serve.log") as server:
        robot = RawUploader(server.url, "killed")
        item = robot.begin(data)
        robot.put(item, data)
        for pause_s in pauses_s:
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(_ask, server.url, item["upload_id"])
                time.sleep(pause_s)
                server.kill()
                asked.result()
            server.start()
        _wait_until_done(robot, item["upload_id"])  # by itself
        assert robot.complete(item["upload_id"]).json()["status"] == "done"
        [record] = robot.records()
        assert robot.content(record["record_id"]) == data
        stats = robot.http.get(f"/sessions/{robot.robot}/{robot.session}").json()["stats"]
        assert stats["files"]["records"] == 1


def _ask(url: str, upload_id: str) -> None:
    try:
        httpx.post(f"{url}/api/v1/uploads/{upload_id}/complete", trust_env=False, timeout=10)
    except httpx.HTTPError:
        return


def _wait_until_done(robot: RawUploader, upload_id: str) -> None:
    give_up_s = time.monotonic() + 30
    while (item := robot.look(upload_id))["status"] != "done":
        if item["status"] == "open":  # it was killed before it had heard of it
            _ask(str(robot.http.base_url).removesuffix("/api/v1/").rstrip("/"), upload_id)
        assert time.monotonic() < give_up_s, item
        time.sleep(0.1)
