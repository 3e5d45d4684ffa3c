"""The kinds msgpack and vuer_msg: any value, lengths that lie, arrays that are not what they say."""

import json
import struct
import time
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import encoded, look, read, refused

from datamanager.errors import Refused

FEW = settings(max_examples=50)


PACKED = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20))
    | st.builds(msgpack.Timestamp, st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999_999)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.integers(-5, 5) | st.none(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@FEW
@given(PACKED)
def test_any_messagepack_is_taken_and_read(value: Any) -> None:
    data = msgpack.packb(value)
    for kind in ("msgpack", "vuer_msg"):
        shape = look(kind, data)["shape"]
        assert shape.get("entries") == (len(value) if isinstance(value, list | dict) else None)
        read(kind, data)
    assert refused("msgpack", data + b"\0").offset == len(data)


@FEW
@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)))  # fmt: skip
def test_any_value_of_messagepack_comes_back(value: Any) -> None:
    found = msgpack.unpackb(encoded("msgpack", value))
    assert repr(found) == repr(value)  # where NaN is NaN


@FEW
@given(st.binary(max_size=60))
def test_messagepack_is_what_its_own_parser_says(data: bytes) -> None:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data)
    try:
        unpacker.skip()
        is_good = unpacker.tell() == len(data)
    except (msgpack.OutOfData, msgpack.FormatError):
        is_good = False
    if is_good:
        look("msgpack", data)
        read("msgpack", data)
    else:
        assert refused("msgpack", data).code in ("bad_payload", "kind_mismatch")


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"\xc1", 0),
        (b"\x92\x01\xc1", 2),
        (b"\xdd\xff\xff\xff\xff", 0),
        (b"\xdf\x7f\xff\xff\xff\x01\x01", 0),
        (b"\x91\xc6\xff\xff\xff\xff", 1),
        (b"\x91\xc9\xff\xff\xff\xff\x01", 1),
        (b"\x91\xdb\xff\xff\xff\xff", 1),
        (b"\x91\xcb\0\0", 1),
        (b"\x91\xd9", 1),
    ],
)
def test_a_length_that_lies_is_refused_where_it_stands(data: bytes, offset: int) -> None:
    refusal = refused("msgpack", data)
    assert (refusal.code, refusal.offset) == ("bad_payload", offset)


def test_arrays_claimed_one_within_another_take_no_room() -> None:
    data = (b"\xdd" + struct.pack(">I", 60)) * 60 + b"\xc0" * 100
    begin_s = time.process_time()
    assert refused("msgpack", data).code == "bad_payload"
    assert time.process_time() - begin_s < 0.1


def test_texts_that_are_no_utf8_are_taken_and_counted() -> None:
    data = b"\x92\xa1\xff\xa1a"
    assert look("msgpack", data)["texts_not_utf8"] == 1
    assert read("msgpack", data) == [{"encoding": "base64", "data": "/w==", "text": "\ufffd"}, "a"]


@pytest.mark.parametrize("rows", [20, 30_000])
def test_a_message_of_many_values_is_taken_to_its_end(rows: int) -> None:
    data = msgpack.packb([{"id": n, "x": 1.5, "y": [1, 2]} for n in range(rows)])
    assert look("msgpack", data)["shape"]["entries"] == rows
    assert refused("msgpack", data[:-1]).code == "bad_payload"
    assert refused("msgpack", data + b"\0").offset == len(data)
    assert read("msgpack", data, f"/{rows - 1}/id") == rows - 1


TENSOR = {"$dtype": "numpy.ndarray", "b": bytes(24), "dtype": "float32", "shape": [2, 3]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"shape": [2, 2]}, "takes 16 bytes, b has 24"),
        ({"shape": [2**40, 2**40]}, "takes"),
        ({"shape": [-1, 6]}, "no length"),
        ({"shape": [2.0, 3]}, "shape"),
        ({"shape": "x"}, "shape"),
        ({"shape": [1] * 33}, "32"),
        ({"dtype": "object"}, "plain number"),
        ({"dtype": "|O"}, "plain number"),
        ({"dtype": ">f4"}, "plain number"),
        ({"dtype": "float32,float32"}, "plain number"),
        ({"dtype": 5}, "plain number"),
        ({"b": "text"}, "must be bytes"),
        ({"b": None}, "must be bytes"),
        ({"$dtype": "Float32Array"}, "no length"),
        ({"$dtype": "Float32Array", "length": 7}, "takes 28"),
        ({"$dtype": "safetensor.dict"}, "safetensors"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(change: dict[str, Any], word: str) -> None:
    message = msgpack.packb({"a": [TENSOR, TENSOR | change]})
    refusal = refused("vuer_msg", message)
    assert refusal.code == "bad_payload"
    assert word in refusal.detail
    assert refusal.offset == len(msgpack.packb({"a": [TENSOR]}))
    look("msgpack", message)


@pytest.mark.parametrize("tag", ["from.the.future", "", 5, None, "float32", "x" * 5000, ["numpy.ndarray"]])
def test_an_unknown_tag_is_a_map_like_any_other(tag: Any) -> None:
    data = msgpack.packb({"a": TENSOR | {"$dtype": tag}})
    assert look("vuer_msg", data)["tensor_count"] == 0
    assert read("vuer_msg", data)["a"]["b"]["encoding"] == "base64"


def test_arrays_are_found_at_any_depth_under_either_mark() -> None:
    old = {"ztype": "torch.Tensor", "b": bytes(4), "dtype": "torch.int16", "shape": [2]}
    data = msgpack.packb(
        {
            "a/b": [0, {"~": TENSOR}],
            5: old,
            "s": {"$dtype": "numpy.ndarray", "b": bytes(8), "dtype": "<f8", "shape": []},
        }
    )
    found = {each["path"]: (each["dtype"], each["shape"]) for each in look("vuer_msg", data)["tensors"]}
    assert found == {"/a~1b/1/~0": ("float32", [2, 3]), "/5": ("int16", [2]), "/s": ("float64", [])}


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float32", "float64", "complex64"])
def test_numbers_of_every_type_are_read(dtype: str) -> None:
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    data = encoded("vuer_msg", {"$dtype": "numpy.ndarray", "b": array.tobytes(), "dtype": dtype, "shape": [2, 2]})
    expected = [[[n.real, n.imag] for n in row] for row in array.tolist()] if dtype == "complex64" else array.tolist()
    assert read("vuer_msg", data)["values"] == expected


def test_a_path_leads_through_keys_that_are_no_text() -> None:
    data = msgpack.packb({5: {None: {b"k": "found"}}, "5x": 1})
    assert read("msgpack", data, "/5/null") == {'{"encoding":"base64","data":"aw=="}': "found"}


def test_an_integer_beyond_64_bits_has_no_messagepack() -> None:
    with pytest.raises(Refused) as caught:
        encoded("msgpack", {"n": 2**64})
    assert caught.value.code == "bad_payload"
    assert json.loads(encoded("json", {"n": 2**64})) == {"n": 2**64}


def test_base64_in_a_value_becomes_bytes_only_where_that_is_said() -> None:
    form = {"encoding": "base64", "data": "AAE="}
    assert msgpack.unpackb(encoded("msgpack", [form])) == [form]
    assert msgpack.unpackb(encoded("msgpack", [form], encoding="base64")) == [b"\0\1"]
    with pytest.raises(Refused):
        encoded("msgpack", [form | {"data": "?"}], encoding="base64")
    with pytest.raises(Refused):
        encoded("msgpack", [form], encoding="hex")
    tensor = {"$dtype": "Uint8Array", "b": "AAE=", "length": 2}
    assert msgpack.unpackb(encoded("vuer_msg", tensor)) == tensor | {"b": b"\0\1"}
    assert msgpack.unpackb(encoded("vuer_msg", tensor | {"$dtype": "other"}))["b"] == "AAE="
