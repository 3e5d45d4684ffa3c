"""Models and rules for tests of enrichment: put in place without the server, and results waited for."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.inference.manifest import Manifest
from datamanager.inference.zoo import zoo_model
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.model_documents import NewModel
from datamanager.storage.models import Models
from datamanager.storage.mongo import Document, Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.s3 import S3, open_s3

__all__ = ["Enriching", "enriching"]


@dataclass(frozen=True, slots=True)
class Enriching:
    """The stores of a running server."""

    mongo: Mongo
    redis: Redis
    s3: S3
    models: Models
    rules: Enrichments

    async def add_model(self, manifest: Manifest, data: bytes, *, bundled: bool = False) -> None:
        """Puts a model in place, current from now on."""
        new = NewModel(
            name=manifest.name,
            version=manifest.version,
            task=manifest.task,
            output=manifest.stream,
            about=manifest.about,
            manifest=msgspec.json.encode(manifest),
            checksum=manifest.checksum,
            size_bytes=len(data),
            bundled=bundled,
        )
        await self.models.seed(new, data)
        await self.models.use(manifest.name, manifest.version)

    async def add_zoo(self, zoo: str, **changes: Any) -> None:
        """Puts a model that comes with us in place."""
        model = zoo_model(zoo)
        await self.add_model(msgspec.structs.replace(model.manifest, **changes), model.data(), bundled=not changes)

    async def results(self, count: int, within_s: float = 20.0, **query: Any) -> list[Document]:
        """The results that fit, once there are so many, in the order of their times."""
        until_s = time.monotonic() + within_s
        while True:
            found = await self.mongo.durable("results").find(query).sort("t_ns", 1).to_list()
            if len(found) >= count:
                return found
            assert time.monotonic() < until_s, f"{len(found)} of {count} results after {within_s} s"
            await asyncio.sleep(0.02)

    async def rule(self, name: str, model: str, **more: Any) -> None:
        """Puts a rule in place; when this returns a worker has its model and the server knows of it."""
        await self.rules.put(Enrichment(name=name, model=model, **more))
        await asyncio.sleep(1.2)
        await self.ready(model)

    async def ready(self, model: str, version: str | None = None, within_s: float = 30.0) -> None:
        """Returns once a worker says that it has the model."""
        until_s = time.monotonic() + within_s
        while True:
            for report in (await self.models.document(model)).get("loaded", []):
                if report["state"] == "ready" and version in (None, report["version"]):
                    return
            assert time.monotonic() < until_s, f"no worker has {model}"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def enriching(config: Config) -> AsyncIterator[Enriching]:
    """The stores that `config` names."""
    async with open_mongo(config.mongo) as mongo, open_redis(config.redis) as redis, open_s3(config.s3) as s3:
        yield Enriching(mongo, redis, s3, Models(mongo, s3, redis, SystemClock()), Enrichments(mongo, redis))
