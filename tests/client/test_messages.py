"""Messages as bytes, pictures as payloads, times, and how long to wait."""

import datetime as dt
import io
import time
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from datamanager.client.backoff import Backoff
from datamanager.client.link import ingest_url
from datamanager.client.media import image_payload, sniff_format
from datamanager.client.numbering import Numbering
from datamanager.client.png import encode_png
from datamanager.client.settings import ClientSettings
from datamanager.client.times import to_ns
from datamanager.client.wire import Message, batch_frame, decode_control, encode_message
from datamanager.errors import Refused

MESSAGE = Message("pose", "time_series", {"x": 1}, 5, {"unit": "m"})


@given(seq=st.integers(0, 2**63 - 1), redelivery=st.booleans())
def test_a_lone_message_goes_as_it_is_with_its_number_and_mark(seq: int, redelivery: bool) -> None:
    assert msgspec.msgpack.decode(batch_frame(0, [(encode_message(MESSAGE), seq, redelivery)])) == {
        "redelivery": redelivery,
        "seq": seq,
        "stream": "pose",
        "data_type": "time_series",
        "payload": {"x": 1},
        "t_ns": 5,
        "metadata": {"unit": "m"},
    }


@pytest.mark.parametrize("count", [2, 15, 16, 300])
def test_several_messages_go_as_a_batch(count: int) -> None:
    body = encode_message(Message("pose", "log", {"message": "x"}))
    frame = msgspec.msgpack.decode(batch_frame(7, [(body, seq, seq % 2 == 0) for seq in range(count)]))
    assert frame["batch_id"] == "7"
    assert [(m["seq"], m["redelivery"]) for m in frame["messages"]] == [(seq, seq % 2 == 0) for seq in range(count)]
    assert "t_ns" not in frame["messages"][0]


@pytest.mark.parametrize("encode", [msgspec.msgpack.encode, lambda value: msgspec.json.encode(value).decode()])
def test_the_server_is_understood_in_text_and_binary_frames(encode: Any) -> None:
    said = decode_control(encode({"type": "ack", "acked": {"pose": 3}, "news": [1]}))
    assert (said.type, said.acked, said.window) == ("ack", {"pose": 3}, None)


@pytest.mark.parametrize("frame", ["{", "[]", b"\xc1", '{"type": 1}'])
def test_what_is_no_control_message_is_an_error(frame: str | bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_control(frame)


@pytest.mark.parametrize(
    ("t", "t_ns"),
    [
        (0, 0),
        (2**63 - 1, 2**63 - 1),
        (1234567890.123456, 1234567890123456000),
        (np.int64(7), 7),
        (np.float64(1.5), 1_500_000_000),
        (dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC), 1767225600000001000),
        (dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))), 1767225600000000000),
    ],
)
def test_a_time_is_seconds_nanoseconds_or_a_date(t: Any, t_ns: int) -> None:
    assert to_ns(t) == t_ns


def test_no_time_is_now() -> None:
    before = time.time_ns()
    assert before <= to_ns(None) <= time.time_ns()


@pytest.mark.parametrize("t", [-1, 2**63, -0.5, float("nan"), float("inf"), dt.datetime(2026, 1, 1), True, "0"])  # noqa: DTZ001 - the case
def test_what_is_no_time_is_refused(t: Any) -> None:
    with pytest.raises(Refused):
        to_ns(t)


@pytest.mark.parametrize(
    ("shape", "dtype", "mode"),
    [
        ((5, 7), np.uint8, "L"),
        ((5, 7, 3), np.uint8, "RGB"),
        ((5, 7, 4), np.uint8, "RGBA"),
        ((5, 7), np.uint16, "I;16"),
        ((1, 1), np.uint16, "I;16"),
        ((480, 640, 3), np.uint8, "RGB"),
    ],
)
def test_an_array_becomes_a_png_that_keeps_every_value(shape: tuple[int, ...], dtype: Any, mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    for array in (pixels, np.asfortranarray(pixels)):
        image = Image.open(io.BytesIO(encode_png(array)))
        assert image.mode == mode
        assert (np.asarray(image) == pixels).all()


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2)), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8), np.zeros((2, 2, 3), np.uint16)],
)
def test_an_array_that_no_png_holds_is_refused(array: Any) -> None:
    with pytest.raises(Refused, match="an image array is"):
        encode_png(array)


def test_a_picture_is_taken_by_path_by_bytes_and_as_an_array(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 3)).save(picture, "jpeg")
    (tmp_path / "a.bin").write_bytes(picture.getvalue())
    expected = {"format": "jpeg", "data": picture.getvalue()}
    assert image_payload(picture.getvalue(), None, None) == expected
    assert image_payload(tmp_path / "a.bin", None, None) == expected
    assert image_payload(str(tmp_path / "a.bin"), "depth", None) == expected | {"role": "depth"}
    assert image_payload(np.zeros((2, 2), np.uint16), None, None)["role"] == "depth"
    assert image_payload(np.zeros((2, 2), np.uint8), None, None)["role"] == "rgb"
    assert image_payload(b"ply\nformat ascii 1.0\n", None, None)["role"] == "pointcloud"
    with pytest.raises(Refused, match="no known image format"):
        image_payload(b"hello", None, None)
    with pytest.raises(Refused, match="sent as png"):
        image_payload(np.zeros((2, 2), np.uint8), None, "jpeg")


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff", "avif"])
def test_formats_are_told_by_content(name: str) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (16, 16)).save(picture, name)
    assert sniff_format(picture.getvalue()) == name


def test_the_waits_grow_to_their_bound_with_full_jitter() -> None:
    bounds: list[tuple[float, float]] = []
    backoff = Backoff(1.0, 5.0, lambda low, high: bounds.append((low, high)) or high)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0
    assert {low for low, _ in bounds} == {0.0}


def test_numbers_left_out_are_not_given_again() -> None:
    numbering = Numbering()
    numbering.take("a")
    numbering.leap(100)
    assert numbering.take("a") == 101
    assert numbering.take("b") == 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host:8080", "ws://host:8080/api/v1/ingest"),
        ("https://host/", "wss://host/api/v1/ingest"),
        ("ws://host/prefix/", "ws://host/prefix/api/v1/ingest"),
    ],
)
def test_the_address_of_ingest_follows_from_the_server_s(url: str, expected: str) -> None:
    assert ingest_url(url) == expected


@pytest.mark.parametrize("url", ["host:8080", "ftp://host", "http://"])
def test_what_is_no_address_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        ingest_url(url)


@pytest.mark.parametrize("wrong", [{"memory_bytes": 0}, {"linger_s": -1}, {"backoff_min_s": 9, "backoff_max_s": 1}])
def test_a_wrong_setting_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        ClientSettings(**wrong)
