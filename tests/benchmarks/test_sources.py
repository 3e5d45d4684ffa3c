"""What benchmarks send by hand is what the wire protocol and the decoders of others read."""

import io
import json
import struct

import msgpack
import numpy as np
import pytest
from PIL import Image
from websockets.frames import Opcode

from benchmarks.frames import Frames
from benchmarks.result import Result
from benchmarks.sources import CHANNELS, Columnar, SeedJson
from benchmarks.websocket import _head
from datamanager.config import IngestConfig
from datamanager.ingest.protocol import Data, IngestProtocol


def taken(data: bytes, *, text: bool = False) -> Data:
    protocol = IngestProtocol(IngestConfig())
    list(protocol.receive(msgpack.packb({"type": "hello", "robot_id": "r", "session_id": "s"}), text=False))
    (event,) = protocol.receive(data.decode() if text else data, text=text)
    assert isinstance(event, Data)
    return event


def test_a_columnar_batch_in_pieces_is_one_message_with_its_values() -> None:
    source = Columnar("joints", 1_700_000_000_000_000_000)
    (message,) = taken(b"".join(source.pieces(7))).messages
    assert (message.seq, message.stream) == (7, "joints")
    assert np.frombuffer(message.payload["t_ns"], "<i8")[0] == 1_700_000_007_000_000_000
    for name, row in zip(CHANNELS, source.values(7), strict=True):
        assert np.frombuffer(message.payload["channels"][name]).tobytes() == row.tobytes()


def test_a_json_batch_is_a_hundred_messages_ten_milliseconds_apart() -> None:
    data = b"".join(SeedJson("r", "s", 1_700_000_000_000_000_000).pieces(2))
    assert len(json.loads(data)["messages"]) == 100
    messages = taken(data, text=True).messages
    assert [m.timestamp for m in messages[:2]] == [1_700_000_002.0, 1_700_000_002.01]
    assert messages[0].payload != messages[1].payload


def test_a_frame_in_pieces_is_a_picture_of_the_size_that_was_asked_for() -> None:
    frames = Frames("front", 5, 100_000)
    (message,) = taken(b"".join(frames.pieces(3))).messages
    data = message.payload["data"]
    assert 100_000 <= len(data) < 125_000
    assert Image.open(io.BytesIO(data)).size == (640, 480)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (125, struct.pack(">BBI", 0x82, 0x80 | 125, 0)),
        (126, struct.pack(">BBHI", 0x82, 0x80 | 126, 126, 0)),
        (65535, struct.pack(">BBHI", 0x82, 0x80 | 126, 65535, 0)),
        (65536, struct.pack(">BBQI", 0x82, 0x80 | 127, 65536, 0)),
    ],
)
def test_the_head_of_a_frame_bears_its_length(size: int, head: bytes) -> None:
    assert _head(Opcode.BINARY, size) == head


def test_a_goal_is_held_against_the_median_of_the_rounds() -> None:
    result = Result("some", versions={})
    result.add("latency", "ms", 9, 100, 11)
    result.goal("fast", 10, measure="latency", at_most=True)
    result.goal("slow enough", 10, measure="latency")
    assert [(goal.reached, goal.met) for goal in result.goals] == [(11, False), (11, True)]
