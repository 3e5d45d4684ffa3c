"""A server of the playback routes, and what writes the sessions that it plays back."""

from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from support.browse_server import KnownSamples, Recorder, browse_server, open_recorder

from datamanager.config import Config


@pytest.fixture(scope="package")
def browse_config(new_config: Callable[[], Config]) -> Config:
    return new_config()


@pytest.fixture(scope="package")
def known_samples() -> KnownSamples:
    return KnownSamples()


@pytest.fixture(scope="package")
def browse_url(browse_config: Config, known_samples: KnownSamples) -> Iterator[str]:
    """The base URL of a server that all tests of playback share: use your own robots."""
    with browse_server(browse_config, known_samples) as url:
        yield url


@pytest.fixture
async def http(browse_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{browse_url}/api/v1", trust_env=False) as client:
        yield client


@pytest.fixture
async def recorder(browse_config: Config, browse_url: str) -> AsyncIterator[Recorder]:  # noqa: ARG001  # the server makes the schema
    async with open_recorder(browse_config) as found:
        yield found
