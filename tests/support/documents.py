"""Documents in tests: looking at them, and reading them."""

import json
from typing import Any

import pytest

from datamanager.errors import Refused
from datamanager.kinds.documents.look import read_json
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.source import BytesSource
from datamanager.kinds.table import encode_value, examine_content

__all__ = ["LIMITS", "encoded", "look", "read", "refused", "tried"]

LIMITS = KindLimits()


def look(kind: str, data: bytes, limits: KindLimits = LIMITS) -> dict[str, Any]:
    return examine_content(kind, BytesSource(data), Hints(), limits).metadata


def refused(kind: str, data: bytes, limits: KindLimits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        look(kind, data, limits)
    return caught.value


def tried(kind: str, data: bytes) -> Refused | None:
    try:
        look(kind, data)
    except Refused as refusal:
        return refusal
    return None


def read(kind: str, data: bytes, path: str = "") -> Any:
    return json.loads(read_json(BytesSource(data), kind, path, "/array?path=", LIMITS.max_depth))


def encoded(kind: str, value: Any, **beside: Any) -> bytes:
    return encode_value(kind, {"value": value, **beside}, LIMITS)
