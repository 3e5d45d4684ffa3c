"""What a robot makes by itself: as many as its rates say, of the right shapes, the same with the same seed."""

import io
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from datamanager.kinds.images.info import ImageLimits
from datamanager.kinds.images.inspect import inspect_image
from datamanager.simulator import pictures
from datamanager.simulator.events import Event, Frame, Line, Samples
from datamanager.simulator.motion import arm, base
from datamanager.simulator.plan import plan_robot
from datamanager.simulator.scene import Rays, View, cast
from datamanager.simulator.settings import CameraRate, CloudRate, SampleRate, Settings, Streams

SECONDS = 6
LIMITS = ImageLimits(max_pixels=1_000_000, max_points=1_000_000)
SMALL = CameraRate(rate_hz=2, width=64, height=48)
SETTINGS = Settings(
    recordings=False, streams=Streams(front_rgb=SMALL, front_depth=SMALL, cloud=CloudRate(rate_hz=1, points=600))
)


def events_of(stream: str, *, settings: Settings = SETTINGS, number: int = 0) -> list[Event]:
    source = next(source for source in plan_robot(settings, number, None) if source.stream == stream)
    return list(source.events(SECONDS * 10**9))


def frames_of(stream: str) -> list[Frame]:
    return [event for event in events_of(stream) if isinstance(event, Frame)]


def columns_of(stream: str, **options: object) -> dict[str, list[object]]:
    """All samples of a stream, by channel."""
    events = [event for event in events_of(stream, **options) if isinstance(event, Samples)]  # type: ignore[arg-type]  # as events_of
    return {name: [value for event in events for value in event.channels[name]] for name in events[0].channels}


@pytest.mark.parametrize(
    ("stream", "samples", "channels"),
    [
        ("pose", 600, 9),
        ("joint_states", 600, 21),
        ("force_torque", 180, 6),
        ("imu", 180, 6),
        ("system", 6, 7),
    ],
)
def test_a_stream_of_samples_has_its_rate_and_its_channels(stream: str, samples: int, channels: int) -> None:
    columns = columns_of(stream)
    assert {len(column) for column in columns.values()} == {samples}
    assert len(columns) == channels


def test_the_arm_has_positions_velocities_and_torques_of_seven_joints() -> None:
    parts = Counter(name.partition(".")[0] for name in columns_of("joint_states"))
    assert parts == {"positions": 7, "velocities": 7, "torques": 7}


def test_velocities_are_the_changes_of_positions() -> None:
    t_s = np.arange(0, 20, 1e-4)
    moving = arm(t_s)
    assert np.abs(np.gradient(moving.positions, 1e-4, axis=0) - moving.velocities)[1:-1].max() < 1e-5
    driving = base(t_s)
    speed = np.hypot(np.gradient(driving.x, 1e-4), np.gradient(driving.y, 1e-4))
    assert np.abs(speed - driving.speed)[1:-1].max() < 1e-6
    assert np.abs(np.gradient(np.unwrap(driving.yaw), 1e-4) - driving.yaw_rate)[1:-1].max() < 1e-5


def test_orientations_are_unit_quaternions() -> None:
    columns = columns_of("pose")
    parts = np.array([columns[f"orientation.{axis}"] for axis in "xyzw"], float)
    assert np.abs(np.linalg.norm(parts, axis=0) - 1).max() < 1e-12


def test_numbers_booleans_and_text_stand_side_by_side_in_the_system_stream() -> None:
    columns = columns_of("system")
    assert {type(value) for value in columns["mode"]} == {str}
    assert {type(value) for value in columns["charging"]} == {bool}
    assert {type(value) for value in columns["memory_mb"]} == {np.int64}


def test_pictures_are_jpeg_of_the_size_that_was_asked() -> None:
    frames = frames_of("front_rgb")
    assert 8 <= len(frames) <= 16
    for frame in frames:
        assert isinstance(frame.image, bytes)
        picture = Image.open(io.BytesIO(frame.image))
        assert (picture.format, picture.size, frame.role) == ("JPEG", (64, 48), "rgb")


def test_without_an_imaging_library_pictures_are_arrays_for_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_pillow", lambda: None)
    image = frames_of("front_rgb")[0].image
    assert isinstance(image, np.ndarray)
    assert (image.shape, image.dtype) == ((48, 64, 3), np.uint8)


def test_depths_are_millimetres_of_the_room() -> None:
    for frame in frames_of("front_depth"):
        assert isinstance(frame.image, np.ndarray)
        assert (frame.image.shape, frame.image.dtype, frame.role) == ((48, 64), np.uint16, "depth")
        seen = frame.image[frame.image > 0]
        assert seen.size > 1000
        assert 250 <= seen.min() < seen.max() <= 9000


def test_clouds_are_ply_that_the_server_reads() -> None:
    for frame in frames_of("cloud"):
        assert isinstance(frame.image, bytes)
        found = inspect_image(frame.image, declared_format=None, role=frame.role, limits=LIMITS)
        assert (found.format, found.role, found.points) == ("ply", "pointcloud", 592)


def test_every_log_line_has_a_level_and_contacts_are_told() -> None:
    lines = [event for event in events_of("log", number=1) if isinstance(event, Line)]
    assert {line.level for line in lines} <= {"debug", "info", "warning", "error"}
    assert [line.offset_ns for line in lines if line.logger == "arm"] == [4_700_000_000]


@pytest.mark.parametrize("stream", ["pose", "system", "front_rgb", "front_depth", "cloud", "log"])
def test_a_seed_makes_the_same_again_and_robots_and_seeds_differ(stream: str) -> None:
    other = Settings(recordings=False, seed=2, streams=SETTINGS.streams)
    first = repr(events_of(stream))
    assert first == repr(events_of(stream))
    assert first != repr(events_of(stream, settings=other))
    assert first != repr(events_of(stream, number=1))


def test_how_samples_are_batched_does_not_change_them() -> None:
    whole = Settings(recordings=False, batch_s=2, streams=SETTINGS.streams)
    assert columns_of("pose") == columns_of("pose", settings=whole)


@pytest.mark.parametrize("stream", [source.stream for source in plan_robot(SETTINGS, 0, None)])
def test_events_come_in_the_order_of_time(stream: str) -> None:
    offsets = [event.offset_ns for event in events_of(stream)]
    assert all(a <= b for a, b in pairwise(offsets))
    assert 0 <= offsets[0] <= offsets[-1] < SECONDS * 10**9


def test_a_rate_of_nought_turns_a_stream_off() -> None:
    off = Settings(streams=Streams(imu=SampleRate(rate_hz=0), cloud=CloudRate(rate_hz=0)))
    assert {"imu", "cloud"}.isdisjoint(source.stream for source in plan_robot(off, 0, None))


def test_rays_go_as_far_as_the_nearest_thing() -> None:
    """Ahead along x from the middle: the pillar at 2.1 m with its radius of 0.16 m; behind it the far wall; the floor."""
    ahead = Rays(*(np.array(axis, np.float32) for axis in ([1, 1, 0], [0, 0, 0], [0, 0.4, -1])))
    hits = cast(View(0.0, 0.0, 0.8, 0.0, t_s=50.0), ahead)
    assert np.allclose(hits.along, [1.94, 5.0, 0.8], atol=1e-4)
