"""Models are opened in this process; each test leaves none behind."""

from collections.abc import Iterator

import pytest

from datamanager.inference import host


@pytest.fixture(autouse=True)
def no_model() -> Iterator[None]:
    """No model is open before and after a test."""
    host._held.engine = host._held.frames = None
    yield
    host._held.engine = host._held.frames = None
