"""One connection's frames become events: who sends, what, and what is refused before it is known what it is."""

import json
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.config import IngestConfig
from datamanager.ingest.protocol import Bye, Data, Event, Hello, IngestProtocol, Refusal, Rpc

HELLO = {"type": "hello", "robot_id": "r", "session_id": "s", "producer": "p"}
GOOD: dict[str, Any] = {"data_type": "log", "payload": {}}


def events(protocol: IngestProtocol, *values: Any, text: bool = False) -> list[Event]:
    frames = [json.dumps(v) if text else msgpack.packb(v) for v in values]
    return [event for frame in frames for event in protocol.receive(frame, text=text)]


def fresh(**limits: int) -> IngestProtocol:
    return IngestProtocol(replace(IngestConfig(), **limits))


def codes(found: list[Event]) -> list[str]:
    return [e.refused.code if isinstance(e, Refusal) else type(e).__name__ for e in found]


def test_a_hello_says_who_sends_and_data_need_not_say_it_again() -> None:
    hello, data = events(fresh(), HELLO | {"config": {"a": 1}}, GOOD)
    assert hello == Hello("r", "s", "p", {"config": {"a": 1}})
    assert isinstance(data, Data)
    assert (data.robot_id, data.session_id, data.producer, len(data.messages)) == ("r", "s", "p", 1)


def test_without_a_hello_the_first_message_fixes_the_session() -> None:
    protocol = fresh()
    where = {"robot_id": "r", "session_id": "s"}
    assert codes(events(protocol, GOOD)) == ["missing_field"]
    assert codes(events(protocol, GOOD | {"robot_id": "r"})) == ["missing_field"]
    [data] = events(protocol, GOOD | where)
    assert isinstance(data, Data)
    assert data.producer == "default"
    assert codes(events(protocol, GOOD, GOOD | {"robot_id": "other"}, GOOD | where | {"session_id": "other"})) == [
        "Data",
        "other_session",
        "other_session",
    ]
    assert codes(events(protocol, HELLO | {"session_id": "other"})) == ["other_session"]
    assert codes(events(protocol, HELLO)) == ["Hello"]


def test_a_batch_is_parted_by_producer_in_its_order_with_the_bad_ones_in_their_places() -> None:
    protocol = fresh()
    events(protocol, HELLO)
    messages: list[Any] = [
        GOOD,
        GOOD,
        GOOD | {"producer": "q"},
        {"seq": 5, "stream": "x"},
        GOOD | {"producer": "q"},
        GOOD | {"producer": "a b", "seq": 6, "stream": "x"},
        GOOD | {"robot_id": "z", "seq": 7},
        GOOD,
    ]
    found = events(protocol, {"messages": messages})
    assert [(e.producer, len(e.messages)) if isinstance(e, Data) else codes([e])[0] for e in found] == [
        ("p", 2),
        ("q", 1),
        "missing_field",
        ("q", 1),
        "bad_id",
        "other_session",
        ("p", 1),
    ]
    refusals = [(e.stream, e.seq, e.producer) for e in found if isinstance(e, Refusal)]
    assert refusals == [("x", 5, "p"), ("x", 6, None), (None, 7, None)]  # numbers of others are nobody's here


def test_a_bad_message_of_another_session_or_producer_is_told_from_ones_own() -> None:
    protocol = fresh()
    events(protocol, HELLO)
    bad = {"seq": 1, "stream": "x", "data_type": "log"}
    found = events(protocol, bad, bad | {"producer": "q"}, bad | {"session_id": "other"}, bad | {"robot_id": 5})
    assert [e.producer for e in found if isinstance(e, Refusal)] == ["p", "q", None, None]


def test_control_messages_are_told_from_data() -> None:
    protocol = fresh()
    assert codes(events(protocol, {"type": "bye"}, {"type": "rpc", "id": 1}, {"type": "x"}, {"type": 5})) == [
        "Bye",
        "Rpc",
        "malformed",
        "wrong_type",
    ]
    [data] = events(protocol, GOOD | {"type": "bye", "robot_id": "r", "session_id": "s"})
    assert isinstance(data, Data)  # a data message may have a field of that name
    assert Bye() == Bye()
    assert Rpc({}) == Rpc({})


@pytest.mark.parametrize("text", [True, False])
def test_frames_are_taken_up_to_the_limit(text: bool) -> None:
    frame = json.dumps(HELLO) if text else msgpack.packb(HELLO)
    assert codes(list(fresh(max_message_bytes=len(frame)).receive(frame, text=text))) == ["Hello"]
    [refusal] = fresh(max_message_bytes=len(frame) - 1).receive(frame, text=text)
    assert codes([refusal]) == ["too_large"]


@pytest.mark.parametrize("form", ["slow", "fast"])
def test_batches_are_taken_up_to_the_limit(form: str) -> None:
    for n, wanted in ((5, ["Data"]), (6, ["too_large"])):
        protocol = fresh(max_batch_messages=5)
        events(protocol, HELLO)
        padding = {"batch_id": "x" * 300} if form == "slow" else {}  # so `messages` stands far from the beginning
        assert codes(events(protocol, padding | {"messages": [GOOD] * n})) == wanted


def test_an_empty_batch_is_nothing() -> None:
    protocol = fresh()
    assert events(protocol, HELLO, {"messages": []})[1:] == []


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "data_type payload stream seq t_ns timestamp robot_id producer metadata type messages".split()
            )
            | st.text(max_size=3)
            | st.integers(0, 3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.lists(ANYTHING, max_size=4))
def test_no_value_at_all_is_more_than_refused(values: list[Any]) -> None:
    protocol = fresh()
    for event in events(protocol, *values, HELLO, *values):
        if isinstance(event, Refusal):
            assert event.refused.code
            assert isinstance(event.raw, bytes)


@given(st.lists(st.binary(max_size=20), max_size=4), st.booleans())
def test_no_bytes_at_all_are_more_than_refused(frames: list[bytes], text: bool) -> None:
    protocol = fresh()
    for frame in frames:
        for event in protocol.receive(frame, text=text):
            assert codes([event])
