"""However a body is cut into pieces, the same messages come out of it."""

import itertools
import json
import time
from collections.abc import Iterable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.ingest.framing import Framer, MsgpackFramer, NdjsonFramer

VALUES = st.lists(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5) | st.binary(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=6,
)


def cut(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(c % (len(body) + 1) for c in cuts)})
    return [body[a:b] for a, b in itertools.pairwise(edges)]


def framed(framer: Framer, pieces: Iterable[bytes]) -> list[bytes | Refused]:
    found = [message for piece in pieces for message in framer.feed(piece)]
    return found + list(framer.end())


def code(found: object) -> str:
    assert isinstance(found, Refused)
    return found.code


@given(VALUES, st.lists(st.integers(0, 10_000), max_size=20))
def test_msgpack_values_come_out_whole_whatever_the_pieces(values: list[object], cuts: list[int]) -> None:
    packed = [msgpack.packb(value) for value in values]
    assert framed(MsgpackFramer(10_000), cut(b"".join(packed), cuts)) == packed


@given(st.lists(st.text(max_size=8).map(json.dumps), max_size=8), st.lists(st.integers(0, 500), max_size=20))
def test_lines_come_out_whole_whatever_the_pieces_and_empty_ones_do_not_count(
    lines: list[str], cuts: list[int]
) -> None:
    body = "\n\r\n".join(lines).encode()
    found = framed(NdjsonFramer(10_000), cut(body, cuts))
    assert [m.strip() for m in found if isinstance(m, bytes)] == [line.encode() for line in lines]


def test_a_line_that_is_too_large_is_named_and_the_next_one_is_read() -> None:
    body = b"1\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\n2"
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        found = framed(NdjsonFramer(10), pieces)
        assert [m if isinstance(m, bytes) else m.code for m in found] == [b"1", "too_large", b"y" * 10, b"2"]


def test_memory_is_bounded_while_a_line_without_end_comes() -> None:
    framer = NdjsonFramer(1000)
    found = [message for _ in range(100) for message in framer.feed(b"x" * 999)]
    assert [code(m) for m in found] == ["too_large"]
    assert len(framer._buffer) <= 1000
    assert framer.partial


def test_a_value_without_end_ends_the_body() -> None:
    framer = MsgpackFramer(1000)
    assert list(framer.feed(msgpack.packb(1) + b"\xc6\xff\xff\xff\xff")) == [b"\x01"]
    for _ in range(9):
        assert list(framer.feed(b"x" * 100)) == []
    with pytest.raises(Refused, match="more than the 1000 bytes") as refused:
        list(framer.feed(b"x" * 100))
    assert refused.value.code == "too_large"
    assert not framer.partial


def test_what_is_no_msgpack_ends_the_body_and_says_where() -> None:
    framer = MsgpackFramer(1000)
    list(framer.feed(msgpack.packb("abc")))
    with pytest.raises(Refused) as refused:
        list(framer.feed(msgpack.packb(5) + b"\xc1"))
    assert (refused.value.code, refused.value.offset) == ("malformed", 5)


def test_a_body_cut_off_is_told() -> None:
    assert [code(m) for m in framed(MsgpackFramer(100), [msgpack.packb("abc")[:-1]])] == ["malformed"]
    assert framed(NdjsonFramer(100), [b'{"x": 1}']) == [b'{"x": 1}']


def test_broken_text_is_passed_on_for_the_decoder_to_refuse() -> None:
    broken = msgpack.packb({"a": "bcd"}).replace(b"bcd", b"\xff\xfe\xfd")
    assert framed(MsgpackFramer(100), [broken, msgpack.packb(1)]) == [broken, b"\x01"]


@pytest.mark.alone
def test_a_large_value_in_many_pieces_is_walked_once() -> None:
    body = msgpack.packb([1] * 2_000_000)
    began = time.perf_counter()
    assert framed(MsgpackFramer(4_000_000), [body[i : i + 1000] for i in range(0, len(body), 1000)]) == [body]
    assert time.perf_counter() - began < 2  # walked again for each piece it takes half a minute
