"""Frames of the wire protocol to typed messages, and answers to frames.

Whole frames are decoded into structs at once; only a frame that does not fit is taken apart message by message, so
that one bad message is told from its neighbours and named.
"""

from typing import Any

import msgspec

from datamanager.errors import Refused

__all__ = ["BadMessage", "Frame", "Message", "decode_frame", "decode_value", "encode", "raw_of"]


class Message(msgspec.Struct, omit_defaults=True):
    """A data message, its fields checked for type only."""

    data_type: str
    payload: Any
    stream: str | None = None
    seq: int | None = None
    sequence_number: int | None = None
    t_ns: int | None = None
    timestamp: int | float | None = None
    robot_id: str | None = None
    session_id: str | None = None
    producer: str | None = None
    metadata: dict[str, Any] | None = None
    redelivery: bool = False


class Frame(msgspec.Struct):
    """What one frame holds: a control message (`type`), a batch (`messages`) or one data message.

    Attributes:
        control: the whole control message, when it is one.
        messages: the data messages in order, a `BadMessage` where one does not fit.
    """

    control: dict[str, Any] | None = None
    messages: list["Message | BadMessage"] = []


class BadMessage(msgspec.Struct):
    """A message that does not fit, with why, and what could be read of its place."""

    refused: Any  # a Refused: structs take no exceptions as field types
    raw: bytes
    stream: str | None = None
    seq: int | None = None
    robot_id: Any = None
    session_id: Any = None
    producer: str | None = None

    def mine(self, robot_id: str | None, session_id: str | None) -> bool:
        """Whether it is of that session, as far as it says."""
        return self.robot_id in (None, robot_id) and self.session_id in (None, session_id)


class _Batch(msgspec.Struct):
    messages: list[Message]
    batch_id: Any = None
    type: str | None = None
    data_type: Any = None  # a data message may have a field `messages` of its own


_JSON_BATCH = msgspec.json.Decoder(_Batch)
_JSON_ONE = msgspec.json.Decoder(Message)
_JSON_ANY = msgspec.json.Decoder()
_PACK_BATCH = msgspec.msgpack.Decoder(_Batch)
_PACK_ONE = msgspec.msgpack.Decoder(Message)
_PACK_ANY = msgspec.msgpack.Decoder()
_TO_JSON = msgspec.json.Encoder()
_TO_PACK = msgspec.msgpack.Encoder()
_MAX_REPR = 65_536
_BATCH_MARKS = (b'"messages"', b"\xa8messages")
_HEAD = 256  # `messages` stands near a batch's beginning; a look further only costs


def encode(value: object, *, text: bool) -> bytes | str:
    """An answer as a text frame (JSON) or a binary one (MessagePack)."""
    return _TO_JSON.encode(value).decode() if text else _TO_PACK.encode(value)


def decode_value(data: bytes | str, *, text: bool) -> object:
    """Any value.

    Raises:
        Refused: `malformed` or `too_deep`.
    """
    try:
        return _JSON_ANY.decode(data) if text else _PACK_ANY.decode(data)  # type: ignore[arg-type]  # str only comes as text
    except RecursionError as exc:
        raise Refused("too_deep", "the message nests deeper than any payload may") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as exc:
        raise Refused("malformed", f"no valid {'JSON' if text else 'MessagePack'}: {exc}") from exc


def decode_frame(data: bytes | str, *, text: bool, max_batch: int) -> Frame:
    """A frame's control message or data messages.

    Raises:
        Refused: the frame as a whole cannot be read: `malformed`, `too_deep`, `wrong_type`, `missing_field`,
            `too_large` (more messages than `max_batch`).
    """
    is_batch = ('"messages"' in data[:_HEAD]) if isinstance(data, str) else any(m in data[:_HEAD] for m in _BATCH_MARKS)
    try:
        if is_batch:
            batch = (_JSON_BATCH if text else _PACK_BATCH).decode(data)  # type: ignore[arg-type]  # str only comes as text
            if batch.type is None and batch.data_type is None and len(batch.messages) <= max_batch:
                return Frame(messages=batch.messages)  # type: ignore[arg-type]  # a list of a narrower type
        else:
            return Frame(messages=[(_JSON_ONE if text else _PACK_ONE).decode(data)])  # type: ignore[arg-type]  # as above
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return _slowly(data, text=text, max_batch=max_batch)
    return _slowly(data, text=text, max_batch=max_batch)


def _slowly(data: bytes | str, *, text: bool, max_batch: int) -> Frame:
    value = decode_value(data, text=text)
    if not isinstance(value, dict):
        raise Refused("wrong_type", f"a message must be a map, not {type(value).__name__}")
    if "type" in value and "data_type" not in value:
        return Frame(control=value)
    if "messages" in value and "data_type" not in value:
        return Frame(messages=_batch(value, text=text, max_batch=max_batch))
    return Frame(messages=[_one(value, text=text)])


def _batch(value: dict[str, Any], *, text: bool, max_batch: int) -> list[Message | BadMessage]:
    messages = value["messages"]
    if not isinstance(messages, list):
        raise Refused("wrong_type", f"messages must be a list, not {type(messages).__name__}")
    if len(messages) > max_batch:
        raise Refused("too_large", f"the batch has {len(messages)} messages, {max_batch} are allowed")
    return [_one(message, text=text) for message in messages]


def _one(value: object, *, text: bool) -> Message | BadMessage:
    try:
        return _checked(value)
    except Refused as refused:
        return _bad(value, refused, text=text)


def _checked(value: object) -> Message:
    if not isinstance(value, dict):
        raise Refused("wrong_type", f"a message must be a map, not {type(value).__name__}")
    for name in ("data_type", "payload"):
        if value.get(name) is None:
            raise Refused("missing_field", f"the message has no {name}")
    try:
        return msgspec.convert(value, Message)
    except msgspec.ValidationError as exc:
        raise Refused("wrong_type", str(exc)) from exc


def _bad(value: object, refused: Refused, *, text: bool) -> BadMessage:
    place = value if isinstance(value, dict) else {}
    stream, producer, seq = place.get("stream"), place.get("producer"), place.get("seq", place.get("sequence_number"))
    return BadMessage(
        refused,
        raw_of(value, text=text),
        stream if isinstance(stream, str) else None,
        seq if type(seq) is int else None,
        place.get("robot_id"),
        place.get("session_id"),
        producer if isinstance(producer, str) else None,
    )


def raw_of(value: object, *, text: bool) -> bytes:
    """The bytes of a message that was read already, for a dead letter."""
    try:
        return (_TO_JSON if text else _TO_PACK).encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):  # what was read is not always what can be written
        return repr(value)[:_MAX_REPR].encode(errors="replace")
