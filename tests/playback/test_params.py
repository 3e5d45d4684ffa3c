"""Query parameters are read exactly, or refused with a reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.playback.params import (
    END_OF_TIME_NS,
    TimeRange,
    decode_cursor,
    encode_cursor,
    parse_int,
    parse_list,
    parse_moment_ns,
    parse_offset,
    parse_place,
    parse_range,
    parse_time_ns,
)

NS = 1_000_000_000


def outcome(parse: Callable[[], Any]) -> Any:
    """What was parsed, or the code of the refusal."""
    try:
        return parse()
    except Refused as refused:
        return refused.code


TIMES = st.integers(0, END_OF_TIME_NS - 1)


@given(TIMES)
def test_seconds_with_nine_decimals_are_exact_to_the_nanosecond(t_ns: int) -> None:
    assert parse_time_ns(f"{t_ns // NS}.{t_ns % NS:09d}") == t_ns


@given(st.integers(10**14, END_OF_TIME_NS))
def test_integers_from_1e14_on_are_nanoseconds(t_ns: int) -> None:
    assert parse_time_ns(str(t_ns)) == t_ns


@given(st.integers(0, END_OF_TIME_NS // NS))
def test_smaller_integers_are_seconds(seconds: int) -> None:
    assert parse_time_ns(str(seconds)) == seconds * NS


@given(st.datetimes(datetime(1970, 1, 2), datetime(2262, 1, 1)), st.integers(0, NS - 1), st.integers(-1439, 1439))  # noqa: DTZ001  # the offset is drawn beside it
def test_rfc3339_with_any_offset_is_exact_to_the_nanosecond(local: datetime, nanos: int, offset_min: int) -> None:
    sign, minutes = "-" if offset_min < 0 else "+", abs(offset_min)
    text = f"{local:%Y-%m-%dT%H:%M:%S}.{nanos:09d}{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    utc = local.replace(microsecond=0, tzinfo=UTC) - timedelta(minutes=offset_min)
    seconds = (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    want = seconds * NS + nanos
    assert parse_time_ns(text) == want
    assert parse_time_ns(text.replace("+", " ")) == want  # a `+` that a query string turned into a space


@given(st.floats(0, 9e9))
def test_a_float_between_two_nanoseconds_bounds_a_range_as_its_exact_value_would(seconds: float) -> None:
    exact = Fraction(repr(seconds)) * NS
    bound = parse_time_ns(repr(seconds))
    assert bound - 1 < exact <= bound
    assert parse_moment_ns(repr(seconds)) == exact.numerator // exact.denominator


@pytest.mark.parametrize(
    ("text", "t_ns"),
    [
        ("0", 0),
        ("99999999999999", None),
        ("100000000000000", 10**14),
        ("1.7e18", 1_700_000_000 * NS),
        ("1.7e9", 1_700_000_000 * NS),
        (" 12 ", 12 * NS),
        ("9223372036854775808", END_OF_TIME_NS),
        ("9223372036854775809", None),
        ("9223372036.854775808", END_OF_TIME_NS),
        ("100000000000000.5", None),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.000000001z", 1),
        ("2016-12-31T23:59:60Z", 1483228800 * NS),
        ("1969-12-31T23:59:59Z", None),
        ("1970-01-01T00:00:00", None),
        ("2024-02-30T00:00:00Z", None),
        ("2024-01-01T24:00:00Z", None),
        ("2024-01-01T00:00:00+24:00", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("-1", None),
        ("NaN", None),
        ("Infinity", None),
        ("1_000", None),
        ("1e9999", None),
        ("1e99999999999", None),
        ("1" * 65, None),
        ("", None),
        ("yesterday", None),
        ("١٢", None),
    ],
)
def test_a_time_is_taken_or_refused(text: str, t_ns: int | None) -> None:
    if t_ns is not None:
        assert parse_time_ns(text) == t_ns
        return
    with pytest.raises(Refused) as refused:
        parse_time_ns(text)
    assert refused.value.code == "bad_time"


@given(st.text(max_size=80))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    found = outcome(lambda: parse_time_ns(text))
    assert found == "bad_time" or 0 <= int(found) <= END_OF_TIME_NS


def test_a_moment_ends_below_two_to_the_63() -> None:
    assert parse_moment_ns("9223372036854775807") == END_OF_TIME_NS - 1
    with pytest.raises(Refused):
        parse_moment_ns("9223372036854775808")


def test_a_range_is_open_where_no_bound_is_given() -> None:
    assert parse_range(None, None) == TimeRange(0, END_OF_TIME_NS)
    assert parse_range("5", None, TimeRange(3, 7 * NS)) == TimeRange(5 * NS, 7 * NS)


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    assert parse_range("5", "5").is_empty
    with pytest.raises(Refused) as refused:
        parse_range("5", "4.999999999")
    assert refused.value.code == "bad_time"


def test_one_bound_outside_the_default_gives_an_empty_range() -> None:
    assert parse_range("9", None, TimeRange(3, 7 * NS)).is_empty
    assert parse_range(None, "1", TimeRange(3 * NS, 7 * NS)).is_empty


def test_a_list_is_given_by_commas_or_by_repeated_keys() -> None:
    assert parse_list(["a,b", "c", "a", ""]) == ["a", "b", "c"]
    assert parse_list(None) == []


def test_a_list_holds_4096_values_and_no_more() -> None:
    assert len(parse_list([",".join(str(i) for i in range(4096))])) == 4096
    with pytest.raises(Refused) as refused:
        parse_list([",".join(str(i) for i in range(4097))])
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    ("text", "want"), [(None, 10), ("1", 1), ("50", 50), ("51", None), ("0", None), ("1.5", None), ("x", None)]
)
def test_a_limit_is_an_integer_within_its_bounds(text: str | None, want: int | None) -> None:
    if want is not None:
        assert parse_int(text, "limit", default=10, most=50) == want
        return
    with pytest.raises(Refused):
        parse_int(text, "limit", default=10, most=50)


def test_a_default_never_exceeds_the_most() -> None:
    assert parse_int(None, "limit", default=100, most=50) == 50


@given(TIMES, st.text("abcXYZ019-_", max_size=40))
def test_a_cursor_comes_back_as_it_went(t_ns: int, record_id: str) -> None:
    text = encode_cursor((t_ns, record_id))
    assert decode_cursor(text, tuple[int, str]) == (t_ns, record_id)


@given(st.text(max_size=60))
def test_a_cursor_of_others_is_refused(text: str) -> None:
    found = outcome(lambda: decode_cursor(text, tuple[int, str]))
    assert found == "malformed" or (text == "" and found is None) or encode_cursor(found) == text


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        decode_cursor(encode_cursor(("a", "b")), tuple[int, str])
    assert refused.value.code == "malformed"
    assert decode_cursor(None, tuple[int, str]) is None


@pytest.mark.parametrize(("offset", "found"), [(-1, "malformed"), (0, 0), (17, 17)])
def test_an_offset_is_never_below_nothing(offset: int, found: object) -> None:
    assert outcome(lambda: parse_offset(encode_cursor((offset,)))) == found
    assert parse_offset(None) == 0


@pytest.mark.parametrize(
    ("t_ns", "found"),
    [(-1, "malformed"), (0, (0, "a")), (END_OF_TIME_NS - 1, (END_OF_TIME_NS - 1, "a")), (END_OF_TIME_NS, "malformed")],
)
def test_a_place_is_at_a_time_that_may_be_stored(t_ns: int, found: object) -> None:
    assert outcome(lambda: parse_place(encode_cursor((t_ns, "a")))) == found
    assert parse_place(None) is None
