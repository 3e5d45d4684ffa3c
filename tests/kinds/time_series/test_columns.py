"""Columnar payloads: every dtype, every way to send one, and everything that is wrong with some."""

import base64
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from datamanager.errors import Refused
from datamanager.kinds.time_series.columns import Columns, is_columnar, parse_columns

INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()


def parse(payload: dict[Any, Any], *, from_json: bool = False, max_channels: int = 100) -> Columns:
    return parse_columns(payload, max_channels=max_channels, from_json=from_json)


def refused(payload: dict[Any, Any], **more: Any) -> str:
    with pytest.raises(Refused) as found:
        parse(payload, **more)
    return found.value.code


def column(payload: dict[Any, Any], **more: Any) -> pa.Array:
    found = parse(payload, **more)
    assert found.arrays is not None
    return found.arrays[0]


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float32", "float64", "bool"])
def test_every_dtype_is_read_as_it_was_sent(dtype: str) -> None:
    sent = np.array([0, 1, 1, 0], dtype).astype(np.dtype(dtype).newbyteorder("<"))
    found = column({"t_ns": [1, 2, 3, 4], "channels": {"x": sent.tobytes()}, "dtypes": {"x": dtype}})
    assert found.to_pylist() == sent.tolist()


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_kept_to_their_ends_and_beyond_int64_refused(dtype: str) -> None:
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], np.dtype(dtype).newbyteorder("<"))
    payload = {"t_ns": [1, 2], "channels": {"x": ends.tobytes()}, "dtypes": {"x": dtype}}
    if dtype == "uint64":
        assert refused(payload) == "bad_payload"
    else:
        assert column(payload).to_pylist() == ends.tolist()


def test_float64_bytes_alone_are_passed_on_as_they_are() -> None:
    values = np.array([np.nan, np.inf, -0.0])
    found = parse({"t_ns": np.arange(3).tobytes(), "channels": {"b": values.tobytes(), "a": values.tobytes()}})
    assert found.arrays is None
    assert found.buffers == [values.tobytes()] * 2
    assert found.names == ("a", "b")
    assert found.t_ns.tolist() == [0, 1, 2]
    assert found.size_bytes == 16 * 3 + 2 * 24


def test_lists_and_bytes_stand_side_by_side() -> None:
    found = parse({"t_ns": [5, 4], "channels": {"x": np.zeros(2).tobytes(), "y": ["a", None], "z": [1, 2]}})
    assert found.arrays is not None
    assert [a.to_pylist() for a in found.arrays] == [[0.0, 0.0], ["a", None], [1, 2]]
    assert found.t_ns.tolist() == [5, 4]


def test_base64_stands_for_bytes_in_json() -> None:
    def text(values: list[float] | list[int], dtype: str) -> str:
        return base64.b64encode(np.array(values, dtype).tobytes()).decode()

    payload = {"t_ns": text([7, 8], "<i8"), "channels": {"x": text([0.5, 1], "<f8")}, "encoding": "base64"}
    found = parse(payload, from_json=True)
    assert found.t_ns.tolist() == [7, 8]
    assert found.buffers == [np.array([0.5, 1.0]).tobytes()]
    assert refused(payload | {"t_ns": "%%%"}) == "bad_payload"


def test_words_for_what_is_not_finite_are_numbers_in_json() -> None:
    found = column({"t_ns": [1, 2], "channels": {"x": ["NaN", 1.5]}}, from_json=True)
    assert str(found.to_pylist()) == "[nan, 1.5]"


def test_a_sample_is_columnar_only_with_both_words() -> None:
    assert is_columnar({"t_ns": [], "channels": 5})
    assert not is_columnar({"t_ns": 5})
    assert not is_columnar({"channels": {}})


X = {"x": [1.0]}
WRONG: list[tuple[dict[Any, Any], str]] = [
    ({"t_ns": [1], "channels": 5}, "wrong_type"),
    ({"t_ns": [1], "channels": {}}, "bad_payload"),
    ({"t_ns": [], "channels": {"x": []}}, "bad_payload"),
    ({"t_ns": b"", "channels": {"x": b""}}, "bad_payload"),
    ({"t_ns": [1, 2], "channels": X}, "bad_payload"),
    ({"t_ns": [1], "channels": {"x": b"1234567"}}, "bad_payload"),
    ({"t_ns": b"123", "channels": X}, "bad_payload"),
    ({"t_ns": [[1]], "channels": X}, "wrong_type"),
    ({"t_ns": [1.0], "channels": X}, "wrong_type"),
    ({"t_ns": [True], "channels": X}, "wrong_type"),
    ({"t_ns": 5, "channels": X}, "wrong_type"),
    ({"t_ns": "5", "channels": X}, "wrong_type"),
    ({"t_ns": [-1], "channels": X}, "bad_time"),
    ({"t_ns": [2**63], "channels": X}, "bad_time"),
    ({"t_ns": np.array([-1]).tobytes(), "channels": X}, "bad_time"),
    ({"t_ns": [1], "channels": {"x": 5}}, "wrong_type"),
    ({"t_ns": [1], "channels": {"x": "NaN"}}, "wrong_type"),
    ({"t_ns": [1], "channels": {"x": [[1]]}}, "bad_payload"),
    ({"t_ns": [1], "channels": {"x": [2**63]}}, "bad_payload"),
    ({"t_ns": [1], "channels": {5: [1]}}, "wrong_type"),
    ({"t_ns": [1], "channels": {"": [1]}}, "bad_payload"),
    ({"t_ns": [1], "channels": {"x" * 513: [1]}}, "bad_payload"),
    ({"t_ns": [1], "channels": X, "dtypes": 5}, "wrong_type"),
    ({"t_ns": [1], "channels": {"x": b"12345678"}, "dtypes": {"x": "object"}}, "bad_payload"),
    ({"t_ns": [1], "channels": {"x": b"12345678"}, "dtypes": {"x": ["f8"]}}, "bad_payload"),
    ({"t_ns": [1], "channels": {"x": b"12345678"}, "dtypes": {"x": "int32"}}, "bad_payload"),
]


@pytest.mark.parametrize(("payload", "code"), WRONG)
def test_what_is_wrong_is_refused_with_its_code(payload: dict[Any, Any], code: str) -> None:
    assert refused(payload) == code


def test_channels_are_taken_up_to_the_limit() -> None:
    payload = {"t_ns": [1], "channels": {str(i): [i] for i in range(8)}}
    assert len(parse(payload, max_channels=8).names) == 8
    assert refused(payload, max_channels=7) == "too_large"


def test_times_are_taken_to_the_last_one_there_is() -> None:
    assert parse({"t_ns": [0, 2**63 - 1], "channels": {"x": [1, 2]}}).t_ns.tolist() == [0, 2**63 - 1]
