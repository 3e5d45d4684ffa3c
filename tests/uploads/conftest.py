"""A server whose uploads go in small parts and are soon given up."""

from collections.abc import Callable, Iterator

import pytest
from support.processes import served

from datamanager.config import Config


@pytest.fixture(scope="session")
def upload_config(new_config: Callable[[], Config]) -> Config:
    """The settings of `upload_server`, but for those of uploads."""
    return new_config()


@pytest.fixture(scope="session")
def upload_server(upload_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server that all tests of uploads share."""
    settings = {"PART_BYTES": str(5 * 1024 * 1024), "TTL_S": "3", "SWEEP_S": "0.2", "LEASE_S": "2"}
    environ = {f"DATAMANAGER_UPLOAD_{name}": value for name, value in settings.items()}
    with served(upload_config, log=tmp_path_factory.mktemp("uploads") / "serve.log", **environ) as url:
        yield url
