"""The command `datamanager local` with real servers: killed, started again, refused, replaced."""

import itertools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import obstore
import psutil
import pymongo
import pytest
import redis
from obstore.store import S3Store
from support.processes import clean_environ, datamanager, wait_until

from datamanager.config import Config
from datamanager.local.state import LocalState, read_state

NAMES = {"mongod", "weed", "redis-server"}


@contextmanager
def _local(folder: Path, **more: str) -> Iterator[tuple[psutil.Process, LocalState]]:
    """A running `datamanager local` on `folder`."""
    log = folder.parent / f"{folder.name}.{time.monotonic_ns()}.log"
    with datamanager("local", "--data-dir", str(folder), log=log, env=clean_environ(**more)) as process:
        wait_until(lambda: "\nready" in log.read_text(), timeout_s=60, process=process, log=log)
        state = read_state(folder)
        assert state is not None
        yield psutil.Process(process.pid), state


def _children(parent: psutil.Process) -> dict[str, psutil.Process]:
    """The live children by the name of their program."""
    found = {}
    for child in parent.children(recursive=True):
        try:
            found[Path(child.cmdline()[0].split(" ", 1)[0]).name] = child
        except (psutil.NoSuchProcess, IndexError):  # it ends while we look
            continue
    return found


def _ended(process: psutil.Process) -> bool:
    """Whether it has ended, collected by its new parent or not yet."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _bucket(state: LocalState, **more: str) -> S3Store:
    return S3Store(
        "kept",
        endpoint=state.s3_endpoint,
        region="us-east-1",
        access_key_id=state.s3_access_key,
        secret_access_key=state.s3_secret_key,
        client_options={"allow_http": True},
        **more,
    )


def _mongo(state: LocalState) -> pymongo.MongoClient[dict[str, object]]:
    return pymongo.MongoClient(state.mongo_url, serverSelectionTimeoutMS=20_000)


def _write(state: LocalState, name: str) -> None:
    with _mongo(state) as client:
        client.kept.get_collection("a", write_concern=pymongo.WriteConcern(j=True)).insert_one({"_id": name})
    obstore.put(_bucket(state), name, name.encode() * 1000)


def _holds(state: LocalState, name: str) -> bool:
    with _mongo(state) as client:
        kept = client.kept.a.find_one({"_id": name}) is not None
    return kept and bytes(obstore.get(_bucket(state), name).bytes()) == name.encode() * 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers") / "data"


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[tuple[psutil.Process, LocalState]]:
    with _local(folder) as (process, state):
        _write(state, "first")
        yield process, state


def test_only_loopback_is_listened_on(running: tuple[psutil.Process, LocalState]) -> None:
    children = _children(running[0])
    assert children.keys() == NAMES

    def listening() -> list[str]:
        connections = itertools.chain(*(child.net_connections("inet") for child in children.values()))
        return [socket.laddr.ip for socket in connections if socket.status == psutil.CONN_LISTEN]

    wait_until(lambda: len(listening()) == len(running[1].ports), timeout_s=5)  # weed opens its last one late
    assert set(listening()) == {"127.0.0.1"}


def test_the_data_folder_and_its_keys_are_the_owners_alone(
    running: tuple[psutil.Process, LocalState], folder: Path
) -> None:
    del running
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "local.json").stat().st_mode & 0o777 == 0o600


def test_s3_refuses_another_key(running: tuple[psutil.Process, LocalState]) -> None:
    with pytest.raises(obstore.exceptions.BaseError):
        obstore.put(_bucket(replace(running[1], s3_secret_key="wrong")), "a", b"")  # noqa: S106  # no real one


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_killed_server_comes_back_within_seconds_on_its_port_with_its_data(
    running: tuple[psutil.Process, LocalState], name: str
) -> None:
    process, state = running
    _write(state, name)
    killed = _children(process)[name]
    killed.kill()
    wait_until(lambda: (now := _children(process).get(name)) is not None and now.pid != killed.pid, timeout_s=5)
    wait_until(lambda: redis.Redis.from_url(state.redis_url, retry=None).ping() if name == "redis-server" else True)
    give_up_s = time.monotonic() + 15
    while True:
        try:
            assert _holds(state, "first")
            assert _holds(state, name)
            _write(state, f"{name} again")
        except (obstore.exceptions.BaseError, pymongo.errors.PyMongoError):
            assert time.monotonic() < give_up_s
            time.sleep(0.1)
        else:
            return


def test_a_second_start_on_a_folder_in_use_is_refused(
    running: tuple[psutil.Process, LocalState], folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with datamanager("local", "--data-dir", str(folder), log=log, env=clean_environ()) as second:
        assert second.wait(10) == 2
    assert f"in use by another `datamanager local` or `up` (process {running[0].pid})" in log.read_text()


def test_kill_9_leaves_nothing_behind_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    with _local(tmp_path / "data") as (process, before):
        _write(before, "before")
        children = _children(process)
        assert children.keys() == NAMES
        process.kill()
        wait_until(lambda: all(map(_ended, children.values())), timeout_s=5)
    with _local(tmp_path / "data") as (process, after):
        assert _holds(after, "before")
        assert after == before  # the keys, and the ports, which nobody took
        children = _children(process)
        stopped_s = time.monotonic()
        process.terminate()
        assert process.wait(15) in (0, None)
        assert time.monotonic() - stopped_s < 10
        assert all(map(_ended, children.values()))


def test_sigint_ends_it_with_status_0(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "data"
    with datamanager("local", "--data-dir", str(folder), log=log, env=clean_environ()) as process:
        wait_until(lambda: "\nready" in log.read_text(), timeout_s=60, process=process, log=log)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    state = read_state(folder)
    assert state is not None
    assert [port for port in state.ports.values() if list(Path("/tmp").glob(f"seaweedfs-*-{port}.sock"))] == []  # noqa: S108  # weed's choice
    last = (folder / "logs" / "mongod.log").read_text().splitlines()[-1]
    assert '"msg":"mongod shutdown complete"' in last or '"msg":"Shutting down"' in last


def test_a_server_that_the_environment_names_is_not_started(tmp_path: Path, local_servers: Config) -> None:
    named = {
        "DATAMANAGER_MONGO_URL": local_servers.mongo.url,
        "DATAMANAGER_S3_ENDPOINT": local_servers.s3.endpoint,
        "DATAMANAGER_S3_ACCESS_KEY": local_servers.s3.access_key,
        "DATAMANAGER_S3_SECRET_KEY": local_servers.s3.secret_key,
        "DATAMANAGER_REDIS_URL": "",  # names none
    }
    with _local(tmp_path / "data", **named) as (process, state):
        assert _children(process).keys() == {"redis-server"}
        assert {name: value for name, value in state.environ().items() if named.get(name)} == {
            name: value for name, value in named.items() if value
        }
        assert state.redis_url != local_servers.redis.url
        _write(state, f"replaced {os.getpid()}")
