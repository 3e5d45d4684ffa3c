"""YAML by the letter: what libyaml refuses and may be said, what it takes and may not, and that the two agree else."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from yaml._yaml import CParser

from datamanager.errors import Refused
from datamanager.kinds.documents.yaml_events import yaml_events
from datamanager.kinds.documents.yaml_grammar import Grammar
from datamanager.kinds.documents.yaml_value import yaml_value
from datamanager.kinds.documents.yaml_walk import walk_yaml


def said(event: Any) -> tuple[Any, ...]:
    """What an event says, without where it stands and how it was written."""
    if isinstance(event, yaml.ScalarEvent):
        return ("scalar", event.anchor, event.tag, event.implicit[0], event.value)
    return (type(event).__name__, getattr(event, "anchor", None), getattr(event, "tag", None))


def by_libyaml(text: str) -> list[tuple[Any, ...]]:
    events = iter(CParser(text.encode()).get_event, None)
    return [said(event) for event in events if not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent)]


def by_the_letter(text: str) -> list[tuple[Any, ...]]:
    grammar = Grammar(text, 64)
    assert grammar.stream(), text[grammar.furthest :]
    return [said(event) for event in grammar.events]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: [b:c, d]}", {"a": ["b:c", "d"]}),
        ('{"a"\n: b, "c":d, : e}', {"a": "b", "c": "d", "null": "e"}),
        (": a\n", {"null": "a"}),
        ("- : 1\n-\n  : 2\n", [{"null": 1}, {"null": 2}]),
        ("[?a, -b, :c]", ["?a", "-b", ":c"]),
        ("[? a: b, {? c}]", [{"a": "b"}, {"c": None}]),
        ("\t[\n\ta\n\t]\n", ["a"]),
        ("a: |\n \ttab\n", {"a": "\ttab\n"}),
        (">\nfolded\nlines\n", "folded lines\n"),
        ("--- |\n%no directive\n...\n", "%no directive\n"),
        ("%FOO x\n---\na\n...\n# nothing more\n", "a"),
        ("*a : x\n...\n", Refused),
        ("&ä [1]", [1]),
        ('"a\\\n  b\\x41\\u00e4"', "abAä"),
        ("a:\n- b\n-  - c\n   - d\n", {"a": ["b", ["c", "d"]]}),
        ("? |\n  key\n: - one\n  - two\n", {"key\n": ["one", "two"]}),
        ("a: >-\n  x\n\n   more\n  y\n\n", {"a": "x\n\n more\ny"}),
        ("a: |+\n x\n\nb: |2\n   y\n", {"a": "x\n\n", "b": " y\n"}),
        ("!!map\n&a !!str k: v\n", {"k": "v"}),
        ("%TAG !e! tag:e,2000:\n---\n!e!x [1]\n", {"$tag": "tag:e,2000:x", "value": [1]}),
        ("a\n---\nb\n", ["a", "b"]),
        ("--- # nothing\n--- {}\n", [None, {}]),
    ],
)
def test_what_the_specification_allows_is_read(text: str, value: Any) -> None:
    data = text.encode()
    if value is Refused:
        with pytest.raises(Refused):
            walk_yaml(data, 64)
        return
    walk_yaml(data, 64)
    assert _plain(yaml_value(data)) == value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {"$tag": value.tag, "value": _plain(value.value)} if hasattr(value, "tag") else value


@pytest.mark.parametrize(
    "text",
    [
        "a: [b,\nc]\n",
        "[a, b]#c\n",
        "[a,#c\nb]\n",
        "- [-, -]\n",
        'k: "a\nb"\n',
        "a #c\n%YAML 1.2\n---\nb\n",
        "%YAML 1.2\n%YAML 1.2\n---\n",
        "%YAML 1.1#...\n---\n",
        "a: >\n \n  \n   \n b\n",
        'a: "b"#c\n',
        "a: >#c\n b\n",
        "- [\n\tfoo\n ]\n\t- x\n",
    ],
)
def test_what_the_specification_forbids_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        walk_yaml(text.encode(), 64)
    assert caught.value.code == "bad_payload"
    assert caught.value.offset is not None


@pytest.mark.parametrize("data", [b": a\n\xe3\x82", b"{a: [b:c]}\n\xff", b": a\n# \x01\n", b": a\n# \x7f\n"])
def test_what_libyaml_did_not_come_to_is_looked_at_too(data: bytes) -> None:
    with pytest.raises(Refused):
        walk_yaml(data, 64)


def test_a_long_stream_is_what_libyaml_says() -> None:
    long = b"# " + b"x" * 20_000 + b"\n[a,#c\nb]\n"
    assert len(list(yaml_events(long, 64, strict=True))) == len(list(iter(CParser(long).get_event, None)))


def test_depth_is_bounded_here_too() -> None:
    with pytest.raises(RecursionError):
        Grammar("[" * 70, 64).stream()
    with pytest.raises(Refused) as caught:
        walk_yaml(b"[" * 10_000, 64)
    assert caught.value.code == "too_deep"


# YAML 1.1, and so libyaml, has these for ends of lines, YAML 1.2 has not.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029\ufeff"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60)
@given(
    VALUES,
    st.booleans() | st.none(),
    st.integers(2, 6),
    st.integers(20, 80),
    st.sampled_from([None, "'", '"', "|", ">"]),
)
def test_what_any_writer_writes_both_read_alike(
    value: Any, flow: Any, indent: int, width: int, style: str | None
) -> None:
    text = yaml.dump(
        value, default_flow_style=flow, indent=indent, width=width, default_style=style, allow_unicode=True
    )
    assert by_the_letter(text) == by_libyaml(text)


@settings(max_examples=150)
@given(st.text(alphabet="ab-?:,[]{}#&*!|>'\"% \n\t~0.", max_size=25))
def test_any_text_is_read_or_refused(text: str) -> None:
    grammar = Grammar(text, 64)
    assert grammar.stream() in (True, False)
    assert 0 <= grammar.at <= len(text)
