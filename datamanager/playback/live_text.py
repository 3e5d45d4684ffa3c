"""A live envelope as JSON: columns as lists, bytes as base64, nanoseconds as JSON's readers can hold them."""

from base64 import b64encode
from typing import Any

import msgspec
import numpy as np

from datamanager.playback.plain_json import encode_json, plain

__all__ = ["live_text"]

_DECODER = msgspec.msgpack.Decoder()


def live_text(packed: bytes) -> str:
    """The JSON of an envelope.

    `t_ns` becomes text; a columnar payload becomes `{start_ns, offset_ns: [...], channels: {name: [...]}}`; bytes of
    media become base64 with `"encoding": "base64"`.

    Args:
        packed: the envelope as MessagePack.
    """
    envelope: dict[str, Any] = _DECODER.decode(packed)
    payload = envelope.get("payload")
    if isinstance(payload, dict):
        if "channels" in payload and "t_ns" in payload:
            payload = _columns(payload)
        elif isinstance(payload.get("data"), bytes):
            payload = payload | {"data": b64encode(payload["data"]).decode(), "encoding": "base64"}
    if "t_ns" in envelope:
        envelope["t_ns"] = str(envelope["t_ns"])
    return encode_json(plain(envelope | {"payload": payload})).decode()


def _columns(payload: dict[str, Any]) -> dict[str, Any]:
    dtypes = payload.get("dtypes") or {}
    times = _values(payload["t_ns"], "int64")
    start_ns = times[0] if times else 0
    return {
        "start_ns": str(start_ns),
        "offset_ns": [t_ns - start_ns for t_ns in times],
        "channels": {name: _values(raw, dtypes.get(name, "float64")) for name, raw in payload["channels"].items()},
    }


def _values(raw: Any, dtype: str) -> list[Any]:
    if not isinstance(raw, bytes):
        return list(raw)
    values: list[Any] = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).tolist()
    return values
