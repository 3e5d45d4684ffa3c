"""Nested samples become dotted channels, whatever shapes came before."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.kinds.time_series.flatten import Flattener

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=3)
)
KEYS = st.sampled_from(["a", "b", "c.d", "a.b", "1", "ü"]) | st.integers(0, 2)
PAYLOADS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS,
        lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def naive(node: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    if not isinstance(node, dict | list):
        return [(".".join(prefix), node)]
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return [pair for key, value in items for pair in naive(value, (*prefix, str(key)))]


def flattener(channels: int = 100, depth: int = 20) -> Flattener:
    return Flattener(max_channels=channels, max_depth=depth)


def refused(payload: dict[Any, Any], **limits: int) -> str:
    with pytest.raises(Refused) as found:
        flattener(**limits).flatten(payload)
    return found.value.code


@given(st.lists(PAYLOADS, max_size=8))
def test_it_is_what_walking_the_payload_gives_whatever_came_before(payloads: list[dict[object, object]]) -> None:
    one = flattener()
    for payload in payloads:
        pairs = naive(payload)
        if not pairs or len({name for name, _ in pairs}) < len(pairs):
            with pytest.raises(Refused):
                one.flatten(payload)
        else:
            names, leaves = one.flatten(payload)
            assert list(names) == sorted(names)
            assert repr(sorted(zip(names, leaves, strict=True))) == repr(sorted(pairs, key=lambda p: p[0]))


@given(PAYLOADS, st.integers(1, 4))
def test_rows_of_one_shape_are_those_taken_one_by_one(payload: dict[object, object], n: int) -> None:
    if pairs := naive(payload):
        if len({name for name, _ in pairs}) < len(pairs):
            return
        found = flattener().rows([payload] * n)
        names, leaves = flattener().flatten(payload)
        assert found == (names, [leaves] * n)


def test_a_value_that_becomes_a_map_is_another_shape() -> None:
    one = flattener()
    assert one.flatten({"a": 1, "b": 2}) == (("a", "b"), (1, 2))
    assert one.flatten({"a": {"x": 1}, "b": 2}) == (("a.x", "b"), (1, 2))
    assert one.flatten({"a": [3, 4], "b": 2}) == (("a.0", "a.1", "b"), (3, 4, 2))
    assert one.rows([{"a": 1, "b": 2}, {"a": 1}]) is None


def test_the_names_of_one_shape_are_one_object_so_that_rows_are_told_alike_at_once() -> None:
    one = flattener()
    assert one.flatten({"a": 1})[0] is one.flatten({"a": 2})[0]


def test_two_keys_of_one_channel_are_refused() -> None:
    assert refused({"a.b": 1, "a": {"b": 2}}) == "bad_payload"
    assert refused({1: 1, "1": 2}) == "bad_payload"


@pytest.mark.parametrize(
    "payload",
    [{"a": b"x"}, {"a": 2**63}, {"a": -(2**63) - 1}, {}, {"a": {}}, {"": 1}, {"x" * 513: 1}, {None: 1}, {1.5: 1}],
)
def test_what_is_no_sample_is_refused(payload: dict[object, object]) -> None:
    assert refused(payload) == "bad_payload"


def test_the_largest_integers_are_taken() -> None:
    assert flattener().flatten({"a": 2**63 - 1, "b": -(2**63)})[1] == (2**63 - 1, -(2**63))


def test_depth_and_channels_are_taken_up_to_their_limits() -> None:
    def nest(levels: int) -> dict[str, Any]:
        return {"a": 1 if levels == 1 else nest(levels - 1)}

    assert flattener(depth=5).flatten(nest(5))[0] == ("a.a.a.a.a",)
    assert refused(nest(6), depth=5) == "too_deep"
    assert len(flattener(channels=7).flatten({str(i): i for i in range(7)})[0]) == 7
    assert refused({str(i): i for i in range(8)}, channels=7) == "too_large"


def test_a_stream_whose_shape_never_stays_is_flattened_all_the_same_in_bounded_memory() -> None:
    one = flattener(channels=2000)
    for i in range(600):
        assert one.flatten({f"k{i}": i}) == ((f"k{i}",), (i,))
    assert len(one._shapes) <= 16
    assert one._compiled <= 256


def test_keys_are_never_taken_for_code() -> None:
    key = "'] or __import__('os') #\n{x}\\"
    one = flattener()
    assert one.flatten({key: 1}) == ((key,), (1,))
    assert one.flatten({key: 2}) == ((key,), (2,))
