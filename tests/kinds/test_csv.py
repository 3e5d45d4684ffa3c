"""Kind `csv`: how tables are understood, what is refused, and rows from any place on."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import NotFound, Refused
from datamanager.kinds.csv import examine
from datamanager.kinds.csv.cells import type_of, value_of
from datamanager.kinds.csv.dialect import Dialect
from datamanager.kinds.csv.encoding import Encoding
from datamanager.kinds.csv.pages import RowPage, read_page
from datamanager.kinds.csv.rows import Layout, RowReader, count_rows
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import BytesSource

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "csv"
LIMITS = KindLimits()


def looked_at(data: bytes, limits: KindLimits = LIMITS, mime_type: str | None = None, **payload: Any) -> Found:
    return examine(BytesSource(data), Hints(mime_type=mime_type, payload=payload), limits)


def refused(data: bytes, **payload: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, **payload)
    return caught.value


def page(data: bytes, found: Found | None = None, **asked: Any) -> RowPage:
    found = found or looked_at(data)
    asked = {"place": None, "offset": 0, "limit": 1000, "columns": []} | asked
    return read_page(BytesSource(data), found.fields["table"], **asked)


def columns(found: Found) -> dict[str, str]:
    return {column["name"]: column["type"] for column in found.metadata["columns"]}


@pytest.mark.parametrize("name", ["semicolons.csv", "utf16.tsv"])
def test_golden_files_are_found_to_be_what_they_were(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    found = looked_at(data)
    assert found.metadata == expected["metadata"]
    assert page(data, found).rows == expected["rows"]


@pytest.mark.parametrize("delimiter", [*",;\t|:^~", "\x1f", "\x01", " "])
def test_whatever_parts_the_cells_is_found(delimiter: str) -> None:
    data = "".join(delimiter.join(row) + "\n" for row in (["a", "b", "c"], ["1", "x", "2.5"], ["2", "y", "3"])).encode()
    found = looked_at(data)
    assert found.metadata["delimiter"] == delimiter
    assert columns(found) == {"a": "int", "b": "string", "c": "float"}
    assert page(data, found).rows == [[1, "x", 2.5], [2, "y", 3.0]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_western_text_is_read_in_any_encoding(encoding: str) -> None:
    data = "".join(["name,größe\n", *(f"Jürgen {i},{i}\n" for i in range(50))]).encode(encoding)
    assert page(data).rows[:2] == [["Jürgen 0", 0], ["Jürgen 1", 1]]
    assert page(data).columns[1].name == "größe"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp932", "日本語のテキスト"), ("cp1251", "Температура двигателя"), ("gb18030", "机器人的温度很高")],
)
def test_text_of_other_scripts_is_read_in_its_usual_encoding(encoding: str, text: str) -> None:
    data = (f"{text},x\n" + f"{text},1\n" * 40).encode(encoding)
    assert page(data).columns[0].name == text


def test_a_charset_that_the_sender_names_is_believed_when_it_can_be() -> None:
    data = "a,b\n1,ж\n".encode("koi8-r")
    assert page(data, looked_at(data, mime_type="text/csv; charset=koi8-r")).rows == [[1, "ж"]]
    assert refused(data, mime_type="text/csv; charset=utf-8").offset == 6
    assert refused(data, mime_type="text/csv; charset=rot13").code == "bad_payload"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quotes_hold_delimiters_quotes_and_line_ends(end: str) -> None:
    data = f'a,b{end}"x, ""y""{end}z",1{end}{end}"",2{end}'.encode()
    assert page(data).rows == [[f'x, "y"{end}z', 1], [None, 2]]


def test_a_quote_that_is_never_closed_is_no_quote() -> None:
    data = b'a,b\n"open,1\n' + b"x,2\n" * 400_000
    found = looked_at(data)
    assert (found.metadata["quote"], found.metadata["rows"]) == ("", 400_001)
    assert page(data, found, limit=2).rows == [['"open', 1], ["x", 2]]


def test_ragged_rows_keep_what_they_have() -> None:
    data = b"a,b\n1\n1,2,3\n,\n1,2\n"
    found = looked_at(data)
    assert found.metadata["ragged_rows"] == 2
    assert page(data, found).rows == [[1, None], [1, 2, "3"], [None, None], [1, 2]]


def test_columns_without_a_name_or_with_one_that_is_taken_get_one() -> None:
    assert list(columns(looked_at(b"a,,a,a\n1,2,3,4\n"))) == ["a", "column_2", "a_2", "a_3"]
    assert list(columns(looked_at(b"1,2\n3,4\n"))) == ["column_1", "column_2"]
    assert looked_at(b"1,2\n3,4\n").metadata["rows"] == 2


def test_comments_before_a_table_are_none_of_its_rows_and_may_name_its_columns() -> None:
    assert columns(looked_at(b"# made by x\n# t x y\n1.5 2 3\n1.6 2 4\n")) == {"t": "float", "x": "int", "y": "int"}
    assert page(b"#t [ns], x\n1,2\n").rows == [[1, 2]]
    assert page(b"# note\na,b\n1,2\n").rows == [[1, 2]]
    assert page(b"sep=;\r\na;b\r\n1,5;2\r\n").rows == [["1,5", 2]]


def test_the_sender_may_say_how_it_is_written() -> None:
    data = b"1x'2x3'\n5x6\n"
    assert page(data, looked_at(data, delimiter="x", quote="'", header=False)).rows == [[1, "2x3"], [5, "6"]]
    assert looked_at(b"a,b\nc,d\n", header=False).metadata["rows"] == 2
    for bad in ({"delimiter": "ab"}, {"delimiter": "\n"}, {"quote": ""}):
        assert refused(data, **bad).code == "bad_payload"
    assert refused(data, header=1).code == "wrong_type"


@pytest.mark.parametrize(
    ("cell", "kind", "value"),
    [
        ("true", "bool", True), ("FALSE", "bool", False), ("0", "int", 0), ("-7", "int", -7), ("007", "string", "007"),
        ("9007199254740993", "bigint", 9007199254740993), ("9223372036854775808", "string", "9223372036854775808"),
        ("1.5", "float", 1.5), (".5e3", "float", 500.0), ("nan", "float", "NaN"), ("-inf", "float", "-Infinity"),
        ("1_000", "string", "1_000"), ("2026-11-20T10:00:00Z", "time", "2026-11-20T10:00:00Z"), ("", "null", None),
        ("NA", "null", None), ("x", "string", "x"), ("٣", "string", "٣"), ("1,5", "string", "1,5"),
    ],
)  # fmt: skip
def test_cells_have_the_narrowest_type_that_loses_nothing(cell: str, kind: str, value: object) -> None:
    assert type_of(cell) == kind
    assert value_of(cell, kind) == value


@pytest.mark.parametrize(
    ("cells", "kind"),
    [("1,2.5", "float"), ("1,NA,", "int"), ("true,1", "string"), ("9007199254740993,1.5", "string"), ("1,x", "string"),
     ("9007199254740993,1", "int")],
)  # fmt: skip
def test_columns_widen_without_loss(cells: str, kind: str) -> None:
    assert columns(looked_at(("c,d\n" + "".join(f"{cell},0\n" for cell in cells.split(","))).encode()))["c"] == kind


def test_pages_follow_each_other_by_place_and_agree_with_offsets() -> None:
    data = ("n,text\n" + "".join(f'{i},"ä {i}\nb"\n' for i in range(5000))).encode()
    found = looked_at(data)
    rows: list[list[Any]] = []
    place: tuple[int, int] | None = None
    while True:
        part = page(data, found, place=place, limit=777)
        assert part.offset == len(rows)
        rows += part.rows
        place = part.next
        if place is None:
            break
    assert rows == [[i, f"ä {i}\nb"] for i in range(5000)]
    assert page(data, found, offset=4321, limit=1).rows == [rows[4321]]
    assert page(data, found, offset=5000).rows == page(data, found, offset=10**9).rows == []
    assert page(data, found, columns=["text"], limit=1).rows == [["ä 0\nb"]]
    with pytest.raises(NotFound):
        page(data, found, columns=["z"])
    with pytest.raises(Refused):
        page(data, found, place=(0, len(data) + 1))


class Counting(BytesSource):
    """Content that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        found = super().read(offset, size)
        self.bytes += len(found)
        return found


class Ranged:
    """The same content, read by range alone, as from S3."""

    def __init__(self, source: Counting) -> None:
        self._source = source
        self.size = source.size

    def read(self, offset: int, size: int) -> bytes:
        return self._source.read(offset, size)


def test_a_late_page_of_a_large_table_reads_little_of_it() -> None:
    data = b"n,x\n" + b"".join(b"%d,%d.5\n" % (i, i) for i in range(400_000))
    found = looked_at(data)
    assert (found.metadata["rows"], found.metadata["rows_complete"]) == (400_000, True)
    counting = Counting(data)
    got = read_page(Ranged(counting), found.fields["table"], None, 390_000, 2, [])
    assert got.rows == [[390_000, 390_000.5], [390_001, 390_001.5]]
    assert counting.bytes < 4_000_000


def test_rows_beyond_what_was_scanned_are_not_counted_and_the_metadata_say_so() -> None:
    data = b"n,x\n" + b"".join(b"%d,%d\n" % (i, i) for i in range(200_000))
    found = looked_at(data, KindLimits(max_scan_bytes=512 * 1024))
    told = found.metadata
    assert not told["rows_complete"]
    assert told["rows"] < 200_000
    assert told["counted_bytes"] < len(data)
    assert page(data, found, offset=150_000, limit=1).rows == [[150_000, 150_000]]


def test_an_offset_far_behind_what_was_counted_is_found_or_where_the_counting_ended_is_told() -> None:
    data = b"n,x\n" + b"1,2\n" * 2_000_000
    found = looked_at(data, KindLimits(max_scan_bytes=64 * 1024))
    assert page(data, found, offset=1_900_000, limit=1).rows == [[1, 2]]
    assert page(data, found, offset=7_000_000).rows == []
    quoted = b"n,x\n" + b'1,"2"\n' * 1_000_000
    far = page(quoted, looked_at(quoted, KindLimits(max_scan_bytes=64 * 1024)), offset=999_999)
    assert far.rows == [[1, 2]] or (far.next is not None and far.next[0] == far.offset < 999_999)


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (b"", "bad_payload", 0),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "kind_mismatch", 0),
        (b"\x1f\x8b\x08\0abc", "kind_mismatch", 0),
        (bytes(range(256)) * 8, "kind_mismatch", 0),
        (b"small.txt" + b"\0" * 500 + b"\xff\xd8\0\0", "kind_mismatch", 0),
        (b"\x81\x8d\x8f\xfe\xff" * 500, "kind_mismatch", 0),
        (b'{"a": [1, 2], "b": 3}', "kind_mismatch", 0),
        (b"<!DOCTYPE html><p>a,b", "kind_mismatch", 0),
        ("é,ü\n".encode() * 100 + b"\xe9,\xfc\n", "bad_payload", 600),
        (b"\xff\xfea\0,\0\0\xd8\n\0", "bad_payload", 6),
        (b",".join([b"c"] * 16_385) + b"\n", "too_large", 0),
        (b"a,b\n" + b"x" * 5_000_000, "too_large", 4),
    ],
)
def test_what_is_no_table_is_refused_with_the_place(data: bytes, code: str, offset: int) -> None:
    error = refused(data)
    assert (error.code, error.offset) == (code, offset)


def test_columns_and_cells_at_the_limit_are_taken() -> None:
    wide = b",".join(b"c%d" % i for i in range(16_384)) + b"\n" + b",".join([b"1"] * 16_384) + b"\n"
    found = looked_at(wide)
    assert (found.metadata["column_count"], len(found.metadata["columns"])) == (16_384, 256)
    assert len(page(wide, found).rows[0]) == 16_384
    looked_at(b'a,b\n"' + b"x" * (1 << 20) + b'",1\n')


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_cut_anywhere_is_taken_or_refused(part: int, encoding: str) -> None:
    data = 'Zeit,"Größe"\n1,"a ""b"", c"\n2,😀\n'.encode(encoding)
    cut = data[: len(data) * part // 10]
    try:
        page(cut, looked_at(cut))
    except Refused as error:
        assert error.code in {"bad_payload", "kind_mismatch"}  # noqa: PT017  # some cuts are tables, some are not


BOMBS = {
    "one row": b"1," * 16_000_000,
    "empty lines": b"\n" * 32_000_000,
    "one cell": b'a,b\n"' + b"x" * 30_000_000,
    "quotes": b'""' * 16_000_000,
    "short rows": b"1,1\n" * 8_000_000,
    "latin": b"\xe9,1\n" * 4_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_bounded_time(name: str) -> None:
    began_s = time.process_time()
    try:
        looked_at(BOMBS[name])
    except Refused as error:
        assert error.code == "too_large"  # noqa: PT017  # whether it is refused is not what is asked here
    assert time.process_time() - began_s < 1.5


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.sampled_from(["\n", "\r\n", "a", "b,c", " "]), min_size=1, max_size=30))
def test_lines_are_counted_as_rows_are_read(parts: list[str]) -> None:
    data = "".join(parts).encode()
    layout = Layout(Encoding("utf-8"), Dialect(",", '"'), 0, header=False)
    assert count_rows(data, layout) == sum(1 for row in RowReader(BytesSource(data), layout, 0) if row)


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=8))
def test_what_pythons_writer_quotes_is_read_as_it_was(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    data = file.getvalue().encode()
    try:
        found = looked_at(data, delimiter=",", quote='"', header=False)
    except Refused as error:
        assert error.code == "kind_mismatch"  # noqa: PT017  # control characters alone are no text
        return
    table = found.fields["table"] | {"types": "s" * len(found.fields["table"]["types"]), "escape": None}
    if found.fields["table"]["skip_spaces"] or data.startswith(b'"#') or found.fields["table"]["escape"]:
        return
    got = read_page(BytesSource(data), table, None, 0, 100, []).rows
    assert [[cell or "" for cell in row][: len(want)] for row, want in zip(got, rows, strict=True)] == [
        row[: len(got_row)] for row, got_row in zip(rows, got, strict=True)
    ]


def test_public_files_are_read_as_their_expectations_say(recordings: Path) -> None:
    folder = recordings.parent / "formats" / "csv" / "csv-spectrum"
    # What is expected of the one is another number than stands in it; the line ends of the other were changed there.
    wrong = ("location_coordinates", "newlines_crlf")
    for path in sorted(p for p in (folder / "csvs").glob("*.csv") if p.stem not in wrong):
        data = path.read_bytes()
        found = looked_at(data)
        names = list(columns(found))
        got = [dict(zip(names, row, strict=True)) for row in page(data, found).rows]
        want = json.loads((folder / "json" / f"{path.stem}.json").read_text())
        as_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in got]
        assert as_text == (want if isinstance(want, list) else [want]), path.name
