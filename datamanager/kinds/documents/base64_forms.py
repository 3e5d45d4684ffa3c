"""Bytes within a value that came over JSON, which has no bytes."""

import base64
import binascii
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.vuer_tags import ARRAY_TAGS, IMAGE, MARKS, SAFETENSORS, TYPED_ARRAYS

__all__ = ["with_bytes"]

_FORM = {"encoding", "data"}
_TAGS = ARRAY_TAGS | TYPED_ARRAYS.keys() | {IMAGE, SAFETENSORS}


def with_bytes(value: object, encoding: object, max_depth: int, *, tagged: bool = False) -> object:
    """The value with its bytes.

    Args:
        value: what came.
        encoding: what the payload says beside it: `base64` when maps `{"encoding": "base64", "data": text}` are bytes.
        max_depth: how deep it may nest.
        tagged: whether a text as `b` of a map that has a known tag of `vuer_msg` is base64: bytes are all that it can be.

    Raises:
        Refused: `bad_payload` for an unknown encoding or what is no base64, `too_deep`.
    """
    if encoding not in (None, "base64"):
        raise Refused("bad_payload", f"encoding {str(encoding)[:40]!r} is not base64")
    if encoding is None and not tagged:
        return value
    return _Walk(forms=encoding == "base64", tagged=tagged).value(value, max_depth)


class _Walk:
    def __init__(self, *, forms: bool, tagged: bool) -> None:
        self._forms = forms
        self._tagged = tagged

    def value(self, value: Any, levels: int) -> Any:
        if isinstance(value, dict | list | tuple) and levels <= 0:
            raise Refused("too_deep", "the value nests deeper than a document may")
        if isinstance(value, dict):
            return self._map(value, levels - 1)
        if isinstance(value, list | tuple):
            return [self.value(item, levels - 1) for item in value]
        return value

    def _map(self, value: dict[Any, Any], levels: int) -> Any:
        if self._forms and value.keys() == _FORM and value["encoding"] == "base64" and isinstance(value["data"], str):
            return _bytes(value["data"])
        found = {key: self.value(item, levels) for key, item in value.items()}
        if self._tagged and isinstance(found.get("b"), str) and any(found.get(mark) in _TAGS for mark in MARKS):
            found["b"] = _bytes(found["b"])
        return found


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Refused("bad_payload", f"bytes within the value are not base64: {exc}") from exc
