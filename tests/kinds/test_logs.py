"""Kind `log`: what is taken, the levels, and the bytes that are kept."""

import json
import math
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.kinds.log import LEVELS, LogLimits, encode_log, inspect_log, normalise_level


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        *((level, level) for level in LEVELS),
        ("WARNING", "warn"),
        ("[Warn]", "warn"),
        ("W", "warn"),
        ("CRITICAL", "fatal"),
        ("err", "error"),
        ("Notice", "info"),
        ("verbose", "trace"),
        (" debug ", "debug"),
        *zip((10, 20, 30, 40, 50), ("debug", "info", "warn", "error", "fatal"), strict=True),
        *zip((1, 2, 4, 8, 16), ("debug", "info", "warn", "error", "fatal"), strict=True),
        ("40", "error"),
        ("thunder", None),
        (33, None),
        ("", None),
        (None, None),
    ],
)
def test_a_level_of_any_usual_spelling_or_number_is_known(level: object, expected: str | None) -> None:
    assert normalise_level(level) == expected


@pytest.mark.parametrize("level", [1.5, True, [], {}, b"info"])
def test_a_level_of_another_type_is_refused(level: object) -> None:
    with pytest.raises(Refused) as caught:
        normalise_level(level)
    assert caught.value.code == "wrong_type"


def test_an_entry_is_one_line() -> None:
    info = inspect_log({"level": "WARN", "message": "low battery", "logger": "power", "volts": 10.2})
    assert info.metadata == {"level": "warn", "logger": "power", "lines": 1}


def test_lines_count_and_the_worst_level_among_entries_is_the_record_s() -> None:
    lines = ["plain", {"level": "info", "message": "a"}, {"level": "ERROR", "message": "b"}, {"message": "c"}]
    assert inspect_log({"lines": lines, "logger": "n"}).metadata == {"level": "error", "logger": "n", "lines": 4}
    assert inspect_log({"lines": [], "level": 10}).metadata == {"level": "debug", "logger": None, "lines": 0}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "missing_field"),
        ({"level": "info"}, "missing_field"),
        ({"message": None}, "missing_field"),
        ({"message": 5}, "wrong_type"),
        ({"message": "x", "logger": 5}, "wrong_type"),
        ({"message": "x", "level": 1.5}, "wrong_type"),
        ({"lines": "x"}, "wrong_type"),
        ({"lines": [5]}, "wrong_type"),
        ({"lines": [{}]}, "missing_field"),
        ({"lines": [{"message": b"x"}]}, "wrong_type"),
    ],
)
def test_a_payload_that_is_no_log_is_refused(payload: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as caught:
        inspect_log(payload)
    assert caught.value.code == code


@pytest.mark.parametrize(("size", "is_taken"), [(9, True), (10, True), (11, False)])
def test_limits_hold_to_the_line_and_to_the_character(size: int, is_taken: bool) -> None:
    limits = LogLimits(max_lines=10, max_line_chars=10)
    payloads: list[dict[str, Any]] = [{"lines": ["x"] * size}, {"lines": ["x" * size]}, {"message": "x" * size}]
    for payload in payloads:
        if is_taken:
            inspect_log(payload, limits)
        else:
            with pytest.raises(Refused) as caught:
                inspect_log(payload, limits)
            assert caught.value.code == "too_large"


def test_the_bytes_kept_are_the_payload_as_json() -> None:
    payload = {
        "level": "info",
        "message": 'grüße \u2028 "q"',
        "n": 1,
        "x": 0.1,
        "ok": True,
        "none": None,
        "at": [1, {"a": []}],
    }
    data = encode_log(payload)
    assert json.loads(data) == payload
    assert "grüße".encode() in data
    assert list(json.loads(data)) == list(payload)


def test_the_same_payload_gives_the_same_bytes_over_json_and_msgpack() -> None:
    payload = {"message": "hi", "x": 1.5, "n": 2**53 + 1, "deep": {"b": 1, "a": [None, False]}}
    assert encode_log(json.loads(json.dumps(payload))) == encode_log(msgpack.unpackb(msgpack.packb(payload)))


def test_what_json_lacks_becomes_words_and_base64() -> None:
    payload = {"message": "m", "x": [math.nan, math.inf, -math.inf], "raw": b"\0\xff", 5: 6}
    assert json.loads(encode_log(payload)) == {
        "message": "m",
        "x": ["NaN", "Infinity", "-Infinity"],
        "raw": "AP8=",
        "5": 6,
    }


@pytest.mark.parametrize("value", ["\ud800", object()])
def test_what_json_cannot_hold_at_all_is_refused(value: object) -> None:
    with pytest.raises(Refused) as caught:
        encode_log({"message": value})
    assert caught.value.code == "bad_payload"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_json_comes_back_as_it_was(payload: dict[str, Any]) -> None:
    assert json.loads(encode_log(payload)) == payload


def test_naughty_strings_are_only_text(recordings: Path) -> None:
    strings = json.loads((recordings.parent / "formats" / "log" / "naughty-strings" / "blns.json").read_text())
    assert inspect_log({"lines": strings}).lines == len(strings) > 400
    assert json.loads(encode_log({"lines": strings}))["lines"] == strings
