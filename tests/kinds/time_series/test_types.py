"""Widening a channel's type loses no value."""

import math
import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.kinds.time_series.types import ARROW_TYPES, cast_column, column_from_values, type_of_column, widen

TYPES = st.sampled_from(list(ARROW_TYPES))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5) | st.integers(2**53 - 2, 2**53 + 2) | st.floats()
VALUES = st.lists(st.none() | st.booleans() | NUMBERS | st.text(max_size=4), max_size=8)
NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def same(want: Any, got: Any) -> bool:
    """Whether a value that was read is the one that was sent, to the bit, or its text."""
    if want is None or got is None:
        return want is got
    if isinstance(got, str) and not isinstance(want, str):
        if isinstance(want, bool):
            return got == ("true" if want else "false")
        if isinstance(want, int):  # it may have been a float for a while, exactly
            return Decimal(got) == want
        got = NAMED[got] if got in NAMED else float(got)
    if isinstance(want, float):
        return isinstance(got, float) and (
            struct.pack("<d", want) == struct.pack("<d", got) or (math.isnan(want) and math.isnan(got))
        )
    if isinstance(want, int) and isinstance(got, float) and not isinstance(want, bool):
        return got == want and int(got) == want
    return type(want) is type(got) and bool(want == got)


@given(TYPES, TYPES, TYPES)
def test_widening_is_the_same_in_any_order(a: str, b: str, c: str) -> None:
    assert widen(a, b) == widen(b, a)
    assert widen(a, a) == a
    assert widen(a, "null") == a
    assert widen(widen(a, b), widen(a, b)) == widen(a, b)
    joined = widen(widen(a, b), c)
    assert widen(joined, a) == widen(joined, b) == joined


@given(VALUES)
def test_a_column_holds_every_value_exactly(values: list[Any]) -> None:
    column = column_from_values(values, from_json=False)
    assert all(same(want, got) for want, got in zip(values, column.to_pylist(), strict=True)), (values, column)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_columns_of_any_types_are_joined_without_losing_a_value(parts: list[list[Any]]) -> None:
    columns = [column_from_values(part, from_json=False) for part in parts]
    kind = "null"
    for column in columns:
        kind = widen(kind, type_of_column(column))
    for part, column in zip(parts, columns, strict=True):
        cast = cast_column(column, kind)
        assert cast.type == ARROW_TYPES[kind]
        assert all(same(want, got) for want, got in zip(part, cast.to_pylist(), strict=True)), (part, kind, cast)


@given(st.lists(st.floats(width=32), min_size=1))
def test_a_float32_that_becomes_text_reads_back_as_the_same_float32(values: list[float]) -> None:
    column = cast_column(pa.array(np.array(values, np.float32)), "string")
    for want, got in zip(values, column.to_pylist(), strict=True):
        assert same(want, float(np.float32(NAMED.get(got) if got in NAMED else got)))


def test_an_integer_stays_an_integer_beside_larger_ones_and_becomes_a_float_only_while_exact() -> None:
    assert type_of_column(column_from_values([2**53], from_json=False)) == "int"
    assert type_of_column(column_from_values([2**53 + 1], from_json=False)) == "bigint"
    assert type_of_column(column_from_values([2**53, 0.5], from_json=False)) == "float"
    assert type_of_column(column_from_values([2**53 + 1, 0.5], from_json=False)) == "string"
    assert [widen("int", "bigint"), widen("bigint", "float"), widen("bool", "int")] == ["bigint", "string", "string"]


def test_the_words_for_what_is_not_finite_are_numbers_only_in_json_and_only_among_numbers() -> None:
    words: list[object] = ["NaN", "Infinity", "-Infinity", 1, None]
    assert str(column_from_values(words, from_json=True).to_pylist()) == "[nan, inf, -inf, 1.0, None]"
    assert column_from_values(words, from_json=False).to_pylist() == ["NaN", "Infinity", "-Infinity", "1", None]
    assert column_from_values(["NaN", "auto"], from_json=True).to_pylist() == ["NaN", "auto"]


@pytest.mark.parametrize("values", [[2**63], [-(2**63) - 1, 0.5], [b"x"], [[1]], [1, {}]])
def test_what_no_channel_can_hold_is_refused(values: list[object]) -> None:
    with pytest.raises(Refused) as refused:
        column_from_values(values, from_json=False)
    assert refused.value.code == "bad_payload"
