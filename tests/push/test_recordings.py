"""Recordings become streams, message by message; what is not understood is kept as it is, and said."""

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from mcap.writer import Writer
from mcap_ros2.writer import Writer as Ros2Writer
from PIL import Image
from support.pushing import PNG_1X1, push, records

T0 = 1_700_000_000_000_000_000
IMAGE = """uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data"""
CLOUD = """uint32 height
uint32 width
sensor_msgs/PointField[] fields
bool is_bigendian
uint32 point_step
uint32 row_step
uint8[] data
bool is_dense
================================================================================
MSG: sensor_msgs/PointField
string name
uint32 offset
uint8 datatype
uint32 count"""
JOINTS = "string[] name\nfloat64[] position"


class Recording:
    """An MCAP file in the making."""

    def __init__(self, path: Path, *, chunked: bool = True) -> None:
        self.path = path
        self._file = path.open("wb")
        self.writer = Writer(self._file, use_chunking=chunked)
        self.writer.start()
        self._t_ns = T0

    def channel(
        self, topic: str, schema: str, encoding: str, *, schema_encoding: str = "jsonschema", data: bytes = b"{}"
    ) -> int:
        schema_id = self.writer.register_schema(schema, schema_encoding, data)
        return int(self.writer.register_channel(topic, encoding, schema_id))

    def add(self, channel: int, data: bytes | dict[str, Any]) -> None:
        self._t_ns += 1000
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.writer.add_message(channel, self._t_ns, raw, self._t_ns)

    def close(self) -> Path:
        self.writer.finish()
        self._file.close()
        return self.path


def samples(server: str, session: str, stream: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        f"{server}/api/v1/sessions/pusher/{session}/range",
        params={"stream": stream, "format": "ndjson"},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def content(server: str, record: dict[str, Any]) -> bytes:
    url = f"{server}/api/v1/records/{record['record_id']}/content"
    return httpx.get(url, trust_env=False, follow_redirects=True).content


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    made = Recording(tmp_path / "all.mcap")
    pose = made.channel("/robot/pose", "my.Pose", "json")
    for n in range(3):
        made.add(pose, {"position": {"x": n * 0.5, "y": -n}, "frame": "map"})
    log = made.channel("/rosout", "foxglove.Log", "json")
    made.add(
        log,
        {"timestamp": {"sec": 1, "nsec": 2}, "level": 3, "message": "hot", "name": "arm", "file": "a.py", "line": 7},
    )
    cam = made.channel("/cam", "foxglove.CompressedImage", "json")
    made.add(cam, {"format": "png", "data": base64.b64encode(PNG_1X1).decode(), "frame_id": "cam"})
    made.add(cam, {"format": "png", "data": base64.b64encode(b"no picture").decode()})
    cloud = made.channel("/points", "foxglove.PointCloud", "json")
    fields = [{"name": name, "offset": 4 * n, "type": 7} for n, name in enumerate("xyz")]
    packed = base64.b64encode(struct.pack("<6f", 1, 2, 3, 4, 5, 6)).decode()
    made.add(cloud, {"point_stride": 12, "fields": fields, "data": packed})
    odd = made.channel("/odd", "my.Odd", "cbor", schema_encoding="", data=b"")
    made.add(odd, b"\xa1\x61x\x01")
    broken = made.channel("/broken", "my.Pose", "json")
    made.add(broken, b"{no json")
    grid = made.channel("/grid", "my.Grid", "json")
    made.add(grid, {"cells": [0] * 5000})
    made.writer.add_attachment(T0, T0, "calib.json", "application/json", b'{"fx": 500}')
    made.writer.add_metadata("site", {"city": "Bern"})
    return made.close()


def test_every_channel_becomes_what_it_is_and_nothing_is_dropped(server: str, recording: Path) -> None:
    said = push(server, recording, "--session", "rec")
    assert "10 messages of 7 channels, 1 attachments, 1 metadata, 4 kept as they are" in said
    second = samples(server, "rec", "robot/pose")[1]
    assert (second["t_ns"], second["position.x"], second["position.y"], second["frame"]) == (
        str(T0 + 2000),
        0.5,
        -1,
        "map",
    )
    by_stream: dict[str, list[dict[str, Any]]] = {}
    for record in records(server, "rec"):
        by_stream.setdefault(record["stream"], []).append(record)
    [log] = by_stream["rosout"]
    assert (log["kind"], log["metadata"]["level"], log["metadata"]["logger"]) == ("log", "warn", "arm")
    [picture] = by_stream["cam"]
    assert content(server, picture) == PNG_1X1
    [cloud] = by_stream["points"]
    assert (cloud["metadata"]["role"], cloud["metadata"]["points"]) == ("pointcloud", 2)
    assert {s: content(server, r[0]) for s, r in by_stream.items() if s.endswith("/raw")}["odd/raw"] == b"\xa1\x61x\x01"
    assert content(server, by_stream["broken/raw"][0]) == b"{no json"
    assert by_stream["grid/raw"][0]["metadata"]["schema"] == "my.Grid"
    assert "no known format" in by_stream["cam/raw"][0]["metadata"]["why"]
    assert content(server, by_stream["attachments/calib"][0]) == b'{"fx": 500}'
    session = httpx.get(f"{server}/api/v1/sessions/pusher/rec", trust_env=False).json()
    assert session["metadata"] == {"mcap": {"site": {"city": "Bern"}}}
    assert session["status"] == "ended"


def test_pushed_again_it_doubles_nothing(server: str, recording: Path) -> None:
    push(server, recording, "--session", "twice")
    before = len(records(server, "twice"))
    push(server, recording, "--session", "twice")
    assert len(records(server, "twice")) == before
    assert len(samples(server, "twice", "robot/pose")) == 3


def test_a_recording_that_is_cut_off_gives_what_came_before(server: str, tmp_path: Path) -> None:
    made = Recording(tmp_path / "whole.mcap", chunked=False)
    pose = made.channel("/pose", "my.Pose", "json")
    for n in range(50):
        made.add(pose, {"x": n})
    whole = made.close().read_bytes()
    (tmp_path / "part.mcap").write_bytes(whole[: len(whole) // 3])
    said = push(server, tmp_path / "part.mcap", "--session", "cut", status=1)
    assert "it is broken at byte" in said
    found = samples(server, "cut", "pose")
    assert 5 < len(found) < 50
    assert [row["x"] for row in found] == list(range(len(found)))


def test_ros_2_messages_become_pictures_clouds_and_samples(server: str, tmp_path: Path) -> None:
    path = tmp_path / "ros.mcap"
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    depth = np.arange(8, dtype="<u2").reshape(2, 4) * 1000
    with path.open("wb") as file:
        writer = Ros2Writer(file)
        image, joints, cloud = (
            writer.register_msgdef(f"sensor_msgs/msg/{name}", text)
            for name, text in (("Image", IMAGE), ("JointState", JOINTS), ("PointCloud2", CLOUD))
        )
        common = {"height": 2, "width": 4, "is_bigendian": 0}
        padded = b"".join(row.tobytes() + b"??" for row in pixels)
        messages = [
            ("/rgb", image, common | {"encoding": "bgr8", "step": 14, "data": padded}),
            ("/depth", image, common | {"encoding": "16UC1", "step": 8, "data": depth.tobytes()}),
            ("/bayer", image, common | {"encoding": "bayer_rggb8", "step": 4, "data": bytes(8)}),
            ("/joints", joints, {"name": ["a", "b"], "position": [0.5, 1.5]}),
            ("/points", cloud, _cloud()),
        ]
        for n, (topic, schema, message) in enumerate(messages):
            writer.write_message(topic, schema, message, T0 + n, T0 + n)
        writer.finish()
    said = push(server, path, "--session", "ros", "--stream", "bag")
    assert "5 messages of 5 channels, 1 kept as they are" in said
    found = {r["stream"]: r for r in records(server, "ros")}
    assert set(found) == {"bag/rgb", "bag/depth", "bag/bayer/raw", "bag/points"}
    rgb = np.asarray(Image.open(io.BytesIO(content(server, found["bag/rgb"]))))
    np.testing.assert_array_equal(rgb, pixels[:, :, ::-1])
    assert found["bag/depth"]["metadata"]["role"] == "depth"
    kept = np.asarray(Image.open(io.BytesIO(content(server, found["bag/depth"]))))
    np.testing.assert_array_equal(kept, depth)
    points = found["bag/points"]["metadata"]
    assert (points["points"], points["bounds"]) == (2, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    [joint] = samples(server, "ros", "bag/joints")
    assert (joint["name.1"], joint["position.1"]) == ("b", 1.5)


def _cloud() -> dict[str, Any]:
    fields = [{"name": n, "offset": 4 * i, "datatype": 7, "count": 1} for i, n in enumerate("xyz")]
    fields.append({"name": "intensity", "offset": 12, "datatype": 2, "count": 1})
    data = b"".join(struct.pack("<3fB3x", *xyz, 9) for xyz in ((1, 2, 3), (4, 5, 6)))
    return {
        "height": 1,
        "width": 2,
        "fields": fields,
        "is_bigendian": False,
        "point_step": 16,
        "row_step": 32,
        "data": data,
        "is_dense": True,
    }


def test_protobuf_messages_become_samples_by_their_own_schema(server: str, tmp_path: Path) -> None:
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="my", syntax="proto3")
    inner = file.message_type.add(name="Vec")
    inner.field.add(name="x", number=1, type=1, label=1)
    outer = file.message_type.add(name="Pose")
    outer.field.add(name="at", number=1, type=11, label=1, type_name=".my.Vec")
    outer.field.add(name="joints", number=2, type=1, label=3)
    outer.field.add(name="frame", number=3, type=9, label=1)
    descriptors = descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()
    made = Recording(tmp_path / "proto.mcap")
    pose = made.channel("/pose", "my.Pose", "protobuf", schema_encoding="protobuf", data=descriptors)
    vec = b"\x09" + struct.pack("<d", 0.25)
    made.add(pose, b"\x0a" + bytes([len(vec)]) + vec + b"\x12\x10" + struct.pack("<2d", 1, 2) + b"\x1a\x03map")
    made.add(pose, b"\xff\xff broken")
    said = push(server, made.close(), "--session", "proto")
    assert "2 messages of 1 channels, 1 kept as they are" in said
    [sample] = samples(server, "proto", "pose")
    assert {k: sample[k] for k in ("at.x", "joints.0", "joints.1", "frame")} == {
        "at.x": 0.25,
        "joints.0": 1.0,
        "joints.1": 2.0,
        "frame": "map",
    }


def test_what_is_to_be_kept_as_a_file_is(server: str, recording: Path) -> None:
    push(server, recording, "--session", "kept", "--kind", "file")
    [record] = records(server, "kept")
    assert (record["kind"], record["mime_type"]) == ("file", "application/x-mcap")


def test_a_real_recording_is_imported_whole(server: str, recordings: Path) -> None:
    said = push(server, recordings / "file" / "lichtblick" / "example_logs.mcap", "--session", "lichtblick")
    assert "1111 messages of 2 channels, 0 kept as they are" in said
    assert len(samples(server, "lichtblick", "mouse")) == 111
