"""Entries of log records, and what finds them."""

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datamanager.errors import Refused
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.log import encode_log, examine
from datamanager.kinds.log_entries import Entry, LogFilter, find_entries, live_entries
from datamanager.kinds.source import BytesSource

ALL = LogFilter()
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "log"


def found(payload: dict[str, Any] | bytes, wanted: LogFilter = ALL, first: int = 0, limit: int = 100) -> list[Entry]:
    data = payload if isinstance(payload, bytes) else encode_log(payload)
    [entries] = find_entries([(BytesSource(data), first)], wanted, limit).found
    return entries


@pytest.mark.parametrize("name", ["lines.json", "syslog.log"])
def test_golden_files_are_found_to_be_what_they_were(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    assert examine(BytesSource(data), Hints(), KindLimits()).metadata == expected["metadata"]
    assert msgspec.to_builtins(found(data)) == expected["entries"]


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (b"", "bad_payload", 0),
        (b"good\n\xff", "bad_payload", 5),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "kind_mismatch", 0),
    ],
)
def test_bytes_that_are_no_log_are_refused_with_the_place(data: bytes, code: str, offset: int) -> None:
    with pytest.raises(Refused) as caught:
        examine(BytesSource(data), Hints(), KindLimits())
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_an_entry_has_its_level_logger_message_and_what_else_it_says() -> None:
    [entry] = found({"level": "WARNING", "message": "low", "logger": "power", "volts": 10.5})
    assert entry == Entry(line=0, level="warn", logger="power", message="low", fields={"volts": 10.5})


def test_each_line_is_an_entry_with_its_own_level_where_it_has_one() -> None:
    lines = [
        "plain",
        "12:00 [ERROR] bad",
        {"message": "own", "level": 10, "logger": "x"},
        {"message": "other"},
        "W/Tag: hi",
    ]
    entries = found({"lines": lines, "level": "info", "logger": "main"})
    assert [(e.line, e.level, e.logger) for e in entries] == [
        (0, "info", "main"), (1, "error", "main"), (2, "debug", "x"), (3, "info", "main"), (4, "warn", "main"),
    ]  # fmt: skip
    assert [e.message for e in entries] == ["plain", "12:00 [ERROR] bad", "own", "other", "W/Tag: hi"]


def test_text_that_is_no_json_is_lines() -> None:
    assert [e.message for e in found(b"{not json\nb\r\nc")] == ["{not json", "b", "c"]
    assert found(b"INFORMATION is no level\n")[0].level is None


@pytest.mark.parametrize(
    ("wanted", "messages"),
    [
        (LogFilter(level="warn"), ["Motor HOT", "stop"]),
        (LogFilter(text="motor"), ["motor on", "Motor HOT"]),
        (LogFilter(logger="nav"), ["motor on", "stop"]),
        (LogFilter(level="info", text="o", logger="nav"), ["motor on", "stop"]),
        (LogFilter(text="GRÜSSE"), ["grüße"]),
    ],
)
def test_filters_choose_by_level_text_and_logger(wanted: LogFilter, messages: list[str]) -> None:
    lines = [
        {"message": "motor on", "level": "info", "logger": "nav"}, {"message": "Motor HOT", "level": "warn", "logger": "navy"},
        {"message": "stop", "level": "fatal", "logger": "nav.planner"}, {"message": "none"}, {"message": "grüße"},
    ]  # fmt: skip
    assert [e.message for e in found({"lines": lines}, wanted)] == messages


def test_a_search_stops_at_its_limit_and_goes_on_from_there() -> None:
    records = [(BytesSource(encode_log({"lines": [f"{n}.{i}" for i in range(3)]})), 0) for n in range(3)]
    search = find_entries(records, ALL, 4)
    assert [[e.message for e in some] for some in search.found] == [["0.0", "0.1", "0.2"], ["1.0"]]
    assert search.stopped_at == 1
    rest = find_entries([(records[1][0], 1), records[2]], ALL, 100)
    assert [e.message for some in rest.found for e in some] == ["1.1", "1.2", "2.0", "2.1", "2.2"]
    assert rest.stopped_at is None
    assert len(find_entries(records, ALL, 3).found) == 1


def test_live_payloads_give_the_entries_that_are_kept() -> None:
    payload = {"lines": ["a", {"message": "b", "level": "error"}], "logger": "l"}
    data = encode_log(payload).decode()
    assert live_entries(payload, ALL) == live_entries({"data": data}, ALL) == found(payload)
    assert [e.message for e in live_entries({"data": "YQpi", "encoding": "base64"}, ALL)] == ["a", "b"]


def test_a_large_log_is_searched_in_bounded_time() -> None:
    data = json.dumps({"lines": ["x" * 300 + f" {i}" for i in range(100_000)]}).encode()
    began_s = time.process_time()
    assert len(found(data, LogFilter(level="warn"))) == 0
    assert len(found(data, LogFilter(text="99999"))) == 1
    assert time.process_time() - began_s < 3
