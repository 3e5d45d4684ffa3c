"""A camera that goes away and comes back: its stream resumes each time, and nothing is doubled."""

import itertools
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from support.media_samples import annexb
from support.processes import wait_until
from support.pulling import numbers, pulling, records
from support.rtsp_server import RtspServer, access_units

FPS = 20


def camera() -> RtspServer:
    return RtspServer(access_units(annexb(10 * FPS, fps=FPS, gop=FPS // 2)), fps=FPS)


def dropped(rtsp: RtspServer, process: "subprocess.Popen[bytes]", log: Path, *, up_s: float, down_s: float) -> None:
    """Lets the camera run for a while, takes it away, and brings it back; returns once it is looked at again."""
    time.sleep(up_s)
    viewers = rtsp.viewers
    rtsp.stop()
    time.sleep(down_s)
    rtsp.start()
    wait_until(lambda: rtsp.viewers > viewers, process=process, log=log)


def check(server: str, session: str, times: int) -> None:
    """Each picture is there once, in order; gaps are where the camera was away, and each ends with a keyframe."""
    came = numbers(server, session, "cam")
    assert came == sorted(set(came))
    assert sum(b - a > 1 for a, b in itertools.pairwise(came)) == times
    found = records(server, session, "cam")
    assert [record["seq"] for record in found] == list(range(len(found)))
    at = [int(record["t_ns"]) for record in found]
    assert at == sorted(set(at))
    # Times are those of the camera: each chunk is as far behind the first as its first picture is.
    first = 0
    apart_s = []
    for record in found:
        apart_s.append((int(record["t_ns"]) - at[0]) / 1e9 - (came[first] - came[0]) / FPS)
        first += record["metadata"]["frames"]
    assert max(apart_s) - min(apart_s) < 0.25, apart_s


@pytest.mark.soak
def test_a_source_dropped_three_times_resumes_each_time_and_nothing_is_doubled(server: str, tmp_path: Path) -> None:
    log = tmp_path / "pull.log"
    with camera() as rtsp, pulling(server, rtsp.url, *"--session drops --stream cam".split(), log=log) as process:
        wait_until(lambda: rtsp.viewers == 1, process=process, log=log)
        for _ in range(3):
            dropped(rtsp, process, log, up_s=1.5, down_s=0.1)
        time.sleep(1.5)
    assert process.returncode == 0, log.read_text()
    assert "reconnected 3x" in log.read_text()
    check(server, "drops", 3)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_source_dropped_twenty_times_in_ten_minutes_leaks_nothing(server: str, tmp_path: Path) -> None:
    log = tmp_path / "pull.log"
    readings: list[tuple[float, int, int]] = []
    with (
        camera() as rtsp,
        pulling(server, rtsp.url, *"--both --session soak --stream cam --report 60".split(), log=log) as process,
    ):
        wait_until(lambda: rtsp.viewers == 1, process=process, log=log)
        watched = psutil.Process(process.pid)
        for _ in range(20):
            dropped(rtsp, process, log, up_s=27, down_s=1)
            time.sleep(1.5)  # all that belongs to a connection is there again
            readings.append((watched.memory_info().rss / 1e6, watched.num_threads(), watched.num_fds()))
        time.sleep(20)
    assert process.returncode == 0, log.read_text()
    print(*(f"{rss:.1f} MB, {threads} threads, {files} files" for rss, threads, files in readings), sep="\n")  # noqa: T201  # figures for who runs it
    print(log.read_text()[-600:])  # noqa: T201  # figures for who runs it
    check(server, "soak", 20)
    half = len(readings) // 2
    assert max(rss for rss, _, _ in readings[half:]) < 1.1 * max(rss for rss, _, _ in readings[:half])
    assert max(threads for _, threads, _ in readings[half:]) <= max(threads for _, threads, _ in readings[:half])
    assert max(files for _, _, files in readings[half:]) <= max(files for _, _, files in readings[:half])
