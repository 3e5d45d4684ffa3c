"""The kinds json, yaml, toml, msgpack, vuer_msg: what is taken, what is refused and where, how it is read."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import LIMITS, encoded, look, read, refused, tried

from datamanager.errors import DatamanagerError, NotFound, RangeTooLarge, Refused
from datamanager.kinds.documents.look import read_json
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.source import BytesSource
from datamanager.kinds.table import encode_value, examine_content

KINDS = ("json", "yaml", "toml", "msgpack", "vuer_msg")


GOLDEN = Path(__file__).resolve().parents[1] / "golden"


FILES = [
    (kind, path.name) for kind in KINDS for path in sorted((GOLDEN / kind).glob("*")) if path.name != "expected.json"
]


FEW = settings(max_examples=50)


def test_every_kind_has_golden_files() -> None:
    for kind in KINDS:
        names = {name for of, name in FILES if of == kind}
        assert names == set(json.loads((GOLDEN / kind / "expected.json").read_text()))
        assert len(names) >= 2


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_golden_file_is_understood_as_it_always_was(kind: str, name: str) -> None:
    expected = json.loads((GOLDEN / kind / "expected.json").read_text())[name]
    data = (GOLDEN / kind / name).read_bytes()
    found = examine_content(kind, BytesSource(data), Hints(), LIMITS)
    assert (found.mime_type, found.ending) == (expected["mime_type"], expected["ending"])
    assert found.metadata == expected["metadata"]
    assert read(kind, data) == expected["json"]


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_a_file_that_was_cut_is_refused_or_another_document(kind: str, name: str) -> None:
    data = (GOLDEN / kind / name).read_bytes()
    for tenth in range(10):
        cut = data[: len(data) * tenth // 10]
        if kind in ("msgpack", "vuer_msg"):
            assert refused(kind, cut).code in ("bad_payload", "kind_mismatch")
            continue
        refusal = tried(kind, cut)
        if refusal is None:
            read(kind, cut)
        else:
            assert refusal.offset is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(60), "jpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "png"),
        (b"PK\x03\x04" + bytes(60), "zip"),
        (b"\x1f\x8b\x08" + bytes(60), "gzip"),
    ],
)
def test_another_kind_s_bytes_are_told(kind: str, data: bytes, what: str) -> None:
    refusal = refused(kind, data)
    assert refusal.code == "kind_mismatch"
    assert what in refusal.detail


def test_text_and_messagepack_are_told_from_each_other() -> None:
    assert "text" in refused("msgpack", b'{"a": [1, 2, 3]}').detail
    assert "MessagePack" in refused("json", msgpack.packb({"a": b"\0\1\2"})).detail
    assert refused("toml", b"<html><body></body></html>").code == "kind_mismatch"


@pytest.mark.parametrize(
    ("data", "offset", "word"),
    [
        (b"", 0, "empty"),
        (b"[1", 2, "ends"),
        (b"[1,]", 3, "comma"),
        (b"[1] x", 4, "trailing"),
        (b"[NaN]", 1, "NaN"),
        (b'{"a": -Infinity}', 6, "-Infinity"),
        (b'["\xff"]', 2, "UTF-8"),
        (b'["\xed\xa0\x80"]', 2, "UTF-8"),
        ("[1]".encode("utf-16"), 0, "UTF-16"),
        ("[1]".encode("utf-32-be"), 0, "UTF-32"),
        (b"\xef\xbb\xbf", 3, "ends"),
        (b"\xef\xbb\xbf[01]", None, "number"),
        (b'["a\x01"]', 3, ""),
        (b'["\\x"]', 3, "escape"),
        (b"nul", None, ""),
        (b"'a'", 0, ""),
        (b"[1] // c", 4, ""),
    ],
)
def test_what_is_no_json_is_refused_where_it_goes_wrong(data: bytes, offset: int | None, word: str) -> None:
    refusal = refused("json", data)
    assert refusal.code == "bad_payload"
    assert word in refusal.detail
    assert offset is None or refusal.offset == offset


@pytest.mark.parametrize(
    "data",
    [b"1", b' "x" ', b"null", b"[1e999, 1E-999, -0, 0.1e+1]", b'["\\ud800", "\\udc00x"]', b'"\\\\ud800"', b"[" + b"9" * 5000 + b"]",
     b'{"a":1,"a":2}', b'{"":{}}', b"\xef\xbb\xbf[]", b'["\x7f\xe2\x80\xa8"]'],
)  # fmt: skip
def test_what_the_grammar_allows_is_taken(data: bytes) -> None:
    look("json", data)
    read_json(BytesSource(data), "json", "", "", 64)


def test_duplicate_keys_are_counted() -> None:
    assert look("json", b'{"a":1,"b":{"c":1,"c":2,"c":3},"a":2}')["duplicate_keys"] == 3
    assert "duplicate_keys" not in look("json", b'{"a":1,"b":{"a":1}}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@FEW
@given(JSON, st.integers(0, 3))
def test_any_json_text_is_taken_with_its_shape(value: Any, indent: int) -> None:
    data = json.dumps(value, indent=indent or None, ensure_ascii=bool(indent % 2)).encode()
    shape = look("json", data)["shape"]
    if isinstance(value, dict):
        assert (shape["type"], shape["entries"]) == ("object", len(value))
        assert [key[:50] for key in shape["keys"]] == [key[:50] for key in value]
    elif isinstance(value, list):
        assert (shape["type"], shape["entries"]) == ("array", len(value))
    assert read("json", data) == value


@FEW
@given(JSON)
def test_any_value_of_json_comes_back(value: Any) -> None:
    assert json.loads(encoded("json", value)) == value


@FEW
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_json_is_what_python_s_own_parser_says(data: bytes) -> None:
    def no_constant(word: str) -> None:
        raise ValueError(word)

    try:
        json.loads(data.decode().removeprefix("\ufeff"), parse_constant=no_constant)
    except ValueError:
        assert refused("json", data).code in ("bad_payload", "kind_mismatch")
    else:
        look("json", data)


def test_a_value_of_messagepack_becomes_what_json_can_hold() -> None:
    value = {1: [math.nan, -math.inf], "raw": b"\0", None: datetime(2024, 1, 31, tzinfo=UTC), 1.5: (1,), b"k": True}
    assert json.loads(encoded("json", value)) == {
        "1": ["NaN", "-Infinity"], "raw": "AA==", "null": "2024-01-31T00:00:00+00:00", "1.5": [1], "aw==": True,
    }  # fmt: skip


EXT = msgspec.msgpack.Ext(1, b"")  # as the wire's decoder has them


@pytest.mark.parametrize("value", [{1: "a", "1": "b"}, [EXT], {"a": EXT}, "\ud800"])
def test_a_value_that_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(Refused) as caught:
        encoded("json", value)
    assert caught.value.code == "bad_payload"


@pytest.mark.parametrize(("kind", "open_", "middle", "close"), [
    ("json", b"[", b"", b"]"), ("yaml", b"[", b"", b"]"), ("toml", b"a = ", b"", b""), ("msgpack", b"\x91", b"\xc0", b""),
    ("vuer_msg", b"\x91", b"\xc0", b""),
])  # fmt: skip
def test_depth_is_held_to_the_level(kind: str, open_: bytes, middle: bytes, close: bytes) -> None:
    def nested(levels: int) -> bytes:
        if kind == "toml":  # the document's table is a level
            return b"a = " + b"[" * (levels - 1) + b"]" * (levels - 1)
        return open_ * levels + middle + close * levels

    limits = KindLimits(max_depth=20)
    assert look(kind, nested(19), limits)["shape"]["depth"] == 19
    assert look(kind, nested(20), limits)["shape"]["depth"] == 20
    assert refused(kind, nested(21), limits).code == "too_deep"
    assert refused(kind, nested(100_000), limits).code == "too_deep"


@pytest.mark.parametrize("kind", KINDS)
def test_size_is_held_to_the_byte(kind: str) -> None:
    whole = {"json": b'"%s"', "yaml": b"'%s'", "toml": b"a='%s'"}.get(kind)
    data = whole % (b"x" * (1024 - len(whole) + 2)) if whole else msgpack.packb("x" * (1024 - 3))
    assert len(data) == 1024
    for most, is_taken in ((1023, False), (1024, True), (1025, True)):
        limits = KindLimits(max_document_bytes=most, max_toml_bytes=most)
        if is_taken:
            look(kind, data, limits)
        else:
            refusal = refused(kind, data, limits)
            assert (refusal.code, refusal.offset) == ("too_large", most)


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(8)
)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (BOMB, "unsafe_content"),
        (b"&a [*a]", "unsafe_content"),
        (b"a: &x {b: *x}", "unsafe_content"),
        (b"*x", "bad_payload"),
        (b"&x a\n---\n*x\n", "bad_payload"),
        (b"a: b: c", "bad_payload"),
        (b"[1, 2", "bad_payload"),
        (b'"\xff"', "bad_payload"),
        (b"a: \x01", "bad_payload"),
        (b"a:\n\t- b", "bad_payload"),
        (b"ply\nformat ascii 1.0\n", "kind_mismatch"),
    ],
)
def test_yaml_that_is_none_or_grows_without_end_is_refused(data: bytes, code: str) -> None:
    refusal = refused("yaml", data)
    assert refusal.code == code
    assert refusal.offset is not None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", None),
        (b"# nothing\n", None),
        (b"a: 1\n---\nb\n...\n", [{"a": 1}, "b"]),
        (b"[yes, off, 012, 0o14, 0x1F, +5, 1_000, 1:30, 2024-01-31]", ["yes", "off", 12, 12, 31, 5, "1_000", "1:30", "2024-01-31"]),
        (b"[~, null, 'null', true, .5, 1e3, .inf, -.INF, .NaN]", [None, None, "null", True, 0.5, 1000.0, "Infinity", "-Infinity", "NaN"]),
        (b"!!python/object/apply:os.system [echo]", ["echo"]),
        (b"!foo {a: !!str 1}", {"$tag": "!foo", "value": {"a": "1"}}),
        (b"base: &b {x: 1}\nc: {<<: *b, y: 2}\nd: {<<: [*b, {x: 5, z: 3}]}", {"base": {"x": 1}, "c": {"x": 1, "y": 2}, "d": {"x": 1, "z": 3}}),
        (b"{<<: text, a: 1}", {"<<": ["text"], "a": 1}),
        (b"? [1, 2]\n: x\n", {"[1,2]": "x"}),
        (b"%YAML 1.3\n%FOO bar\n---\na: 1\n", {"a": 1}),
        (b"%YAML:1.0\n---\nK: !!opencv-matrix {rows: 1}\n", {"K": {"rows": 1}}),
        ("ä: ö".encode("utf-16"), {"ä": "ö"}),
        (b"\xef\xbb\xbfa: 1", {"a": 1}),
        (b"a: !!binary AAEC", {"a": {"encoding": "base64", "data": "AAEC"}}),
    ],
)  # fmt: skip
def test_yaml_is_read_by_the_core_schema(data: bytes, value: Any) -> None:
    look("yaml", data)
    assert read("yaml", data) == value


def test_aliases_are_counted_as_if_they_were_written_out() -> None:
    found = look("yaml", b"a: &a [1, 2]\nb: [*a, *a]\n")
    assert (found["aliases"], found["expanded_values"]) == (2, 13)


def test_yaml_of_many_values_is_taken_when_nothing_in_it_repeats() -> None:
    data = b"- {a: 1, b: [1, 2.5]}\n" * 30_000
    assert look("yaml", data)["shape"]["type"] == "array"
    assert refused("yaml", data + b"- [").code == "bad_payload"
    assert refused("yaml", data + b"- *a\n").code == "too_large"
    with pytest.raises(RangeTooLarge):
        read("yaml", data)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"a = ", 4),
        (b"a = 1\na = 2", 11),
        (b"a = 1\r\nb = \r\n", 11),
        ('ä = "x"'.encode(), 0),
        (b"a = 2024-02-31", 4),
        (b"a = 1\rb = 2", 5),
        (b'a = "\xff"', 5),
        (b"a = 1\0", 5),
    ],
)
def test_what_is_no_toml_is_refused_where_it_goes_wrong(data: bytes, offset: int) -> None:
    refusal = refused("toml", data)
    assert (refusal.code, refusal.offset) == ("bad_payload", offset)


def test_toml_1_1_is_toml() -> None:
    data = b'a = {\n b = 1, # why\n c = 07:32,\n}\nd = "\\e[0m \\x41"\n'
    assert read("toml", data) == {"a": {"b": 1, "c": "07:32:00"}, "d": "\x1b[0m A"}


def test_toml_without_a_key_is_toml() -> None:
    assert look("toml", b"")["shape"]["entries"] == 0
    assert read("toml", b"# nothing") == {}


@pytest.mark.parametrize(
    ("path", "error"),
    [("/a/2", NotFound), ("/a/-", NotFound), ("/a/01", NotFound), ("/b", NotFound), ("/a/0/x", NotFound), ("a", Refused), ("/~", Refused)],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_a_path_that_leads_nowhere_is_an_error(kind: str, path: str, error: type[DatamanagerError]) -> None:
    data = {"json": b'{"a": [1, 2]}', "yaml": b"a: [1, 2]", "toml": b"a = [1, 2]"}.get(
        kind, msgpack.packb({"a": [1, 2]})
    )
    assert read(kind, data, "/a/1") == 2
    with pytest.raises(error):
        read(kind, data, path)


@pytest.mark.parametrize(("kind", "make"), [("json", json.dumps), ("msgpack", msgpack.packb)])
def test_an_answer_that_is_too_large_is_none(kind: str, make: Callable[[Any], Any]) -> None:
    made = make({"long": "x" * (8 << 20), "short": "y"})
    data = made.encode() if isinstance(made, str) else made
    with pytest.raises(RangeTooLarge):
        read(kind, data)
    assert read(kind, data, "/short") == "y"


@pytest.mark.parametrize("kind", ["json", "msgpack", "vuer_msg"])
def test_data_and_value_together_are_refused(kind: str) -> None:
    with pytest.raises(Refused, match="both"):
        examine_content(kind, BytesSource(b"\xc0"), Hints(payload={"value": None}), LIMITS)
    with pytest.raises(Refused) as caught:
        encode_value(kind, {}, LIMITS)
    assert caught.value.code == "missing_field"


def test_a_value_that_nests_too_deep_is_refused() -> None:
    value: Any = None
    for _ in range(2000):
        value = [value]
    for kind in ("json", "msgpack", "vuer_msg"):
        with pytest.raises(Refused) as caught:
            encoded(kind, value)
        assert caught.value.code == "too_deep"
