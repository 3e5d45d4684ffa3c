"""Checkpoints in S3: one object holds what was learned, up to where, and the results of the last step, so none is without the others.

Models of river are pickles, and reading one runs what it says. So a checkpoint is signed with a key made of the secret that
the servers share through MongoDB: who can only write into the bucket cannot make one that is read.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from datamanager.errors import DatamanagerError
from datamanager.storage.follow import Position
from datamanager.storage.s3 import S3

__all__ = ["Checkpoint", "Checkpoints"]

_MAGIC = b"dman-analytics-1"
_PURPOSE = b"datamanager checkpoints of analytics"
_SIGNATURE_BYTES = 32


class Checkpoint(msgspec.Struct, kw_only=True):
    """What one rule knows of one stream.

    Attributes:
        position: up to which blocks it is.
        state: of `inference.online.pipeline.Pipeline`.
        results: those of the last step, as `results.plain_of` makes them.
    """

    position: Position
    state: dict[str, Any]
    results: list[dict[str, Any]] = []


class Checkpoints:
    """Writes and reads checkpoints.

    Args:
        s3: where they are.
        secret: that of the servers (`storage.url_secret`).
    """

    def __init__(self, s3: S3, secret: bytes) -> None:
        self._s3 = s3
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)

    async def put(self, key: str, checkpoint: Checkpoint) -> None:
        """Stores a checkpoint under a key that nothing was stored under before.

        Raises:
            S3Unavailable: S3 does not answer.
        """
        body = msgspec.msgpack.encode(checkpoint)
        await self._s3.put(key, _MAGIC + self._sign(key, body) + body)

    async def get(self, key: str) -> Checkpoint:
        """A checkpoint.

        Raises:
            NotFound: there is none.
            S3Unavailable: S3 does not answer.
            DatamanagerError: it was not written by us, or for another key.
        """
        data = await self._s3.get(key)
        start = len(_MAGIC) + _SIGNATURE_BYTES
        signature, body = data[len(_MAGIC) : start], data[start:]
        if not data.startswith(_MAGIC) or not hmac.compare_digest(signature, self._sign(key, body)):
            raise DatamanagerError(f"the checkpoint {key} does not bear our signature: it is not read")
        return msgspec.msgpack.decode(body, type=Checkpoint)

    async def delete(self, *keys: str) -> None:
        """Deletes checkpoints; one that is not there is no error.

        Raises:
            S3Unavailable: S3 does not answer.
        """
        await self._s3.delete(keys)

    def _sign(self, key: str, body: bytes) -> bytes:
        # The key is signed too: one stream's checkpoint cannot be put in another one's place.
        return hmac.digest(self._key, b"%d:%s%s" % (len(key.encode()), key.encode(), body), hashlib.sha256)
