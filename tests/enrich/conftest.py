from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datamanager.config import Config
from datamanager.inference.manifest import Manifest
from datamanager.inference.zoo import zoo_model
from datamanager.storage.s3 import S3, open_s3


@pytest.fixture
async def s3(config: Config) -> AsyncIterator[S3]:
    """An empty bucket."""
    async with open_s3(config.s3) as opened:
        yield opened


@pytest.fixture
def quality(tmp_path: Path) -> tuple[Manifest, Path]:
    """The quality model, as a file."""
    model = zoo_model("quality")
    path = tmp_path / "quality.onnx"
    path.write_bytes(model.data())
    return model.manifest, path
