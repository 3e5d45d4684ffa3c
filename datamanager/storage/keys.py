"""Every S3 key, Redis key and record id, made in this one module.

Numbers in S3 keys are zero-padded, so that lexical order is time order.
"""

import base64
import hashlib
from typing import Literal

__all__ = [
    "ENRICHMENTS_CHANNEL",
    "MODELS_CHANNEL",
    "live_channel",
    "manifest_key",
    "model_key",
    "model_upload_key",
    "original_key",
    "preview_key",
    "record_id",
    "redis_frame_key",
    "redis_latest_key",
    "redis_stats_key",
    "video_thumbnail_id",
]

MODELS_CHANNEL = "models:changed"
"""The pub/sub channel that says that a model was added, switched or removed."""

ENRICHMENTS_CHANNEL = "enrichments:changed"
"""The pub/sub channel that says that a rule was put or removed."""

_ID_BYTES = 18  # 144 bits: no collision in any fleet's life, 24 characters without padding


def record_id(robot_id: str, session_id: str, stream: str, producer: str, seq: int) -> str:
    """The id of one record or frame: 24 URL-safe characters, the same for ever for the same record."""
    name = "\0".join((robot_id, session_id, stream, producer, str(seq))).encode()
    return base64.urlsafe_b64encode(hashlib.blake2b(name, digest_size=_ID_BYTES).digest()).decode()


def original_key(
    robot_id: str,
    session_id: str,
    folder: Literal["frames", "files"],
    stream: str,
    t_ns: int,
    producer: str,
    seq: int,
    ending: str,
) -> str:
    """The S3 key of a record's exact bytes; `ending` is `rgb.jpg`, `depth.png`, `pointcloud.ply`, `bin`, ..."""
    return f"raw/{robot_id}/{session_id}/{folder}/{stream}/{t_ns:020d}_{producer}_{seq}_{ending}"


def preview_key(robot_id: str, session_id: str, stream: str, t_ns: int, frame_id: str, extension: str) -> str:
    """The S3 key of a frame's preview."""
    return f"processed/{robot_id}/{session_id}/preview/{stream}/{t_ns:020d}_{frame_id}.{extension}"


def video_thumbnail_id(record_id: str, number: int) -> str:
    """The id in GridFS of one thumbnail of a video: they are numbered from 0 on, ascending in time."""
    return f"{record_id}.{number}"


def model_key(name: str, version: str) -> str:
    """The S3 key of a model."""
    return f"models/{name}/{version}/model.onnx"


def manifest_key(name: str, version: str) -> str:
    """The S3 key of a model's manifest."""
    return f"models/{name}/{version}/manifest.json"


def model_upload_key(name: str, version: str, checksum: str) -> str:
    """The S3 key that a model is put to; it is copied to `model_key`, where no address leads that was given away."""
    return f"models/{name}/{version}/uploads/{checksum}.onnx"


def analytics_key(robot_id: str, session_id: str, stream: str, rule: str, generation: int, mark: str) -> str:
    """The S3 key of what a rule of telemetry has learned of a stream; `mark` is nobody else's."""
    return f"processed/{robot_id}/{session_id}/analytics/{stream}/{rule}/{generation:010d}_{mark}"


def learned_key(rule: str, retraining_id: str) -> str:
    """The S3 key of what a rule of telemetry begins with."""
    return f"models/{rule}/online/{retraining_id}"


def redis_latest_key(robot_id: str, session_id: str) -> str:
    """The hash of a session's newest samples: stream to at most the last 1000."""
    return f"telemetry:{robot_id}:{session_id}:latest"


def redis_frame_key(robot_id: str, session_id: str, frame_id: str) -> str:
    """The cached metadata and URLs of one frame."""
    return f"frames:{robot_id}:{session_id}:{frame_id}"


def redis_stats_key(robot_id: str, session_id: str, metric: str, resolution: str) -> str:
    """The cached answer to one statistics query."""
    return f"stats:{robot_id}:{session_id}:{metric}:{resolution}"


def live_channel(robot_id: str, session_id: str) -> str:
    """The pub/sub channel of what a session receives now."""
    return f"live:{robot_id}:{session_id}"
