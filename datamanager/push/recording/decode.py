"""Messages of a recording as nested maps: JSON, protobuf and ROS 2 (CDR), each by its own schema."""

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec
from mcap.exceptions import McapError
from mcap.records import Channel, Schema
from mcap_protobuf.decoder import DecoderFactory as ProtobufFactory
from mcap_ros2.decoder import DecoderFactory as Ros2Factory

__all__ = ["Decoders", "Undecodable"]

_MAX_DEPTH = 64
_Decode = Callable[[bytes], Any]


class Undecodable(Exception):
    """A message of which only the bytes are known, and why."""


class Decoders:
    """Decodes the messages of one recording."""

    def __init__(self) -> None:
        self._factories = (ProtobufFactory(), Ros2Factory())
        self._decoders: dict[int, _Decode | str] = {}

    def decode(self, channel: Channel, schema: Schema | None, data: bytes) -> dict[str, Any]:
        """A message as nested maps, lists, numbers, texts and bytes.

        Raises:
            Undecodable: its encoding is not known, or it does not fit its schema.
        """
        found = self._decoders.get(channel.id)
        if found is None:
            found = self._decoders[channel.id] = self._decoder(channel, schema)
        if isinstance(found, str):
            raise Undecodable(found)
        try:
            value = _plain(found(data), 0)
        except Exception as exc:  # the decoders raise whatever a broken message does to them
            raise Undecodable(f"{type(exc).__name__}: {exc}"[:200]) from exc
        return value if isinstance(value, dict) else {"value": value}

    def _decoder(self, channel: Channel, schema: Schema | None) -> _Decode | str:
        """A decoder, or why there is none."""
        if channel.message_encoding == "json":
            return json.loads
        if channel.message_encoding == "msgpack":
            return msgspec.msgpack.decode
        for factory in self._factories:
            try:
                found = factory.decoder_for(channel.message_encoding, schema)
            except (McapError, ValueError, KeyError, TypeError) as exc:
                return f"its schema cannot be read: {exc}"[:200]
            if found is not None:
                return found
        named = f"{channel.message_encoding or 'none'}/{schema.encoding if schema else 'no schema'}"
        return f"encoding {named} is not known"


def bytes_of(value: object) -> bytes:
    """Bytes, which JSON has as base64.

    Raises:
        Undecodable: they are neither.
    """
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError as exc:
            raise Undecodable("the data are no base64") from exc
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, list):
        return bytes(value)
    raise Undecodable(f"the data are a {type(value).__name__}")


def _plain(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise Undecodable("it is nested too deeply")
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is not None:
        return _of_protobuf(value, descriptor, depth)
    slots = getattr(type(value), "__slots__", None)
    if slots:
        return {name: _plain(getattr(value, name), depth + 1) for name in slots if not name.startswith("_")}
    if hasattr(value, "__iter__"):
        return _listed(value, depth)
    raise Undecodable(f"it holds a {type(value).__name__}")


def _listed(value: Any, depth: int) -> Any:
    if hasattr(value, "typecode") and value.typecode in "Bb":
        return bytes(value)
    return [_plain(each, depth + 1) for each in value]


def _of_protobuf(message: Any, descriptor: Any, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in descriptor.fields:
        value = getattr(message, each.name)
        if each.message_type is not None and each.message_type.GetOptions().map_entry:
            found[each.name] = {str(key): _plain(value[key], depth + 1) for key in value}
        elif _is_repeated(each):
            found[each.name] = [_plain(one, depth + 1) for one in value]
        elif each.message_type is None or message.HasField(each.name):
            found[each.name] = _plain(value, depth + 1)
    return found


def _is_repeated(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if repeated is None else repeated)
