"""How a made robot moves: its base drives a figure of eight through a room while its arm works. Formulas of time alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["CONTACT_EVERY_S", "JOINTS", "Arm", "Base", "arm", "base", "contact"]

Floats = npt.NDArray[np.float64]

JOINTS = 7
_LAP_S = 48.0
_HALF_LENGTH_M, _HALF_WIDTH_M = 3.6, 1.7
_JOINT = np.arange(JOINTS)
_REACH_RAD = np.array([1.2, 0.8, 1.0, 0.9, 1.4, 0.7, 1.6])
_REST_RAD = np.array([0.0, 0.4, 0.0, -1.6, 0.0, 1.2, 0.3])
_JOINT_W = 2 * np.pi / np.array([9.0, 7.0, 11.0, 6.0, 5.0, 4.5, 3.7])
_INERTIA = np.array([1.9, 1.7, 1.1, 0.8, 0.3, 0.2, 0.08])  # kg m^2
_WEIGHT_NM = np.array([0.0, 38.0, 9.0, 17.0, 2.0, 1.5, 0.1])
_FRICTION = np.array([2.1, 2.0, 1.4, 1.2, 0.6, 0.5, 0.3])  # N m s
CONTACT_EVERY_S = 12.0
_CONTACT_S = 1.6


@dataclass(frozen=True, slots=True)
class Base:
    """The base at n times, each of shape (n,): metres, radians and seconds; z is up, yaw counts from x to y."""

    x: Floats
    y: Floats
    yaw: Floats
    speed: Floats
    yaw_rate: Floats
    acceleration: Floats
    sideways: Floats


@dataclass(frozen=True, slots=True)
class Arm:
    """The arm at n times, each of shape (n, 7): rad, rad/s, N m."""

    positions: Floats
    velocities: Floats
    torques: Floats


def base(t_s: Floats) -> Base:
    """The base on a Gerono lemniscate, with its exact derivatives."""
    w = 2 * np.pi / _LAP_S
    x, y = _HALF_LENGTH_M * np.sin(w * t_s), _HALF_WIDTH_M * np.sin(2 * w * t_s)
    vx, vy = _HALF_LENGTH_M * w * np.cos(w * t_s), 2 * _HALF_WIDTH_M * w * np.cos(2 * w * t_s)
    ax, ay = -w * w * x, -4 * w * w * y
    speed = np.hypot(vx, vy)
    return Base(
        x=x,
        y=y,
        yaw=np.arctan2(vy, vx),
        speed=speed,
        yaw_rate=(vx * ay - vy * ax) / speed**2,
        acceleration=(vx * ax + vy * ay) / speed,
        sideways=(vx * ay - vy * ax) / speed,
    )


def arm(t_s: Floats) -> Arm:
    """The arm: each joint swings about its rest; the torque is that of inertia, weight, friction and contact."""
    angle = t_s[:, None] * _JOINT_W + 0.7 * _JOINT
    positions = _REST_RAD + _REACH_RAD * np.sin(angle)
    velocities = _REACH_RAD * _JOINT_W * np.cos(angle)
    accelerations = -_REACH_RAD * _JOINT_W**2 * np.sin(angle)
    load = 4.0 * contact(t_s)[:, None] * np.linspace(1.0, 0.1, JOINTS)
    torques = _INERTIA * accelerations + _WEIGHT_NM * np.cos(positions) + _FRICTION * velocities + load
    return Arm(positions, velocities, torques)


def contact(t_s: Floats) -> Floats:
    """How hard the tool presses, 0 to 1: one touch every 12 s."""
    into_s = np.mod(t_s, CONTACT_EVERY_S)
    return np.where(into_s < _CONTACT_S, np.sin(np.pi * into_s / _CONTACT_S) ** 2, 0.0)
