"""The models that come with datamanager are put into S3 and MongoDB once, by whoever starts, whenever S3 is there."""

import asyncio
import subprocess
import sys
from dataclasses import replace

from support.bad_network import bad_network
from support.processes import clean_environ

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.inference.zoo import ZOO
from datamanager.playback.model_keeper import ModelKeeper
from datamanager.storage.keys import model_key
from datamanager.storage.models import Models
from datamanager.storage.mongo import Mongo
from datamanager.storage.redis import Redis
from datamanager.storage.s3 import S3, open_s3

SEEDING = """
import asyncio, sys
from datamanager.clock import SystemClock
from datamanager.config import load_config
from datamanager.inference.zoo import ZOO
from datamanager.playback.model_keeper import ModelKeeper
from datamanager.storage.models import Models
from datamanager.storage.mongo import open_mongo
from datamanager.storage.redis import open_redis
from datamanager.storage.s3 import open_s3

async def main():
    config, clock = load_config(), SystemClock()
    async with open_mongo(config.mongo) as mongo, open_s3(config.s3) as s3, open_redis(config.redis) as redis:
        print("ready", flush=True)
        sys.stdin.readline()
        await ModelKeeper(Models(mongo, s3, redis, clock), ZOO, clock).seed()

asyncio.run(main())
"""


async def test_two_processes_that_start_at_once_bring_them_once(
    registry_config: Config, models: Models, s3: S3
) -> None:
    children = [
        subprocess.Popen(  # noqa: ASYNC220, S603  # our own program, started in no time
            [sys.executable, "-c", SEEDING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_environ(registry_config),
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert "ready" in await asyncio.to_thread(child.stdout.readline)
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert await asyncio.to_thread(child.wait, 60) == 0
    assert {d["_id"] for d in await models.documents()} == {model.name for model in ZOO}
    for model in ZOO:
        document = await models.document(model.name)
        assert [(v["version"], v["bundled"]) for v in document["versions"]].count((model.version, True)) == 1
        assert await s3.get(model_key(model.name, model.version)) == model.data()


async def test_they_come_once_s3_is_back(registry_config: Config, mongo: Mongo, redis: Redis) -> None:
    async with bad_network(registry_config.s3.endpoint) as network:
        config = replace(registry_config.s3, endpoint=network.url, timeout_s=0.5)
        async with open_s3(config) as s3:
            network.swallows = True
            clock = SystemClock()
            models = Models(mongo, s3, redis, clock)
            seeding = asyncio.create_task(ModelKeeper(models, ZOO, clock).seed())
            await asyncio.sleep(2)
            assert not seeding.done()
            assert await models.current() == {}
            network.swallows = False
            await asyncio.wait_for(seeding, 30)
            assert set(await models.current()) == {model.name for model in ZOO}
