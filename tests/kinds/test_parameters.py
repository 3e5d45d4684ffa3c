"""Kind `parameters`: what is taken, the bytes that are kept, and what several come to."""

import json
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.parameters import encode, examine
from datamanager.kinds.parameters.keys import flatten
from datamanager.kinds.parameters.replay import apply_all, difference, merge
from datamanager.kinds.source import BytesSource

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "parameters"
LIMITS = KindLimits()


def looked_at(data: bytes, limits: KindLimits = LIMITS, **payload: Any) -> Found:
    return examine(BytesSource(data), Hints(payload=payload), limits)


def refused(data: bytes, limits: KindLimits = LIMITS, **payload: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        looked_at(data, limits, **payload)
    return caught.value


@pytest.mark.parametrize("name", ["patch.json", "nav.yaml"])
def test_golden_files_are_found_to_be_what_they_were(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    assert looked_at(data).metadata == expected["metadata"]
    assert json.loads(apply_all(b"{}", [("merge", BytesSource(data))])) == expected["values"]


def test_the_bytes_kept_are_canonical_and_the_same_over_json_and_msgpack() -> None:
    payload = {"mode": "replace", "values": {"b": {"y": 1.5, "x": [1, None]}, "a": "ü"}}
    other = {"values": {"a": "ü", "b": {"x": [1, None], "y": 1.5}}, "mode": "replace"}
    kept = encode(payload, LIMITS)
    assert kept == '{"mode":"replace","values":{"a":"ü","b":{"x":[1,null],"y":1.5}}}'.encode()
    assert (
        kept == encode(json.loads(json.dumps(other)), LIMITS) == encode(msgpack.unpackb(msgpack.packb(other)), LIMITS)
    )
    assert looked_at(kept).fields == looked_at(kept, mode="merge").fields == {"parameters": {"mode": "replace"}}


def test_what_json_lacks_becomes_words_and_base64() -> None:
    values = json.loads(encode({"values": {"x": float("nan"), "raw": b"\xff", "n": {5: 1}}}, LIMITS))["values"]
    assert values == {"x": "NaN", "raw": "/w==", "n": {"5": 1}}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "missing_field"),
        ({"values": [1]}, "wrong_type"),
        ({"values": {}, "mode": "patch"}, "bad_payload"),
        ({"values": {}, "mode": 1}, "wrong_type"),
        ({"values": {1: 1, "1": 2}}, "bad_payload"),
        ({"values": {"a": msgspec.msgpack.Ext(5, b"x")}}, "bad_payload"),
    ],
)
def test_a_payload_that_is_none_is_refused(payload: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as caught:
        encode(payload, LIMITS)
    assert caught.value.code == code


@pytest.mark.parametrize(("depth", "is_taken"), [(63, True), (64, True), (65, False)])
def test_depth_is_limited_alike_in_every_form(depth: int, is_taken: bool) -> None:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    document = json.dumps(value).encode()
    yaml = "".join("  " * i + "a:\n" for i in range(depth - 1)) + "  " * (depth - 1) + "a: 1\n"
    if is_taken:
        assert looked_at(encode({"values": value}, LIMITS)).metadata["key_count"] == 1
        looked_at(document)
        looked_at(yaml.encode())
        return
    with pytest.raises(Refused) as caught:
        encode({"values": value}, LIMITS)
    assert {caught.value.code, refused(document).code, refused(yaml.encode()).code} == {"too_deep"}


def test_documents_in_json_and_yaml_are_taken_with_the_mode_beside_them() -> None:
    found = looked_at(b'{"a": {"b.c": 1, "d": []}, "e": {}}', mode="replace")
    assert found.fields == {"parameters": {"mode": "replace"}}
    keys = [{"key": "a.b\\.c", "type": "int"}, {"key": "a.d", "type": "list"}, {"key": "e", "type": "map"}]
    assert found.metadata == {"mode": "replace", "keys": keys, "key_count": 3}
    yaml = looked_at(b"/**:\n  ros__parameters: &p {x: 1.5, on: true}\nother: *p\n")
    assert yaml.metadata["mode"] == "merge"
    assert [k["key"] for k in yaml.metadata["keys"]] == [
        "/**.ros__parameters.x",
        "/**.ros__parameters.on",
        "other.x",
        "other.on",
    ]
    assert looked_at(b"{a: 1}").mime_type == "application/yaml"


def test_keys_are_bounded_and_counted() -> None:
    found = looked_at(json.dumps({f"k{i}": i for i in range(5000)}).encode()).metadata
    assert (len(found["keys"]), found["key_count"]) == (200, 5000)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_payload"),
        (b"[1, 2]", "bad_payload"),
        (b"just text", "bad_payload"),
        (b"a: 1\n---\nb: 2\n", "bad_payload"),
        (b'{"a": 1', "bad_payload"),
        (b'{"a": "\xff"}', "bad_payload"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "kind_mismatch"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "too_deep"),
        (b"a: &a [x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)), "unsafe_content"),
        (b"a: " + b"[" * 10_000, "too_deep"),
    ],
)  # fmt: skip
def test_what_is_no_map_of_parameters_is_refused(data: bytes, code: str) -> None:
    assert refused(data).code == code


def test_the_limit_holds_to_the_byte() -> None:
    data = b'{"a": "' + b"x" * 1000 + b'"}'
    looked_at(data, KindLimits(max_document_bytes=len(data)))
    assert refused(data, KindLimits(max_document_bytes=len(data) - 1)).code == "too_large"


@pytest.mark.parametrize("part", range(1, 10))
def test_a_document_cut_anywhere_is_refused_or_answered(part: int) -> None:
    data = '{"größe": {"x": [1, 2.5, null], "y": "€"}}'.encode()
    assert refused(data[: len(data) * part // 10]).code == "bad_payload"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["c", "d"], {"a": "f"}, {"a": "f"}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    assert merge(target, patch) == result


def test_what_is_replaced_holds_what_it_held_nulls_and_all() -> None:
    patches = [
        ("merge", BytesSource(b'{"a": 1}')),
        ("replace", BytesSource(b'{"b": null}')),
        ("merge", BytesSource(b"c: 2")),
    ]
    assert json.loads(apply_all(b"{}", patches)) == {"b": None, "c": 2}


def test_a_difference_tells_types_apart() -> None:
    before = {"same": [1], "gone": {"x": 1}, "one": 1, "yes": True, "list": [1]}
    after = {"same": [1], "new": {"y": {}}, "one": 1.0, "yes": 1, "list": [2]}
    assert difference(json.dumps(before).encode(), json.dumps(after).encode()) == {
        "added": {"new.y": {}},
        "removed": {"gone.x": 1},
        "changed": {"list": {"from": [1], "to": [2]}, "one": {"from": 1, "to": 1.0}, "yes": {"from": True, "to": 1}},
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
MAP = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(MAP, MAP)
def test_a_difference_names_every_leaf_that_differs(before: dict[str, Any], after: dict[str, Any]) -> None:
    before, after = (json.loads(encode({"values": v}, LIMITS))["values"] for v in (before, after))
    found = difference(json.dumps(before).encode(), json.dumps(after).encode())
    old, new = dict(flatten(before)), dict(flatten(after))
    assert found["added"].keys() == new.keys() - old.keys()
    assert found["removed"].keys() == old.keys() - new.keys()
    again = {**old, **found["added"], **{k: c["to"] for k, c in found["changed"].items()}}
    assert {k: v for k, v in again.items() if k not in found["removed"]} == new


@given(MAP)
def test_any_values_come_back(values: dict[str, Any]) -> None:
    data = encode({"values": values, "mode": "replace"}, LIMITS)
    if "Infinity" not in json.dumps(values):
        assert json.loads(apply_all(b"{}", [("replace", BytesSource(data))])) == values


def test_real_settings_of_robots_are_read(recordings: Path) -> None:
    [nav] = (recordings / "parameters" / "nav2").rglob("*.yaml")
    assert looked_at(nav.read_bytes()).metadata["key_count"] > 100
