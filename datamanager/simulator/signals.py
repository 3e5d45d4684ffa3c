"""The sensors of a made robot: what each reads at given times, noise included."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from datamanager.simulator.events import Column, Samples
from datamanager.simulator.motion import JOINTS, arm, base, contact
from datamanager.simulator.rates import regular_batches_ns

__all__ = ["SIGNALS", "MadeSignal", "Signal"]

Floats = npt.NDArray[np.float64]
Signal = Callable[[Floats, Floats], Mapping[str, Column]]
"""From times in seconds, shape (n,), and standard normal noise, shape (n, 8), to channels of n values each."""

_NOISES = 8
_GRAVITY = 9.80665


def _pose(t_s: Floats, noise: Floats) -> Mapping[str, Column]:
    """Metres, a unit quaternion, m/s and rad/s."""
    at = base(t_s)
    return {
        "position.x": at.x + 0.002 * noise[:, 0],
        "position.y": at.y + 0.002 * noise[:, 1],
        "position.z": 0.12 + 0.001 * noise[:, 2],
        "orientation.x": np.zeros_like(t_s),
        "orientation.y": np.zeros_like(t_s),
        "orientation.z": np.sin(at.yaw / 2),
        "orientation.w": np.cos(at.yaw / 2),
        "velocity.linear": at.speed + 0.005 * noise[:, 3],
        "velocity.angular": at.yaw_rate + 0.002 * noise[:, 4],
    }


def _joint_states(t_s: Floats, noise: Floats) -> Mapping[str, Column]:
    """Rad, rad/s and N m of 7 joints."""
    now = arm(t_s)
    joints = range(JOINTS)
    return {
        **{f"positions.{j}": now.positions[:, j] + 0.0002 * noise[:, j] for j in joints},
        **{f"velocities.{j}": now.velocities[:, j] + 0.002 * noise[:, j] for j in joints},
        **{f"torques.{j}": now.torques[:, j] + 0.08 * noise[:, j] for j in joints},
    }


def _force_torque(t_s: Floats, noise: Floats) -> Mapping[str, Column]:
    """N and N m at the wrist; it presses down in each contact."""
    press = contact(t_s)
    return {
        "force.x": 3.0 * press * np.sin(9 * t_s) + 0.15 * noise[:, 0],
        "force.y": 2.0 * press * np.cos(7 * t_s) + 0.15 * noise[:, 1],
        "force.z": -4.2 - 28.0 * press + 0.25 * noise[:, 2],
        "torque.x": 0.9 * press + 0.02 * noise[:, 3],
        "torque.y": -0.6 * press + 0.02 * noise[:, 4],
        "torque.z": 0.2 * press * np.sin(5 * t_s) + 0.01 * noise[:, 5],
    }


def _imu(t_s: Floats, noise: Floats) -> Mapping[str, Column]:
    """m/s^2 and rad/s in the frame of the base: x ahead, y left, z up."""
    at = base(t_s)
    return {
        "acceleration.x": at.acceleration + 0.03 * noise[:, 0],
        "acceleration.y": at.sideways + 0.03 * noise[:, 1],
        "acceleration.z": _GRAVITY + 0.04 * noise[:, 2],
        "angular_velocity.x": 0.002 * noise[:, 3],
        "angular_velocity.y": 0.002 * noise[:, 4],
        "angular_velocity.z": at.yaw_rate + 0.002 * noise[:, 5],
    }


def _system(t_s: Floats, noise: Floats) -> Mapping[str, Column]:
    """Load, memory, heat and battery of the computer, and what it is doing: numbers, booleans and text side by side."""
    touching = contact(t_s) > 0
    return {
        "cpu_percent": np.clip(38 + 12 * np.sin(t_s / 9) + 25 * touching + 4 * noise[:, 0], 0, 100),
        "memory_mb": (2300 + 40 * np.sin(t_s / 60) + 6 * noise[:, 1]).astype(np.int64),
        "temperature_c": 47 + 6 * np.sin(t_s / 45) + 0.3 * noise[:, 2],
        "battery_percent": np.maximum(3.0, 96.0 - t_s / 90),
        "uptime_s": t_s.astype(np.int64),
        "charging": [False] * len(t_s),
        "mode": ["manipulate" if touch else "drive" for touch in touching],
    }


SIGNALS: Mapping[str, tuple[Signal, str]] = {
    "pose": (_pose, "base on a figure of eight"),
    "joint_states": (_joint_states, "7 joints: positions, velocities, torques"),
    "force_torque": (_force_torque, "wrist, a contact every 12 s"),
    "imu": (_imu, "of the same motion"),
    "system": (_system, "load, memory, heat, battery"),
}


@dataclass(frozen=True, slots=True)
class MadeSignal:
    """A stream of samples at a fixed rate.

    Attributes:
        phase_s: how far into its motion the robot starts.
        seed: of the noise.
    """

    stream: str
    rate_hz: float
    batch_s: float
    phase_s: float
    seed: tuple[int, ...]

    @property
    def origin(self) -> str:
        """What it is."""
        return f"{self.rate_hz:g} Hz, {SIGNALS[self.stream][1]}"

    def events(self, end_ns: int) -> Iterator[Samples]:
        """The samples before `end_ns`, about `batch_s` of them at a time."""
        signal, _ = SIGNALS[self.stream]
        rng = np.random.default_rng(self.seed)
        for offsets_ns in regular_batches_ns(self.rate_hz, self.batch_s, end_ns):
            noise = rng.standard_normal((len(offsets_ns), _NOISES))
            channels = signal(offsets_ns / 1e9 + self.phase_s, noise)
            yield Samples(self.stream, int(offsets_ns[-1]), offsets_ns, channels)
