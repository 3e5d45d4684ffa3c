"""Faults as sensors have them, put into healthy recordings at known times; and how well they are found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from datamanager.inference.online.pipeline import Pipeline
from datamanager.inference.online.spec import OnlineSpec

__all__ = ["FAULTS", "T0_NS", "Count", "Series", "count", "found_in", "real_series", "with_fault"]

Floats = npt.NDArray[np.float64]
FAULTS = ("spike", "stuck", "drift", "noise", "drop-out")
S_NS = 1_000_000_000
T0_NS = 1_700_000_000 * S_NS


@dataclass
class Series:
    """A recording: times in seconds [n], values [n, channels]."""

    name: str
    t_s: Floats
    x: Floats


@dataclass
class Count:
    """Windows by what they are and what was said of them; and how many faults were seen at all."""

    hits: int = 0
    false: int = 0
    missed: int = 0
    clean: int = 0
    faults: int = 0
    seen: int = 0
    kinds: dict[str, list[int]] = field(default_factory=dict)

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.false)

    @property
    def recall(self) -> float:
        return self.seen / max(1, self.faults)

    @property
    def false_rate(self) -> float:
        return self.false / max(1, self.false + self.clean)


def real_series(recordings: Path) -> list[Series]:
    """The recordings of telemetry: a car's accelerometer, gyroscope and speed, a drone's way, a humanoid's joints."""
    car = recordings / "multi/comma2k19/processed_log"

    def numpy(name: str, folder: str) -> Series:
        t = np.load(car / folder / "t", allow_pickle=False)
        return Series(name, t, np.load(car / folder / "value", allow_pickle=False).reshape(len(t), -1))

    drone = np.loadtxt(recordings / "time_series/evo/V101_gt.txt")
    table = pq.read_table(recordings / "multi/rerun-lerobot-apple_storage/v30/data/chunk-000/file-000.parquet")
    joints = np.array(table["observation.state"].to_pylist())
    return [
        numpy("car accelerometer, 104 Hz", "IMU/accelerometer"),
        numpy("car gyroscope, 104 Hz", "IMU/gyro"),
        numpy("car speed, 83 Hz", "CAN/speed"),
        Series("drone position, 20 Hz", drone[:, 0], drone[:, 1:4]),
        Series("humanoid joints, 30 Hz", np.arange(len(joints)) / 30, joints),
    ]


def with_fault(series: Series, kind: str, rng: np.random.Generator) -> tuple[Series, float, float]:
    """The series with one fault of a kind in one channel, and from when to when it is, in seconds."""
    t, x = series.t_s, series.x.copy()
    moving = np.flatnonzero(x.std(axis=0) > 1e-9)
    channel = int(rng.choice(moving))
    size = float(x[:, channel].std())
    start = float(rng.uniform(t[0] + 0.5 * (t[-1] - t[0]), t[-1] - 8))
    seconds = {"spike": 0.0, "stuck": 4.0, "drift": 6.0, "noise": 4.0, "drop-out": 3.0}[kind]
    inside = (t >= start) & (t < start + seconds)
    if kind == "spike":
        at = int(np.searchsorted(t, start))
        x[at, channel] += 10 * size * rng.choice([-1, 1])
    elif kind == "stuck":
        x[inside, channel] = x[inside, channel][0]
    elif kind == "drift":
        x[inside, channel] += 6 * size * (t[inside] - start) / seconds
    elif kind == "noise":
        x[inside, channel] += 3 * size * rng.standard_normal(int(inside.sum()))
    else:
        t, x = t[~inside], x[~inside]
    return Series(series.name, t, x), start, start + seconds


def found_in(series: Series, spec: OnlineSpec) -> list[tuple[float, float, bool, float]]:
    """Of each window that was judged: its beginning and end in seconds, whether it is odd, and the score."""
    pipeline = Pipeline(spec)
    columns: Mapping[str, Floats] = {f"c{i}": series.x[:, i] for i in range(series.x.shape[1])}
    t_ns = T0_NS + ((series.t_s - series.t_s[0]) * S_NS).astype(np.int64)
    found = []
    for at in range(0, len(t_ns), 100):
        some = slice(at, at + 100)
        pipeline.add(t_ns[some], {name: column[some] for name, column in columns.items()})
        for answer in pipeline.advance():
            said = answer.parts.get("anomaly")
            if said is not None:
                end = (answer.end_ns - T0_NS) / S_NS + series.t_s[0]
                found.append((end - spec.windows.seconds, end, answer.is_odd, float(said["score"])))
    return found


def count(series: Sequence[Series], spec: OnlineSpec, *, seeds: int) -> dict[str, Count]:
    """By recording: faults of each kind at `seeds` places, one at a time."""
    counts = {}
    for each in series:
        counts[each.name] = total = Count()
        for kind in FAULTS:
            seen = 0
            for seed in range(seeds):
                faulty, start, end = with_fault(each, kind, np.random.default_rng([seed, FAULTS.index(kind)]))
                hit = False
                for first, last, is_odd, _ in found_in(faulty, spec):
                    # What was missing is noticed by the window behind it.
                    is_faulty = first <= end + (1.0 if kind == "drop-out" else 0.0) and last > start
                    hit = hit or (is_faulty and is_odd)
                    total.hits += is_faulty and is_odd
                    total.missed += is_faulty and not is_odd
                    total.false += is_odd and not is_faulty
                    total.clean += not is_odd and not is_faulty
                seen += hit
            total.kinds[kind] = [seen, seeds]
            total.faults += seeds
            total.seen += seen
    return counts
