"""What `log` and `log_batch` make of samples: nothing lost, nothing changed."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from datamanager.client.columns import columns_of_arrays, columns_of_rows
from datamanager.client.flatten import flatten
from datamanager.client.gather import Gather
from datamanager.errors import Refused


def back(payload: dict[str, Any]) -> tuple[list[int], dict[str, list[Any]]]:
    """A columnar payload as plain lists."""

    def values(name: str, column: Any) -> list[Any]:
        if isinstance(column, memoryview):
            return np.frombuffer(
                column, np.dtype(payload.get("dtypes", {}).get(name, "float64")).newbyteorder("<")
            ).tolist()
        return list(column)

    t_ns = np.frombuffer(payload["t_ns"], "<i8").tolist()
    return t_ns, {name: values(name, column) for name, column in payload["channels"].items()}


def typed(values: Any) -> list[tuple[type, Any]]:
    return [(type(value), "nan" if isinstance(value, float) and math.isnan(value) else value) for value in values]


def test_a_nested_sample_becomes_dotted_channels_lists_by_index() -> None:
    names, values = flatten({"pose": {"position": {"x": 1.5, "y": 2}}, "joints": [True, None, ("a", {"b": 0})]})
    assert names == ("pose.position.x", "pose.position.y", "joints.0", "joints.1", "joints.2.0", "joints.2.1.b")
    assert typed(values) == typed((1.5, 2, True, None, "a", 0))


def test_numpy_values_become_plain_ones_exactly() -> None:
    sample = {
        "a": np.float32(0.1),
        "b": np.int16(-3),
        "c": np.bool_(True),
        "d": np.array([[1, 2], [3, 4]], np.uint8),
        "e": np.array(2.5),
    }
    names, values = flatten(sample)
    assert names == ("a", "b", "c", "d.0.0", "d.0.1", "d.1.0", "d.1.1", "e")
    assert typed(values) == typed((float(np.float32(0.1)), -3, True, 1, 2, 3, 4, 2.5))


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        ({}, "bad_payload"),
        ({"a": {}, "b": []}, "bad_payload"),
        ({"a": {"b": 1}, "a.b": 2}, "bad_payload"),
        ({"a": 2**63}, "bad_payload"),
        ({"a": [-(2**63) - 1]}, "bad_payload"),
        ({"a": np.uint64(2**63)}, "bad_payload"),
        ({"a": "\ud800"}, "bad_payload"),
        ({"a": np.array(["\ud800"])}, "bad_payload"),
        ({"a": b"x"}, "wrong_type"),
        ({"a": object()}, "wrong_type"),
        ({"a": 1j}, "wrong_type"),
        ({1: 2}, "wrong_type"),
        ({"a": {1: 2}}, "wrong_type"),
        ([1, 2], "wrong_type"),
    ],
)
def test_what_no_server_takes_is_refused_at_once(sample: Any, code: str) -> None:
    with pytest.raises(Refused) as refused:
        flatten(sample)
    assert refused.value.code == code


def test_integers_up_to_int64_are_taken() -> None:
    assert flatten({"a": 2**63 - 1, "b": -(2**63)})[1] == (2**63 - 1, -(2**63))


def test_nesting_is_taken_to_64_levels_and_no_further() -> None:
    def nest(levels: int) -> dict[str, Any]:
        sample: dict[str, Any] = {"x": 1}
        for _ in range(levels - 1):
            sample = {"x": sample}
        return sample

    assert len(flatten(nest(64))[0]) == 1
    with pytest.raises(Refused, match="deeper"):
        flatten(nest(65))


def test_floats_and_ints_travel_as_bins_other_values_as_lists() -> None:
    rows = [(1.0, 1, True, "a", None), (2.0, 2, False, "b", 0.5)]
    payload = columns_of_rows(tuple("fibsn"), [10, 20], rows)
    assert payload["dtypes"] == {"i": "int64"}
    assert isinstance(payload["channels"]["f"], memoryview)
    t_ns, channels = back(payload)
    assert t_ns == [10, 20]
    assert [typed(row) for row in zip(*channels.values(), strict=True)] == [typed(row) for row in rows]


VALUES = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(max_size=3), st.none())
SAMPLES = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1), min_size=1, max_size=20)


@settings(max_examples=300, deadline=None)
@given(samples=SAMPLES)
def test_gathered_samples_come_back_each_value_with_its_type(samples: list[dict[str, Any]]) -> None:
    groups: list[Gather] = []
    for t_ns, sample in enumerate(samples):
        names, values = flatten(sample)
        if not groups or not groups[-1].takes(names, values, None):
            groups.append(Gather(0.0, None))
        groups[-1].add(t_ns, names, values)
    got = []
    for group in groups:
        t_ns, channels = back(group.payload())
        got += [
            (t, dict(zip(channels, row, strict=True)))
            for t, row in zip(t_ns, zip(*channels.values(), strict=True), strict=True)
        ]
    assert [t for t, _ in got] == list(range(len(samples)))
    for (_, read), sample in zip(got, samples, strict=True):
        assert list(read) == list(sample)
        assert typed(read.values()) == typed(sample.values())


@pytest.mark.parametrize(
    ("first", "second", "shares"),
    [
        ({"a": 1.0}, {"a": 2.0}, True),
        ({"a": 1}, {"a": 2.5}, True),
        ({"a": None}, {"a": "x"}, True),
        ({"a": "x"}, {"a": None}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": True}, {"a": "x"}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"b": 1}, False),
    ],
)
def test_samples_share_a_message_when_one_column_can_carry_both(first: Any, second: Any, shares: bool) -> None:
    gather = Gather(0.0, None)
    gather.add(0, *flatten(first))
    assert gather.takes(*flatten(second), None) is shares


def test_a_missing_value_does_not_open_a_column_to_other_types() -> None:
    gather = Gather(0.0, None)
    gather.add(0, *flatten({"a": 1}))
    assert gather.takes(*flatten({"a": None}), None)
    gather.add(1, *flatten({"a": None}))
    assert not gather.takes(*flatten({"a": "x"}), None)
    assert gather.takes(*flatten({"a": 0.5}), None)


def test_samples_of_other_metadata_go_apart_and_of_none_along() -> None:
    gather = Gather(0.0, {"unit": "m"})
    gather.add(0, *flatten({"a": 1}))
    assert gather.takes(*flatten({"a": 1}), None)
    assert gather.takes(*flatten({"a": 1}), {"unit": "m"})
    assert not gather.takes(*flatten({"a": 1}), {"unit": "mm"})


@pytest.mark.parametrize("dtype", "int8 int16 int32 int64 uint8 uint16 uint32 float32 float64".split())
@pytest.mark.parametrize("order", "<>")
def test_arrays_keep_their_dtype_and_every_bit(dtype: str, order: str) -> None:
    values = np.arange(-3, 3).astype(dtype).astype(np.dtype(dtype).newbyteorder(order))[::2]
    [(payload, samples)] = columns_of_arrays(np.arange(3), {"x": values}, 10**6)
    assert samples == 3
    assert payload.get("dtypes", {}).get("x", "float64") == dtype
    assert back(payload)[1]["x"] == values.tolist()


def test_arrays_that_have_no_dtype_on_the_wire_widen_without_loss() -> None:
    channels = {
        "half": np.array([0.5, 1.5], np.float16),
        "long": np.array([1, 2**63 - 1], np.uint64),
        "flag": np.array([True, False]),
        "text": np.array(["a", "bc"]),
        "mixed": [1, None],
    }
    [(payload, _)] = columns_of_arrays([0, 1], channels, 10**6)
    assert payload["dtypes"] == {"half": "float32", "long": "int64"}
    assert {name: typed(column) for name, column in back(payload)[1].items()} == {
        "half": typed([0.5, 1.5]),
        "long": typed([1, 2**63 - 1]),
        "flag": typed([True, False]),
        "text": typed(["a", "bc"]),
        "mixed": typed([1, None]),
    }


def test_a_large_batch_is_split_by_rows() -> None:
    t_ns = np.arange(1000)
    parts = list(columns_of_arrays(t_ns, {"x": t_ns * 0.5, "s": ["ab"] * 1000}, 1000))
    assert sum(samples for _, samples in parts) == 1000
    assert max(samples for _, samples in parts) < 100
    assert [t for payload, _ in parts for t in back(payload)[0]] == t_ns.tolist()
    assert [x for payload, _ in parts for x in back(payload)[1]["x"]] == (t_ns * 0.5).tolist()
    assert [len(payload["channels"]["s"]) for payload, _ in parts] == [samples for _, samples in parts]


@pytest.mark.parametrize(
    ("t_ns", "channels", "code"),
    [
        ([], {"x": []}, "bad_payload"),
        ([[0]], {"x": [1]}, "bad_payload"),
        ([0.5], {"x": [1]}, "wrong_type"),
        ([-1], {"x": [1]}, "bad_time"),
        (np.array([2**63], np.uint64), {"x": [1]}, "bad_time"),
        ([0], {}, "bad_payload"),
        ([0, 1], {"x": [1]}, "bad_payload"),
        ([0], {"x": np.zeros((1, 1))}, "bad_payload"),
        ([0], {"x": [2**63]}, "bad_payload"),
        ([0], {"x": np.array([2**63], np.uint64)}, "bad_payload"),
        ([0], {"x": [[1]]}, "wrong_type"),
        ([0], {"x": [b"1"]}, "wrong_type"),
        ([0], {1: [1]}, "wrong_type"),
    ],
)
def test_a_batch_that_no_server_takes_is_refused_at_once(t_ns: Any, channels: Any, code: str) -> None:
    with pytest.raises(Refused) as refused:
        list(columns_of_arrays(t_ns, channels, 1000))
    assert refused.value.code == code
