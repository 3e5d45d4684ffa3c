"""Frames as ingest leaves them: an original in S3 and a document in MongoDB."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from datamanager.config import Config
from datamanager.storage.mongo import open_mongo
from datamanager.storage.s3 import open_s3

__all__ = ["jpeg", "png", "store_frames"]


def jpeg(width: int = 1280, height: int = 720, seed: int = 0) -> bytes:
    """A smooth picture with some noise in it, as a camera gives."""
    return _encoded(_picture(width, height, seed), "JPEG", quality=85)


def png(width: int, height: int) -> bytes:
    """A large picture that takes long to decode."""
    return _encoded(_picture(width, height, 0), "PNG", compress_level=1)


def _picture(width: int, height: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2)
    return Image.fromarray((base + random.integers(0, 12, base.shape)).clip(0, 255).astype(np.uint8))


def _encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


async def store_frames(config: Config, originals: Mapping[str, bytes | None], state: str = "pending") -> None:
    """Stores frames by id; one without bytes has a document and no original."""
    async with open_s3(config.s3) as s3, open_mongo(config.mongo) as mongo:
        documents = []
        for n, (frame_id, data) in enumerate(originals.items()):
            key = f"raw/r/s/frames/cam/{n:020d}_p_{n}_rgb.jpg"
            if data is not None:
                await s3.put(key, data)
            documents.append(
                {
                    "_id": frame_id,
                    "robot_id": "r",
                    "session_id": "s",
                    "stream": "cam",
                    "kind": "images",
                    "role": "rgb",
                    "t_ns": n,
                    "keys": {"original": key},
                    "derived": {"state": state, "since_ns": n},
                }
            )
        await mongo.durable("frames_metadata").insert_many(documents)
