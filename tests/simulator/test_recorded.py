"""Playing recordings: their own times and values, over and over; and a plain word where they are absent."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from datamanager.errors import ConfigError
from datamanager.simulator import recordings as module
from datamanager.simulator.events import Frame, Samples
from datamanager.simulator.plan import plan_robot
from datamanager.simulator.recorded import LogLine, RecordedFrames, RecordedLines, RecordedSamples, to_and_fro
from datamanager.simulator.recordings import find_recordings, read_recordings
from datamanager.simulator.reports import source_lines
from datamanager.simulator.settings import Burst, CameraRate, Settings

SECOND_NS = 10**9


def made_samples(skip_ns: int = 0) -> RecordedSamples:
    offsets_ns = np.array([0, 1, 3], np.int64) * SECOND_NS
    return RecordedSamples("s", "here", offsets_ns, {"x": np.array([10.0, 11.0, 13.0])}, 0.1, skip_ns)


def played(source: RecordedSamples, end_s: int) -> list[tuple[float, float]]:
    return [
        (float(t_ns) / SECOND_NS, float(x))
        for samples in source.events(end_s * SECOND_NS)
        for t_ns, x in zip(samples.offsets_ns, samples.channels["x"], strict=True)
    ]


def test_samples_keep_their_times_and_begin_again_after_the_last() -> None:
    assert played(made_samples(), 9) == [(0, 10), (1, 11), (3, 13), (4.5, 10), (5.5, 11), (7.5, 13)]


def test_a_robot_may_start_within_the_recording() -> None:
    assert played(made_samples(2 * SECOND_NS), 5) == [(1, 13), (2.5, 10), (3.5, 11)]


def test_frames_come_at_times_at_which_there_is_one_and_the_right_one() -> None:
    files = [Path(f"{number}.jpg") for number in range(5)]
    rate = CameraRate(rate_hz=3, burst=Burst(rate_hz=60, every_s=4, for_s=1))
    source = RecordedFrames("c", "here", files, 10.0, rate, "rgb", 0.0, (1,))
    frames = list(source.events(8 * SECOND_NS))
    ticks = [round(frame.offset_ns * 10 / SECOND_NS) for frame in frames]
    assert [frame.offset_ns for frame in frames] == [tick * SECOND_NS // 10 for tick in ticks]
    assert [frame.image for frame in frames] == [files[to_and_fro(tick, 5)] for tick in ticks]
    assert ticks == sorted(set(ticks))
    assert set(range(1, 10)) <= set(ticks)  # the burst asks for more than there are, and gets all


def test_to_and_fro_repeats_no_end() -> None:
    assert [to_and_fro(tick, 4) for tick in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]
    assert [to_and_fro(tick, 1) for tick in range(3)] == [0, 0, 0]


def test_lines_keep_their_times_and_begin_again() -> None:
    lines = [LogLine(0, "info", "a", "x"), LogLine(SECOND_NS, "info", "b", "x")]
    source = RecordedLines("log", "here", lines)
    assert [(line.offset_ns // SECOND_NS, line.message) for line in source.events(4 * SECOND_NS)] == [
        (0, "a"), (1, "b"), (2, "a"), (3, "b"),
    ]  # fmt: skip


def test_where_there_are_no_recordings_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_BESIDE", tmp_path / "absent")
    assert find_recordings(wanted=True) is None
    lines = source_lines(plan_robot(Settings(), 0, None), None, "no recordings are here")
    assert lines[0] == "making all data here: no recordings are here"
    assert not any("recorded" in line for line in lines[1:])


def test_a_folder_that_was_named_must_be_there_and_hold_recordings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="absent is no folder"):
        find_recordings(str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="holds none that are known"):
        read_recordings(tmp_path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "time_series" / "evo"
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text("no numbers at all")
    with pytest.raises(ConfigError, match="evo cannot be read"):
        read_recordings(tmp_path)


def test_what_is_missing_is_said_and_the_rest_is_played(tmp_path: Path) -> None:
    folder = tmp_path / "time_series" / "evo"
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text("# t x y z qx qy qz qw\n5.5 1 2 3 0 0 0 1\n6.0 1 2 4 0 0 0 1\n")
    found = read_recordings(tmp_path)
    assert found.samples["odometry"].offsets_ns.tolist() == [0, 500_000_000]
    lines = source_lines(plan_robot(Settings(), 0, found), found, "")
    assert lines[0].startswith("playing the recordings in ")
    assert "  not played: image/rtabmap: not there" in lines
    assert any(line.split()[:2] == ["odometry", "recorded"] for line in lines)
    assert any(line.split()[:2] == ["pose", "made"] for line in lines)


def test_the_real_recordings_play_at_their_rates(recordings: Path) -> None:
    found = read_recordings(recordings)
    assert found.missing == []
    plan = plan_robot(Settings(), 1, found)
    counts: Counter[str] = Counter()
    for source in plan:
        for event in source.events(10 * SECOND_NS):
            counts[source.stream] += len(event.offsets_ns) if isinstance(event, Samples) else 1
            if isinstance(event, Frame) and isinstance(event.image, Path):
                assert event.image.is_file()
    rates = {"camera_pose": 30, "humanoid/joints": 30, "car/imu": 104, "car/speed": 83, "car/gnss": 9.7, "odometry": 20}
    assert {name: counts[name] == pytest.approx(10 * rate, rel=0.03) for name, rate in rates.items()} == dict.fromkeys(
        rates, True
    )
    assert counts["log"] > 50
    assert {"front_rgb", "front_depth", "cloud", "rear_rgb"} <= {name for name in counts if counts[name]}


def test_recorded_poses_are_rotations(recordings: Path) -> None:
    channels = read_recordings(recordings).samples["camera_pose"].channels
    parts = np.stack([np.asarray(channels[f"orientation.{axis}"], float) for axis in "xyzw"], axis=1)
    assert np.abs(np.linalg.norm(parts, axis=1) - 1).max() < 1e-9
    x, y, z, w = parts[0]
    turned = [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)]  # where it turns the x axis
    matrix = np.loadtxt(recordings / "rgbd" / "tsdf-fusion-python" / "frame-000000.pose.txt")
    assert np.allclose(turned, matrix[:3, 0], atol=2e-4)  # the file's are rotations to that
