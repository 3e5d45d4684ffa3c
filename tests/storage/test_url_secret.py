"""All processes sign with one secret."""

import asyncio

from datamanager.config import Config
from datamanager.storage.mongo import open_mongo
from datamanager.storage.url_secret import load_url_secret


async def test_many_that_ask_at_once_get_the_same_secret(config: Config) -> None:
    async with open_mongo(config.mongo) as one, open_mongo(config.mongo) as other:
        found = await asyncio.gather(*(load_url_secret(mongo) for mongo in [one, other] * 8))
        assert len(set(found)) == 1
        assert len(found[0]) == 32
        assert await load_url_secret(one) == found[0]
