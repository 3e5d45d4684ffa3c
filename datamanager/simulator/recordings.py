"""Reads the recordings that stand beside the repository, as far as they are there; see their `INDEX.md`."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from datamanager.errors import ConfigError
from datamanager.simulator.recorded import LogLine, to_and_fro

__all__ = ["FrameSet", "Recordings", "SampleSet", "find_recordings", "read_recordings"]

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "recordings"
_KINECT_HZ = 30.0
_ANDROID = re.compile(r"(\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) +\d+ +\d+ ([VDIWEF]) ([^:]*): ?(.*)")
_LEVELS = {"V": "trace", "D": "debug", "I": "info", "W": "warning", "E": "error", "F": "fatal"}


@dataclass(frozen=True, slots=True)
class SampleSet:
    """A recorded stream of samples.

    Attributes:
        source: where in the folder it is from.
        offsets_ns: int64, shape (n,), ascending from 0.
        channels: by dotted name, each of shape (n,).
    """

    source: str
    offsets_ns: npt.NDArray[np.int64]
    channels: Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class FrameSet:
    """Recorded frames that were taken at a fixed rate, in the order of time."""

    source: str
    files: tuple[Path, ...]
    rate_hz: float
    role: str


@dataclass(slots=True)
class Recordings:
    """What was found: each by the name of the stream that it becomes.

    Attributes:
        missing: what was not found, or cannot be read here, and why.
    """

    folder: Path
    samples: dict[str, SampleSet] = field(default_factory=dict)
    frames: dict[str, FrameSet] = field(default_factory=dict)
    lines: dict[str, tuple[str, list[LogLine]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.samples) + len(self.frames) + len(self.lines)


def find_recordings(wanted: bool | str) -> Path | None:
    """The folder of recordings; None when there is none, or none is wanted.

    Args:
        wanted: True for the one beside the repository, if it is there; False for none; or a folder.

    Raises:
        ConfigError: the folder that was named is none.
    """
    if wanted is False:
        return None
    folder = _BESIDE if wanted is True else Path(wanted)
    if folder.is_dir():
        return folder
    if wanted is True:
        return None
    raise ConfigError(f"recordings: {folder} is no folder")


def read_recordings(folder: Path) -> Recordings:
    """Reads all that is known and there.

    Raises:
        ConfigError: nothing that is known is there, or a file of it cannot be understood: the detail names it.
    """
    found = Recordings(folder)
    for source, read in _READERS.items():
        if not (folder / source).is_dir():
            found.missing.append(f"{source}: not there")
            continue
        try:
            read(folder / source, source, found)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ConfigError(f"recordings: {folder / source} cannot be read: {error}") from error
    if not len(found):
        raise ConfigError(f"recordings: {folder} holds none that are known ({', '.join(_READERS)})")
    return found


def _rgbd(folder: Path, source: str, found: Recordings) -> None:
    """RGB-D frames, and a 4x4 matrix from camera to room for each."""
    colour, depth = _sorted(folder, "*.color.jpg"), _sorted(folder, "*.depth.png")
    found.frames["front_rgb"] = FrameSet(source, colour, _KINECT_HZ, "rgb")
    found.frames["front_depth"] = FrameSet(source, depth, _KINECT_HZ, "depth")
    files = _sorted(folder, "*.pose.txt")
    order = [to_and_fro(tick, len(files)) for tick in range(max(1, 2 * len(files) - 2))]  # as the frames are played
    matrices = np.stack([np.loadtxt(file) for file in files])[order]
    offsets_ns = np.rint(np.arange(len(order)) * 1e9 / _KINECT_HZ).astype(np.int64)
    channels = _columns("position", "xyz", matrices[:, :3, 3]) | _columns(
        "orientation", "xyzw", np.stack([_quaternion(matrix) for matrix in matrices])
    )
    found.samples["camera_pose"] = SampleSet(source, offsets_ns, channels)


def _rtabmap(folder: Path, source: str, found: Recordings) -> None:
    """Pictures of a mobile robot, numbered; about one a second."""
    files = tuple(sorted(folder.glob("*.jpg"), key=lambda file: int(file.stem)))
    found.frames["rear_rgb"] = FrameSet(source, _some(files, folder), 1.0, "rgb")


def _clouds(folder: Path, source: str, found: Recordings) -> None:
    """Coloured clouds of a depth camera, a quarter of a second apart."""
    found.frames["cloud"] = FrameSet(source, _sorted(folder, "*.pcd"), 1 / 0.256, "pointcloud")


def _humanoid(folder: Path, source: str, found: Recordings) -> None:
    """State and action of 19 joints at 30 Hz, in Parquet."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        found.missing.append(f"{source}: reading Parquet needs pyarrow, which is not installed")
        return
    files = _sorted(folder, "v30/data/*/*.parquet")
    table = parquet.read_table(files[0], columns=["observation.state", "action"]).to_pydict()
    offsets_ns = np.rint(np.arange(len(table["action"])) * 1e9 / 30).astype(np.int64)  # its own clock restarts thrice
    state, action = (np.array(table[name], np.float32) for name in ("observation.state", "action"))
    names = [str(joint) for joint in range(state.shape[1])]
    channels = _columns("state", names, state) | _columns("action", names, action)
    found.samples["humanoid/joints"] = SampleSet(source, offsets_ns, channels)


def _car(folder: Path, source: str, found: Recordings) -> None:
    """IMU, CAN and GNSS of a car, each with its own times; NumPy arrays without the ending."""
    log = folder / "processed_log"

    def read(where: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
        t_s, values = np.load(log / where / "t"), np.load(log / where / "value")
        order = np.argsort(t_s, kind="stable")
        return _rebased(t_s[order]), values.reshape(len(values), -1)[order]

    offsets_ns, acceleration = read("IMU/accelerometer")
    _, gyro = read("IMU/gyro")
    imu = _columns("acceleration", "xyz", acceleration) | _columns("angular_velocity", "xyz", gyro)
    found.samples["car/imu"] = SampleSet(source, offsets_ns, imu)
    offsets_ns, speed = read("CAN/speed")
    found.samples["car/speed"] = SampleSet(source, offsets_ns, {"speed": speed[:, 0]})
    offsets_ns, angle = read("CAN/steering_angle")
    found.samples["car/steering"] = SampleSet(source, offsets_ns, {"angle": angle[:, 0]})
    offsets_ns, fix = read("GNSS/live_gnss_ublox")
    names = ("latitude", "longitude", "speed", "utc_ms", "altitude", "bearing")
    found.samples["car/gnss"] = SampleSet(source, offsets_ns, {n: fix[:, i] for i, n in enumerate(names)})


def _trajectory(folder: Path, source: str, found: Recordings) -> None:
    """A trajectory in TUM's text form: seconds, position, quaternion."""
    rows = np.loadtxt(_sorted(folder, "*.txt")[0])
    channels = _columns("position", "xyz", rows[:, 1:4]) | _columns("orientation", "xyzw", rows[:, 4:8])
    found.samples["odometry"] = SampleSet(source, _rebased(rows[:, 0]), channels)


def _android(folder: Path, source: str, found: Recordings) -> None:
    """A log of Android: month, day and time, process, thread, level, tag and text."""
    text = _sorted(folder, "*.log")[0].read_text(encoding="utf-8", errors="replace")
    parsed = [match.groups() for line in text.splitlines() if (match := _ANDROID.match(line))]
    times = [datetime.strptime(f"2000-{at} +0000", "%Y-%m-%d %H:%M:%S.%f %z") for at, *_ in parsed]
    first = min(times)
    lines = [
        LogLine((at - first) // timedelta(microseconds=1) * 1000, _LEVELS[level], message, logger.strip())
        for at, (_, level, logger, message) in zip(times, parsed, strict=True)
    ]
    found.lines["log"] = (source, sorted(lines, key=lambda line: line.offset_ns))


_READERS: Mapping[str, Callable[[Path, str, Recordings], None]] = {
    "rgbd/tsdf-fusion-python": _rgbd,
    "image/rtabmap": _rtabmap,
    "pointcloud/pcl": _clouds,
    "multi/rerun-lerobot-apple_storage": _humanoid,
    "multi/comma2k19": _car,
    "time_series/evo": _trajectory,
    "log/loghub": _android,
}


def _sorted(folder: Path, pattern: str) -> tuple[Path, ...]:
    files = folder.rglob(pattern) if "/" not in pattern else folder.glob(pattern)
    return _some(tuple(sorted(files)), folder / pattern)


def _some(files: tuple[Path, ...], where: Path) -> tuple[Path, ...]:
    if not files:
        raise ValueError(f"no file {where}")
    return files


def _rebased(t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    offsets_ns: npt.NDArray[np.int64] = np.rint((t_s - t_s[0]) * 1e9).astype(np.int64)
    return offsets_ns


def _columns(name: str, parts: Any, values: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.generic]]:
    return {f"{name}.{part}": np.ascontiguousarray(values[:, i]) for i, part in enumerate(parts)}


def _quaternion(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rotation of a 4x4 matrix as x, y, z, w (Shepperd, 1978: divides by the largest of the four)."""
    m = matrix[:3, :3]
    squares = np.array([m[0, 0], m[1, 1], m[2, 2]])
    i = int(np.argmax(squares))
    trace = float(squares.sum())
    q = np.empty(4)
    if trace > squares[i]:
        q[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1 + trace
    else:
        j, k = (i + 1) % 3, (i + 2) % 3
        q[i] = 1 + m[i, i] - m[j, j] - m[k, k]
        q[j], q[k], q[3] = m[j, i] + m[i, j], m[k, i] + m[i, k], m[k, j] - m[j, k]
    return q / np.linalg.norm(q)
