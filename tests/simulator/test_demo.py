"""The demo as a newcomer runs it: what it shows is true, and nothing of it is left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from PIL import Image
from support.processes import clean_environ, http_status, wait_until

from datamanager.simulator.tour import sparkline, table

DEMO = (sys.executable, "-m", "datamanager.simulator.demo")


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Runs the demo in a folder of its own on a free port."""
    log = folder / "log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own program
            [*DEMO, "--port", port, "--duration", "3", "--made", *options],
            cwd=folder,
            env=clean_environ(),
            stdout=output,
            stderr=output,
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_it_shows_what_is_there_and_every_line_to_try_works(tmp_path: Path) -> None:
    with demo(tmp_path) as (process, log):
        wait_until(
            lambda: "live: let a robot" in log.read_text(errors="replace"), timeout_s=90, process=process, log=log
        )
        text = log.read_text(errors="replace")
        assert "3 of 3 robots have everything acked" in text
        assert re.search(r"  pose +time_series  300 ", text)
        assert "sha256 matches" in text
        with Image.open(tmp_path / "demo-data" / "front_rgb.original.jpg") as picture:
            assert picture.size == (640, 480)
        with Image.open(tmp_path / "demo-data" / "front_rgb.thumbnail.jpg") as picture:
            assert picture.size == (91, 68)
        with Image.open(tmp_path / "demo-data" / "front_depth.preview.jpg") as picture:
            assert picture.size == (480, 360)
        assert (tmp_path / "demo-data" / "cloud.preview.drc").read_bytes().startswith(b"DRACO")
        lines = re.findall(r"^  (curl .+)$", text, re.MULTILINE)
        assert len(lines) > 5
        for line in lines:
            shown = subprocess.run(["bash", "-c", line.replace("-s", "-sf", 1)], capture_output=True, check=False)  # noqa: S603, S607  # as a reader does
            assert shown.returncode in (0, 23), line  # 23: `head` has seen enough
            assert shown.stdout, line
        [schema] = re.findall(r"^  (http://\S+/schema) ", text, re.MULTILINE)
        assert http_status(schema) == 200
        everyone = psutil.Process(process.pid).children(recursive=True)
        assert len(everyone) >= 6
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert living(everyone) == []


@pytest.mark.soak
def test_killed_with_9_it_takes_everything_with_it(tmp_path: Path) -> None:
    with demo(tmp_path, "--once") as (process, log):
        wait_until(
            lambda: "streaming started" in log.read_text(errors="replace"), timeout_s=60, process=process, log=log
        )
        everyone = psutil.Process(process.pid).children(recursive=True)
        assert len(everyone) >= 6
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not living(everyone), timeout_s=30, log=log)


def test_a_table_has_its_columns_aligned() -> None:
    assert table(["a", "long head"], [("value", "x"), ("v", "yy")]) == [
        "  a      long head",
        "  value  x",
        "  v      yy",
    ]


def test_a_sparkline_tells_none_few_and_most_apart() -> None:
    assert sparkline([0, 1, 50, 100]) == "·▁▄█"
    assert sparkline([3, 3]) == "██"
    assert sparkline([]) == ""
