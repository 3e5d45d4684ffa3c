"""The command `datamanager up`: everything in one, and all of it gone at the end."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from support.processes import clean_environ, datamanager, http_status, wait_until
from websockets.sync.client import connect

from datamanager.errors import ConfigError
from datamanager.local.up import _check_port

ROLES = re.compile(r"^\S*?(mongod|weed|redis-server) |(?<![\w-])(serve|worker)(?![\w-])")


class Running(NamedTuple):
    up: psutil.Process
    url: str
    log: Path


def _url(log: Path) -> str:
    found = re.search(r"(http://\S+)/ready", log.read_text())
    assert found is not None
    return found[1]


def _roles(up: psutil.Process) -> dict[str, int]:
    """Every process of `up` by the name that its command line gives it."""
    found = {}
    for child in up.children(recursive=True):
        try:
            match = ROLES.search(" ".join(child.cmdline()) + " ")
        except psutil.NoSuchProcess:  # it ends while we look
            continue
        if match and child.status() != psutil.STATUS_ZOMBIE:
            found[match[1] or match[2]] = child.pid
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("up")
    log = folder / "log"
    with datamanager("up", "--port", "0", "--data-dir", str(folder / "data"), log=log, env=clean_environ()) as process:
        wait_until(lambda: "\nready after" in log.read_text(), timeout_s=60, process=process, log=log)
        yield Running(psutil.Process(process.pid), _url(log), log)


def test_it_says_where_to_look_and_that_is_where_it_is(running: Running) -> None:
    assert f"{running.url}/ready" in running.log.read_text()
    assert http_status(f"{running.url}/ready") == 200
    assert _roles(running.up).keys() == {"mongod", "weed", "redis-server", "serve", "worker"}


@pytest.mark.parametrize("role", ["serve", "worker", "mongod", "weed", "redis-server"])
def test_what_is_killed_comes_back_and_all_is_well_again(running: Running, role: str) -> None:
    killed = _roles(running.up)[role]
    psutil.Process(killed).kill()
    wait_until(lambda: _roles(running.up).get(role, killed) != killed, timeout_s=5)
    wait_until(lambda: http_status(f"{running.url}/ready") == 200, timeout_s=20, log=running.log)
    assert _roles(running.up).keys() == {"mongod", "weed", "redis-server", "serve", "worker"}


def test_sigterm_ends_everything_in_time_while_a_client_is_connected(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with datamanager(
        "up", "--port", "0", "--data-dir", str(tmp_path / "data"), log=log, env=clean_environ()
    ) as process:
        wait_until(lambda: "\nready after" in log.read_text(), timeout_s=60, process=process, log=log)
        children = [psutil.Process(pid) for pid in _roles(psutil.Process(process.pid)).values()]
        with connect(f"{_url(log).replace('http', 'ws', 1)}/api/v1/ingest"):
            started_s = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert time.monotonic() - started_s < 15
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert "does not end within" not in log.read_text()


def test_a_taken_port_is_an_error_before_anything_is_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ("up", "--port", port, "--data-dir", str(tmp_path / "data"))
        with datamanager(*arguments, log=log, env=clean_environ()) as process:
            assert process.wait(20) == 2
    assert log.read_text() == (
        f"datamanager: port {port} on 127.0.0.1 is taken by another program; choose another with --port\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [("--port", "70000"), ("--workers", "-1")])
def test_an_option_out_of_bounds_is_refused(tmp_path: Path, arguments: tuple[str, str]) -> None:
    log = tmp_path / "log"
    with datamanager("up", *arguments, log=log, env=clean_environ()) as process:
        assert process.wait(20) == 2
    assert arguments[1] in log.read_text()


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(ConfigError, match=r"DATAMANAGER_HOST='192\.0\.2\.1' with port 1234 cannot be listened on"):
        _check_port("192.0.2.1", 1234)
