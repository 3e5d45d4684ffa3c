import socket

import pytest

from datamanager.errors import LocalServerError
from datamanager.local import ports
from datamanager.local.ports import choose_port, is_free


@pytest.fixture
def taken_port() -> int:  # type: ignore[misc]  # pytest makes it a generator's value
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_the_port_of_the_last_start_is_taken_again() -> None:
    port = choose_port(None, ())
    assert choose_port(port, ()) == port


def test_another_port_is_taken_when_the_last_one_is_in_use(taken_port: int) -> None:
    assert choose_port(taken_port, ()) != taken_port


def test_a_port_is_given_once() -> None:
    port = choose_port(None, ())
    assert choose_port(port, {port}) != port


def test_ports_lie_where_no_outgoing_connection_takes_them() -> None:
    assert all(20_000 <= choose_port(None, ()) < 32_000 for _ in range(50))


def test_a_port_with_a_twin_is_free_at_both(taken_port: int) -> None:
    port = choose_port(taken_port - 100, (), twin_offset=100)
    assert port != taken_port - 100
    assert is_free(port + 100)


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_TRIES", 0)
    with pytest.raises(LocalServerError, match="no free port"):
        choose_port(None, ())
