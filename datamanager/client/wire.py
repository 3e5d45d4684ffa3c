"""Messages as bytes: wire protocol v1 as the robot speaks it (MessagePack in binary frames).

A data message is encoded once, with its `redelivery` mark and `seq` at fixed places at its front, so that numbering it
late or sending it again costs a copy and no encoding:

    8x                        map of x fields
    aa "redelivery" c2|c3     false, true
    a3 "seq" cf <8 bytes>     big-endian
    …                         the rest
"""

import struct
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["Control", "Message", "batch_frame", "decode_control", "encode_message", "message_bytes"]

_NO_SEQ = msgspec.Raw(b"\xcf" + bytes(8))
_FRONT_BYTES = 26
_FLAG_AT = 12
_SEQ_AT = 18
_FLAGS = {False: b"\xc2\xa3seq\xcf", True: b"\xc3\xa3seq\xcf"}
_SEQ = struct.Struct(">Q")
_BATCH_FRONT = b"\x82\xa8batch_id"
_BATCH_MESSAGES = b"\xa8messages\xdd"
_COUNT = struct.Struct(">I")


class Message(msgspec.Struct, omit_defaults=True):
    """A data message. Robot, session and producer were said in `hello`.

    Attributes:
        payload: as the kind asks for; see DESIGN section 4.
        t_ns: Unix nanoseconds; None in a columnar payload only.
    """

    stream: str
    data_type: str
    payload: dict[str, Any]
    t_ns: int | None = None
    metadata: dict[str, Any] | None = None


class _Numbered(msgspec.Struct, omit_defaults=True):
    redelivery: msgspec.Raw
    seq: msgspec.Raw
    stream: str
    data_type: str
    payload: dict[str, Any]
    t_ns: int | None = None
    metadata: dict[str, Any] | None = None


class Control(msgspec.Struct):
    """Anything the server says; the fields that its `type` does not have are None."""

    type: str
    acked: dict[str, int] | None = None
    limits: dict[str, Any] | None = None
    stream: str | None = None
    seq: int | None = None
    code: str | None = None
    detail: str | None = None
    window: int | None = None
    window_bytes: int | None = None
    id: Any = None
    method: str | None = None
    params: Any = None


_encoder = msgspec.msgpack.Encoder()
_text_decoder = msgspec.json.Decoder(Control)
_binary_decoder = msgspec.msgpack.Decoder(Control)
_NOT_REDELIVERED = msgspec.Raw(b"\xc2")


def encode_message(message: Message) -> bytes:
    """The message's bytes, with room for its number; `message_bytes` fills it in.

    Raises:
        TypeError: a value that MessagePack cannot carry.
        OverflowError: an integer beyond 64 bits.
    """
    return _encoder.encode(
        _Numbered(
            _NOT_REDELIVERED,
            _NO_SEQ,
            message.stream,
            message.data_type,
            message.payload,
            message.t_ns,
            message.metadata,
        )
    )


def message_bytes(body: bytes, seq: int, *, redelivery: bool) -> tuple[bytes, bytes, bytes, memoryview]:
    """A message as it goes out, in pieces to be joined."""
    return body[:_FLAG_AT], _FLAGS[redelivery], _SEQ.pack(seq), memoryview(body)[_FRONT_BYTES:]


def batch_frame(batch_id: int, messages: Iterable[tuple[bytes, int, bool]]) -> bytes:
    """One binary frame of (body, seq, redelivery) messages: a lone message as it is, several as a batch."""
    pieces: list[bytes | memoryview] = []
    count = 0
    for body, seq, redelivery in messages:
        pieces += message_bytes(body, seq, redelivery=redelivery)
        count += 1
    if count == 1:
        return b"".join(pieces)
    name = _encoder.encode(str(batch_id))
    return b"".join([_BATCH_FRONT, name, _BATCH_MESSAGES, _COUNT.pack(count), *pieces])


def decode_control(frame: str | bytes) -> Control:
    """What the server said, from a text (JSON) or binary (MessagePack) frame.

    Raises:
        msgspec.MsgspecError: it is no control message.
    """
    return _text_decoder.decode(frame) if isinstance(frame, str) else _binary_decoder.decode(frame)
