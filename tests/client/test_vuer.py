"""Arrays in messages: what `to_vuer` makes, what `from_vuer` reads, and what a robot logs and a reader gets."""

import json
import struct
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from datamanager.client import Reader, Robot, from_vuer, to_vuer, vuer_image
from datamanager.errors import Refused

T0 = 1_700_000_000_000_000_000
DOCUMENTS = ["plan", "raw", "config"]
NUMBERS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.unsigned_integer_dtypes(endianness="?"),
    arrays.floating_dtypes(sizes=(16, 32, 64), endianness="?"),
    arrays.complex_number_dtypes(sizes=(64, 128), endianness="?"),
)
ANY_ARRAY = NUMBERS.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, max_side=4)))


@given(ANY_ARRAY)
def test_any_array_comes_back_with_its_type_shape_and_bits(array: np.ndarray[Any, Any]) -> None:
    message = msgspec.msgpack.encode(to_vuer({"a": [array, {"b": array.T}]}))
    found = from_vuer(message)["a"]
    for got, expected in ((found[0], array), (found[1]["b"], array.T)):
        assert got.dtype == expected.dtype.newbyteorder("=")
        assert got.shape == expected.shape
        assert got.tobytes() == expected.astype(got.dtype).tobytes()


def test_what_is_no_array_stays_as_it_is() -> None:
    value = {"a": [1, "x", None, b"raw", 1.5], 5: {"$dtype": "from.the.future", "b": 1}, "n": {"$dtype": 7}}
    assert from_vuer(msgspec.msgpack.encode(to_vuer(value))) == value
    assert to_vuer((np.float32(1.5), np.int8(3), np.bool_(True))) == [1.5, 3, True]


def test_every_tag_is_read() -> None:
    raw = np.arange(3, dtype="<f4")
    message = {
        "torch": {"ztype": "torch.Tensor", "b": raw.tobytes(), "dtype": "torch.float32", "shape": [3]},
        "half": {"$dtype": "torch.Tensor", "b": b"\xc0\x3f", "dtype": "bfloat16", "shape": []},
        "js": {"$dtype": "Float32Array", "b": raw.tobytes(), "length": 3},
        "image": vuer_image(b"\xff\xd8\xff"),
    }
    found = from_vuer(message)
    assert found["torch"].tolist() == found["js"].tolist() == [0, 1, 2]
    assert found["half"] == 1.5
    assert found["image"] == b"\xff\xd8\xff"


def test_a_dict_of_tensors_is_read() -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"a": "b"}})
    data = struct.pack("<Q", len(header)) + header.encode() + np.array([1, 2], "<f4").tobytes()
    assert from_vuer({"$dtype": "safetensor.dict", "b": data})["w"].tolist() == [1, 2]
    with pytest.raises(Refused, match="safetensors"):
        from_vuer({"$dtype": "safetensor.dict", "b": data[:20]})


@pytest.mark.parametrize(
    "value",
    [
        {"$dtype": "numpy.ndarray", "b": bytes(8), "dtype": "float32", "shape": [3]},
        {"$dtype": "numpy.ndarray", "b": bytes(8), "dtype": "object", "shape": [1]},
        {"$dtype": "numpy.ndarray", "b": bytes(8), "dtype": ">f4", "shape": [2]},
        {"$dtype": "numpy.ndarray", "b": "text", "dtype": "float32", "shape": [1]},
        {"$dtype": "Uint8Array", "b": bytes(8)},
        b"\xc1",
    ],
)
def test_what_is_not_what_it_says_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        from_vuer(value)


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["x"]), np.zeros(1, [("a", "f4")])])
def test_arrays_of_anything_but_numbers_are_refused(array: Any) -> None:
    with pytest.raises(Refused):
        to_vuer([array])


def test_what_a_robot_logs_as_values_a_reader_gets(server: str) -> None:
    session = f"values-{uuid4().hex[:8]}"
    points = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    with Robot(server, "values", session) as robot:
        robot.stream("scene").log_record(T0, kind="vuer_msg", value={"cloud": points, "id": 7}, name="scene.vuer")
        robot.stream("plan").log_record(T0, kind="json", value={"steps": [1, 2.5, None]})
        robot.stream("raw").log_record(T0, kind="msgpack", value={"b": b"\0\1"})
        robot.stream("gains").log_record(T0, kind="parameters", value={"arm": {"p": 0.5}})
        robot.stream("config").log_record(T0, "rate: 10\n", "yaml")
        robot.flush(timeout_s=30)
        assert robot.rejects == []
        for wrong in ({}, {"data": b"", "value": 1}, {"kind": "yaml", "value": 1}):
            with pytest.raises(Refused):
                robot.stream("scene").log_record(T0, **wrong)
    with Reader(server) as reader:
        [record] = {r["stream"]: r for r in reader.session("values", session).records("scene")}.values()
        assert np.array_equal(reader.array(record["record_id"], "/cloud"), points)
        assert np.array_equal(from_vuer(reader.content(record["record_id"]))["cloud"], points)
        assert reader.document(record["record_id"], "/id") == 7
        found = {
            r["stream"]: reader.document(r["record_id"]) for r in reader.session("values", session).records(DOCUMENTS)
        }
    assert found["plan"] == {"steps": [1, 2.5, None]}
    assert found["raw"] == {"b": {"encoding": "base64", "data": "AAE="}}
    assert found["config"] == {"rate": 10}
