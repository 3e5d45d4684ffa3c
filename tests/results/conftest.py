"""A server of the playback routes, and what writes the sessions and results that it reads."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import httpx
import pytest
from support.browse_server import KnownSamples, Recorder, browse_server, open_recorder

from datamanager.config import Config


@pytest.fixture(scope="package")
def browse_config(new_config: Callable[[], Config]) -> Config:
    config = new_config()
    return replace(config, playback=replace(config.playback, similar_max_vectors=500, page_limit=200))


@pytest.fixture(scope="package")
def browse_url(browse_config: Config) -> Iterator[str]:
    """The base URL of a server that all tests of results share: use your own robots."""
    with browse_server(browse_config, KnownSamples()) as url:
        yield url


@pytest.fixture
async def http(browse_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{browse_url}/api/v1", trust_env=False) as client:
        yield client


@pytest.fixture
async def recorder(browse_config: Config, browse_url: str) -> AsyncIterator[Recorder]:  # noqa: ARG001  # the server makes the schema
    async with open_recorder(browse_config) as found:
        yield found
