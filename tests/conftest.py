"""Fixtures for every test: real servers, started once, and settings that keep tests apart."""

import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from support.processes import clean_environ, datamanager, datamanager_worker, served, wait_until

from datamanager.config import Config, load_config
from datamanager.local.state import LocalState, read_state

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests open models by themselves too

settings.register_profile("project", deadline=None)  # how long an example takes hangs on what else the machine does
settings.load_profile("project")

_LONG = (
    "playback/test_schema.py",
    "durability/",
    "worker/test_worker.py",
    "client/test_deaths.py",
    "simulator/test_demo.py",
    "events/test_alerts.py",
    "client/test_samples.py",
    "uploads/",
    "enrich/",
    "scheduling/test_policy.py",
    "ingest/test_overload.py",
)
"""Files that wait more than they compute: they begin first, so that none of them is left over when all else is done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of long files first; else all stay in their order."""
    here = Path(__file__).parent
    items.sort(key=lambda item: not item.path.relative_to(here).as_posix().startswith(_LONG))


RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "recordings"
"""Real recordings, beside the repository; not part of it."""


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; skips the test where there is none."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"the real recordings are not here ({RECORDINGS})")
    return RECORDINGS


@pytest.fixture(scope="session")
def local_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a running `datamanager local`."""
    folder = tmp_path_factory.mktemp("local")
    log = folder / "console.log"
    with datamanager("local", "--data-dir", str(folder), log=log, env=clean_environ()) as process:
        wait_until(lambda: "\nready" in log.read_text(), timeout_s=60, process=process, log=log)
        yield folder


@pytest.fixture(scope="session")
def local_servers(local_folder: Path) -> Config:
    """Settings that lead to real servers: MongoDB, S3 and Redis."""
    state = read_state(local_folder)
    assert isinstance(state, LocalState)
    return load_config(state.environ())


@pytest.fixture(scope="session")
def new_config(local_servers: Config) -> Callable[[], Config]:
    """Makes settings with a database, a bucket and a Redis database that nobody else has."""
    numbers = itertools.count(1)

    def make() -> Config:
        n = next(numbers)
        return replace(
            local_servers,
            mongo=replace(local_servers.mongo, database=f"test_{n}"),
            s3=replace(local_servers.s3, bucket=f"test-{n:03d}"),
            redis=replace(local_servers.redis, url=re.sub(r"/\d+$", f"/{n}", local_servers.redis.url)),
        )

    return make


@pytest.fixture
def config(new_config: Callable[[], Config]) -> Config:
    """Settings with an empty database, bucket and Redis database, for this test alone."""
    return new_config()


@pytest.fixture(scope="session")
def server_config(new_config: Callable[[], Config]) -> Config:
    """The settings of `server` and `worker`."""
    return new_config()


@pytest.fixture(scope="session")
def server(server_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a running `datamanager serve` that all tests share: use your own robots and sessions."""
    with served(server_config, log=tmp_path_factory.mktemp("serve") / "serve.log") as url:
        yield url


@pytest.fixture(scope="session")
def worker(server_config: Config, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # noqa: ARG001  # the server makes the schema
    """A running `datamanager worker` beside `server`."""
    with datamanager_worker(server_config, log=tmp_path_factory.mktemp("worker") / "worker.log"):
        yield
