"""Adds models as people do: begun, put to the address that is given, completed."""

import httpx

from datamanager.storage.models import Models, NewModel

__all__ = ["add", "put"]


async def put(url: str | None, data: bytes) -> None:
    assert url is not None
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.put(url, content=data)).status_code == 200


async def add(models: Models, new: NewModel, data: bytes) -> None:
    await put(await models.begin(new), data)
    await models.complete(new.name, new.version)
