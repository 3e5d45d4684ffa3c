"""Robots against a real server: everything that they sent comes back, once."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from support.processes import clean_environ, wait_until

from datamanager.client import Reader
from datamanager.errors import Unavailable
from datamanager.simulator.robots import Outcome
from datamanager.simulator.settings import Burst, CameraRate, CloudRate, Settings, Streams
from datamanager.simulator.simulate import simulate

SESSION = "simulated"
SMALL = CameraRate(rate_hz=4, burst=Burst(rate_hz=15, every_s=2, for_s=1), width=160, height=120)
SETTINGS = Settings(
    robots=["sim-a", "sim-b"],
    duration_s=3,
    report_s=1,
    recordings=False,
    streams=Streams(front_rgb=SMALL, front_depth=SMALL, cloud=CloudRate(rate_hz=1, points=600)),
)
SIMULATE = (sys.executable, "-m", "datamanager.cli", "simulate")


class Run:
    """A simulation that ran, and what it said."""

    def __init__(self, url: str) -> None:
        self.said: list[str] = []
        self.outcomes = simulate(SETTINGS, url, SESSION, say=self.said.append, stop=Event())


@pytest.fixture(scope="module")
def ran(server: str) -> Run:
    return Run(server)


@pytest.fixture
def reader(server: str) -> Iterator[Reader]:
    with Reader(server) as found:
        yield found


def kept(reader: Reader, outcome: Outcome) -> dict[str, int]:
    """How many samples or records of each stream come back."""
    session = reader.session(outcome.robot_id, outcome.session_id)
    counts = {}
    for stream in session.streams():
        name = stream["stream"]
        if stream["kind"] == "time_series":
            counts[name] = len(session.range(name)["t_ns"])
        else:
            counts[name] = len({record["record_id"] for record in session.records(name)})
    return counts


def test_everything_that_was_sent_comes_back_once(ran: Run, reader: Reader) -> None:
    assert [outcome.robot_id for outcome in ran.outcomes] == ["sim-a", "sim-b"]
    for outcome in ran.outcomes:
        assert outcome.whole
        assert outcome.tally.streams["pose"] == 300
        assert kept(reader, outcome) == dict(outcome.tally.streams)


def test_samples_come_back_at_their_times(ran: Run, reader: Reader) -> None:
    outcome = ran.outcomes[0]
    found = reader.session("sim-a", SESSION).range("pose")
    expected = outcome.start_ns + np.arange(300, dtype=np.int64) * 10_000_000
    assert np.array_equal(found["t_ns"], expected)


def test_streams_are_paced(ran: Run) -> None:
    assert all(2.9 <= outcome.took_s < 30 for outcome in ran.outcomes)


def test_sessions_have_ended(ran: Run, reader: Reader) -> None:
    assert [reader.session(outcome.robot_id, SESSION).info()["status"] for outcome in ran.outcomes] == ["ended"] * 2


def test_it_says_what_each_robot_does(ran: Run) -> None:
    assert ran.said[0] == "making all data here: no recordings wanted"
    for robot in ("sim-a", "sim-b"):
        lines = [line.removeprefix(f"{robot}: ") for line in ran.said if line.startswith(robot)]
        assert lines[0].startswith("connected to http://")
        assert lines[1] == "streaming started, 9 streams for 3 s"
        assert any(line.startswith("batch sent: ") for line in lines[2:-1])
        assert lines[-1].startswith("complete: ")
        assert lines[-1].endswith("all acked")
    assert ran.said[-1].startswith("2 of 2 robots have everything acked: ")


def test_the_recordings_come_back_byte_for_byte(server: str, reader: Reader, recordings: Path) -> None:
    settings = Settings(robots=["sim-r"], duration_s=2, recordings=str(recordings))
    [outcome] = simulate(settings, server, SESSION, say=lambda _: None, stop=Event())
    assert outcome.whole
    assert kept(reader, outcome) == dict(outcome.tally.streams)
    frame = next(reader.session("sim-r", SESSION).records("front_rgb"))
    file = recordings / "rgbd" / "tsdf-fusion-python" / frame["metadata"]["recorded"]
    assert reader.frame(frame["record_id"]) == file.read_bytes()


def test_a_server_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamanager.simulator.simulate._CONNECT_TIMEOUT_S", 0.5)
    settings = Settings(robots=1, recordings=False)
    with pytest.raises(Unavailable, match=r"robot-001 cannot connect to http://127\.0\.0\.1:1 within 0\.5 s"):
        simulate(settings, "http://127.0.0.1:1", SESSION, say=lambda _: None, stop=Event())


def test_ctrl_c_ends_it_cleanly(server: str, reader: Reader, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ("--url", server, "--robots", "1", "--duration", "0", "--session", "stopped", "--made")
    with log.open("wb") as output:
        process = subprocess.Popen([*SIMULATE, *arguments], stdout=output, stderr=output, env=clean_environ())  # noqa: S603  # our own program
    try:
        wait_until(lambda: "streaming started" in log.read_text(), process=process, log=log)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "stopping (SIGINT)" in log.read_text()
    assert "1 of 1 robots have everything acked" in log.read_text()
    session = reader.session("robot-001", "stopped")
    assert session.info()["status"] == "ended"
    assert len(session.range("pose")["t_ns"]) >= 50


def test_what_the_server_refuses_is_said_and_is_a_failure(server: str, tmp_path: Path) -> None:
    """Another robot has made `pose` a stream of logs."""
    message = {
        "robot_id": "robot-001",
        "session_id": "clash",
        "data_type": "log",
        "stream": "pose",
        "timestamp": time.time(),
        "payload": {"level": "info", "message": "mine"},
    }
    curl = ["curl", "-sf", f"{server}/api/v1/ingest", "-H", "content-type: application/x-ndjson"]
    answer = subprocess.run([*curl, "--data-binary", json.dumps(message)], capture_output=True, check=True)  # noqa: S603  # as the README shows
    assert json.loads(answer.stdout)["accepted"] == 1
    config = tmp_path / "config.yaml"
    config.write_text("robots: 1\nduration_s: 1\nrecordings: false\n", encoding="utf-8")
    run = subprocess.run(  # noqa: S603  # our own program
        [*SIMULATE, "--url", server, "--session", "clash", "--config", str(config)],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "0 of 1 robots have everything acked" in run.stdout
    assert "10 rejected" in run.stdout


def test_a_wrong_option_is_named() -> None:
    command = [*SIMULATE, "--robots", "0"]
    run = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, check=False)  # noqa: S603  # our own program
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("datamanager: the command line: robots: ")
