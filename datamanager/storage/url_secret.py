"""The secret that addresses are signed with: made once, and shared by all processes through MongoDB."""

import secrets

from datamanager.storage.mongo import DuplicateKey, Mongo, translated

__all__ = ["load_url_secret"]

_ID = "url_secret"
_BYTES = 32


async def load_url_secret(mongo: Mongo) -> bytes:
    """The secret; the first process that asks makes it.

    Raises:
        MongoUnavailable: MongoDB does not answer.
    """
    settings = mongo.durable("settings")
    with translated():
        found = await settings.find_one({"_id": _ID})
    if found is not None:
        return bytes(found["value"])
    value = secrets.token_bytes(_BYTES)
    try:
        with translated():
            await settings.insert_one({"_id": _ID, "value": value})
    except DuplicateKey:
        return await load_url_secret(mongo)  # another process made it in the same moment
    return value
