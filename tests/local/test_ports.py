import socket
from collections.abc import Iterator

import pytest

from datamanager.errors import LocalServerError
from datamanager.local import ports
from datamanager.local.ports import HeldPorts, is_free


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def held() -> Iterator[HeldPorts]:
    with HeldPorts() as held:
        yield held


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_the_port_of_the_last_start_is_taken_again() -> None:
    with HeldPorts() as first:
        port = first.choose()
    with HeldPorts() as second:
        assert second.choose(port) == port


def test_another_port_is_taken_when_somebody_listens_on_the_last_one(held: HeldPorts, taken_port: int) -> None:
    assert held.choose(taken_port) != taken_port


def test_another_port_is_taken_when_somebody_holds_the_last_one_though_nobody_listens(held: HeldPorts) -> None:
    with HeldPorts() as other:
        port = other.choose()
        assert is_free(port)
        assert held.choose(port) != port


def test_a_port_is_given_once(held: HeldPorts) -> None:
    port = held.choose()
    assert held.choose(port) != port


def test_ports_lie_where_no_outgoing_connection_takes_them(held: HeldPorts) -> None:
    assert all(20_000 <= held.choose() < 32_000 for _ in range(50))


def test_a_port_with_a_twin_is_free_at_both(held: HeldPorts, taken_port: int) -> None:
    port = held.choose(taken_port - 100, twin_offset=100)
    assert port != taken_port - 100
    assert not held.hold(port)
    assert not held.hold(port + 100)


def test_of_two_ports_both_are_taken_or_none(held: HeldPorts) -> None:
    with HeldPorts() as other:
        port = other.choose()
        assert not held.hold(port - 1, port)
        assert other.hold(port - 1)


def test_no_free_port_is_an_error(held: HeldPorts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_TRIES", 0)
    with pytest.raises(LocalServerError, match="no free port"):
        held.choose()
