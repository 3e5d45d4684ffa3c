"""Rows of a csv as samples: exact times, and batches that are the same wherever they are made."""

from typing import Any

import pytest

from datamanager.errors import Refused
from datamanager.kinds.csv import examine
from datamanager.kinds.csv.series import read_batches
from datamanager.kinds.csv.times import find_unit, time_parser
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import BytesSource


def looked_at(data: bytes, **payload: Any) -> Found:
    return examine(BytesSource(data), Hints(payload=payload), KindLimits())


def refused(data: bytes, **payload: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, **payload)
    return caught.value


@pytest.mark.parametrize(
    ("cell", "unit", "t_ns"),
    [
        ("1700000000", "s", 1_700_000_000 * 10**9), ("1700000000.123456789", "s", 1_700_000_000_123_456_789),
        ("1.7e9", "s", 1_700_000_000 * 10**9), ("1700000000123", "ms", 1_700_000_000_123 * 10**6),
        ("1700000000123456", "us", 1_700_000_000_123_456 * 1000), ("1700000000123456789", "ns", 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20.123456789Z", "rfc3339", 1_700_000_000_123_456_789),
        ("2023-11-14 23:13:20+01:00", "rfc3339", 1_700_000_000 * 10**9), ("20231114T221320.5", "rfc3339", 1_700_000_000_500_000_000),
    ],
)  # fmt: skip
def test_times_are_exact_and_their_unit_is_found(cell: str, unit: Any, t_ns: int) -> None:
    assert find_unit(["", cell]) == unit
    assert time_parser(unit)(cell) == t_ns


@pytest.mark.parametrize("cell", ["", "x", "-1", "1e99", "9" * 19, "1960-01-01T00:00:00Z", "2026-13-01", "nan", "٣"])
def test_what_is_no_time_that_may_be_stored_is_none(cell: str) -> None:
    assert [time_parser(unit)(cell) for unit in ("s", "rfc3339")] == [None, None]


def batches(data: bytes, **payload: Any) -> tuple[list[tuple[int, int]], int, int]:
    """Number and rows of each batch, and rows taken and skipped."""
    found = looked_at(data, **payload)
    series, numbers, rows, skipped = found.fields["series"], [], 0, 0
    while True:
        part = read_batches(BytesSource(data), found.fields["table"], series)
        numbers += [(number, len(batch["t_ns"]) // 8) for number, batch in part.payloads]
        rows, skipped = rows + part.rows, skipped + part.skipped
        if part.next is None:
            return numbers, rows, skipped
        series = series | {"at": list(part.next)}


def test_batches_are_the_same_wherever_reading_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamanager.kinds.csv.series._STEP_BYTES", 100_000)
    data = b"t,x\n" + b"".join(b"%d.5,%d\n" % (1_700_000_000 + i, i) for i in range(30_000))
    numbers, rows, skipped = batches(data, time_column="t")
    assert (rows, skipped) == (30_000, 0)
    assert [number for number, _ in numbers] == list(range(len(numbers)))
    assert {count for _, count in numbers[:-1]} == {numbers[0][1]}


def test_rows_without_a_time_are_left_out_and_counted() -> None:
    assert batches(b"t,x\n1700000000,1\n,2\nNA,3\n1700000001,4\n", time_column="t")[1:] == (2, 2)


def test_values_of_a_batch_are_typed() -> None:
    data = b"t,f,i,s,b\n1700000000,1.5,1,x,true\n1700000001,,2,,false\n1700000002,inf,3,NA,\n"
    found = looked_at(data, time_column="t")
    [(_, batch)] = read_batches(BytesSource(data), found.fields["table"], found.fields["series"]).payloads
    assert batch["channels"] == {
        "f": [1.5, None, "Infinity"], "i": [1, 2, 3], "s": ["x", None, "NA"], "b": [True, False, None],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"time_column": "z"}, "missing_field"),
        ({"time_column": 1}, "wrong_type"),
        ({"time_column": "x"}, "bad_time"),
        ({"time_column": "t", "time_unit": "h"}, "bad_payload"),
        ({"time_column": "t", "time_unit": "rfc3339"}, "bad_time"),
    ],
)
def test_a_time_column_that_is_none_is_refused(payload: dict[str, Any], code: str) -> None:
    assert refused(b"t,x\n1700000000,a\n", **payload).code == code


def test_a_table_of_times_alone_is_no_stream() -> None:
    assert refused(b"t\n1700000000\n", time_column="t").code == "bad_payload"
