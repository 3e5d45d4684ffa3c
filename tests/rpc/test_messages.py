"""JSON-RPC 2.0 as data."""

from typing import Any

import pytest

from datamanager.errors import Refused
from datamanager.ingest.rpc.messages import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    RpcError,
    check_methods,
    parse_answer,
    parse_call,
)

GOOD = {"jsonrpc": "2.0", "id": "c-1", "method": "arm.home", "params": {"fast": True}}


def test_a_request_is_read() -> None:
    call = parse_call(GOOD)
    assert (call.method, call.params, call.id, call.is_notification) == ("arm.home", {"fast": True}, "c-1", False)
    assert parse_call({**GOOD, "id": None}).is_notification is False
    assert parse_call({"jsonrpc": "2.0", "method": "x"}).is_notification is True
    assert parse_call({"jsonrpc": "2.0", "method": "x", "params": [1]}).params == [1]


@pytest.mark.parametrize(
    ("message", "code", "call_id"),
    [
        ([], INVALID_REQUEST, None),
        ("call", INVALID_REQUEST, None),
        ({**GOOD, "id": True}, INVALID_REQUEST, None),
        ({**GOOD, "id": {}}, INVALID_REQUEST, None),
        ({**GOOD, "id": "x" * 257}, INVALID_REQUEST, None),
        ({**GOOD, "jsonrpc": "1.0"}, INVALID_REQUEST, "c-1"),
        ({**GOOD, "method": 7}, INVALID_REQUEST, "c-1"),
        ({"jsonrpc": "2.0", "id": 4}, INVALID_REQUEST, 4),
        ({**GOOD, "params": "fast"}, INVALID_PARAMS, "c-1"),
        ({**GOOD, "params": 0}, INVALID_PARAMS, "c-1"),
    ],
)
def test_what_is_no_request_is_told_with_its_id_where_there_is_one(message: Any, code: int, call_id: Any) -> None:
    with pytest.raises(RpcError) as error:
        parse_call(message)
    assert (error.value.code, error.value.call_id) == (code, call_id)


def test_answers_of_a_robot_are_made_sound() -> None:
    assert parse_answer({"result": None}) == {"result": None}
    error = {"code": -5, "message": "no", "data": [1], "more": 1}
    assert parse_answer({"error": error}) == {"error": {"code": -5, "message": "no", "data": [1]}}
    for bad in ("no", {"code": "x", "message": "no"}, {"code": True, "message": "no"}, {"code": 1}):
        assert parse_answer({"error": bad})["error"]["code"] == -32603


def test_methods_are_names_or_maps_with_a_name() -> None:
    assert check_methods(["a", {"name": "b.c", "params": {}}, "a"]) == ("a", "b.c")
    assert len(check_methods([f"m{i}" for i in range(1000)])) == 1000


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a", "wrong_type"),
        ([1], "wrong_type"),
        ([{}], "wrong_type"),
        (["$/cancelRequest"], "bad_id"),
        ([""], "bad_id"),
        (["a b"], "bad_id"),
        (["x" * 129], "bad_id"),
        ([f"m{i}" for i in range(1001)], "too_large"),
    ],
)
def test_other_methods_are_refused(value: Any, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_methods(value)
    assert refused.value.code == code
