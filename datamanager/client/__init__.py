"""The robot's side: `Robot` and `AsyncRobot` send, `Reader` and `AsyncReader` read back.

Nothing is imported before it is asked for, so that a robot that only sends never loads the reader.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamanager.client.async_reader import AsyncReader, AsyncSessionReader
    from datamanager.client.blocking import Robot
    from datamanager.client.errors import (
        ClientClosed,
        ClientError,
        ReaderError,
        RpcError,
        SpoolLocked,
        Superseded,
        Unauthorized,
        UploadFailed,
    )
    from datamanager.client.reader import Reader, SessionReader
    from datamanager.client.results import Detection, FrameRun, ModelResult, SimilarFrame, SimilarFrames
    from datamanager.client.robot import AsyncRobot
    from datamanager.client.settings import ClientSettings
    from datamanager.client.stats import Reject, Stats
    from datamanager.client.stream import Stream
    from datamanager.client.upload import Uploaded, Uploader
    from datamanager.client.vuer import from_vuer, to_vuer, vuer_image

__all__ = [
    "AsyncReader",
    "AsyncRobot",
    "AsyncSessionReader",
    "ClientClosed",
    "ClientError",
    "ClientSettings",
    "Detection",
    "FrameRun",
    "ModelResult",
    "Reader",
    "ReaderError",
    "Reject",
    "Robot",
    "RpcError",
    "SessionReader",
    "SimilarFrame",
    "SimilarFrames",
    "SpoolLocked",
    "Stats",
    "Stream",
    "Superseded",
    "Unauthorized",
    "UploadFailed",
    "Uploaded",
    "Uploader",
    "from_vuer",
    "to_vuer",
    "vuer_image",
]

_WHERE = {
    "AsyncReader": "async_reader",
    "AsyncRobot": "robot",
    "AsyncSessionReader": "async_reader",
    "ClientClosed": "errors",
    "ClientError": "errors",
    "ClientSettings": "settings",
    "Detection": "results",
    "FrameRun": "results",
    "ModelResult": "results",
    "Reader": "reader",
    "ReaderError": "errors",
    "Reject": "stats",
    "Robot": "blocking",
    "RpcError": "errors",
    "SessionReader": "reader",
    "SimilarFrame": "results",
    "SimilarFrames": "results",
    "SpoolLocked": "errors",
    "Stats": "stats",
    "Stream": "stream",
    "Superseded": "errors",
    "Unauthorized": "errors",
    "UploadFailed": "errors",
    "Uploaded": "upload",
    "Uploader": "upload",
    "from_vuer": "vuer",
    "to_vuer": "vuer",
    "vuer_image": "vuer",
}


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
