"""The wire protocol's state machine for one connection: frames in, events out. No I/O.

A connection belongs to one session, fixed by its `hello` or its first data message; what names another one is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from datamanager.config import IngestConfig
from datamanager.errors import Refused
from datamanager.ingest.metadata import check_map
from datamanager.ingest.rpc.messages import check_methods
from datamanager.ingest.wire import BadMessage, Message, decode_frame
from datamanager.kinds.names import DEFAULT_PRODUCER, check_id

__all__ = ["Bye", "Data", "Event", "Hello", "IngestProtocol", "Refusal", "Rpc"]

_MAX_RAW = 65_536


@dataclass(frozen=True, slots=True)
class Hello:
    """A sender says who it is.

    Attributes:
        fresh: the session's config and metadata, where it gives any.
        methods: the remote calls that it answers.
    """

    robot_id: str
    session_id: str
    producer: str
    fresh: dict[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Data:
    """Good envelopes of one producer, in order.

    Attributes:
        size_bytes: of each message, on the average of its frame.
    """

    robot_id: str
    session_id: str
    producer: str
    messages: list[Message]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is refused before it is known what it is.

    Attributes:
        producer: whose number `seq` is; None when that is not known, or it is one of another session.
    """

    refused: Refused
    raw: bytes
    stream: str | None = None
    seq: int | None = None
    producer: str | None = None


@dataclass(frozen=True, slots=True)
class Rpc:
    """A JSON-RPC 2.0 message."""

    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bye:
    """The sender ends the session."""


Event = Hello | Data | Refusal | Rpc | Bye


class IngestProtocol:
    """One connection's side of the protocol.

    Attributes:
        text: whether the last frame was text: answers go out the same way.
        producer: who sends what names no producer.
    """

    def __init__(self, config: IngestConfig) -> None:
        self.text = True
        self._config = config
        self._robot_id: str | None = None
        self._session_id: str | None = None
        self.producer = DEFAULT_PRODUCER

    def receive(self, data: bytes | str, *, text: bool) -> Iterator[Event]:
        """The events of one frame, in order.

        Args:
            data: the frame: JSON when it is text, else MessagePack.
            text: which of the two.
        """
        self.text = text
        if len(data) > self._config.max_message_bytes:
            why = f"the message has {len(data)} bytes, {self._config.max_message_bytes} are allowed"
            yield Refusal(Refused("too_large", why), _raw(data))
            return
        try:
            frame = decode_frame(data, text=text, max_batch=self._config.max_batch_messages)
        except Refused as refused:
            yield Refusal(refused, _raw(data))
            return
        if frame.control is not None:
            yield self._control(frame.control, data)
            return
        size_bytes = max(1, len(data) // max(1, len(frame.messages)))
        if self._all_mine(frame.messages):
            yield self._data(self.producer, frame.messages, size_bytes)  # type: ignore[arg-type]  # no bad one is among them
            return
        run: list[Message] = []
        producer = self.producer
        for message in frame.messages:
            found = self._belongs(message, data)
            if isinstance(found, str) and found == producer:
                run.append(message)  # type: ignore[arg-type]  # a bad one never belongs
                continue
            if run:
                yield self._data(producer, run, size_bytes)
                run = []
            if isinstance(found, str):
                producer = found
                run.append(message)  # type: ignore[arg-type]  # as above
            else:
                yield found
        if run:
            yield self._data(producer, run, size_bytes)

    def _all_mine(self, messages: list[Message | BadMessage]) -> bool:
        """Whether all are of the session that is known already, and of nobody but who sends: the common case, quickly."""
        robots, sessions = (None, self._robot_id), (None, self._session_id)
        return (
            bool(messages)
            and self._session_id is not None
            and all(
                type(m) is Message and m.producer is None and m.robot_id in robots and m.session_id in sessions
                for m in messages
            )
        )

    def _data(self, producer: str, run: list[Message], size_bytes: int) -> Data:
        return Data(self._robot_id or "", self._session_id or "", producer, run, size_bytes)

    def _belongs(self, message: Message | BadMessage, data: bytes | str) -> str | Refusal:
        """The producer of a message of this connection's session, or why it is refused."""
        if isinstance(message, BadMessage):
            mine = message.mine(self._robot_id, self._session_id)
            producer = (message.producer or self.producer) if mine else None
            return Refusal(message.refused, message.raw[:_MAX_RAW], message.stream, message.seq, producer)
        robot_id, session_id = message.robot_id, message.session_id
        same = (robot_id is None or robot_id == self._robot_id) and (
            session_id is None or session_id == self._session_id
        )
        if same and message.producer is None and self._session_id is not None:
            return self.producer
        try:
            self._settle(robot_id, session_id)
            return self.producer if message.producer is None else check_id(message.producer, "producer")
        except Refused as refused:
            seq = message.seq if message.seq is not None else message.sequence_number
            return Refusal(refused, _raw(data), message.stream, seq)

    def _settle(self, robot_id: object, session_id: object) -> None:
        """Fixes the connection's session on first sight, and holds later messages to it."""
        robot = self._robot_id if robot_id is None else check_id(robot_id, "robot_id")
        session = self._session_id if session_id is None else check_id(session_id, "session_id")
        if robot is None or session is None:
            raise Refused(
                "missing_field", f"{'robot_id' if robot is None else 'session_id'} is not known: no hello came"
            )
        if self._session_id is not None and (robot, session) != (self._robot_id, self._session_id):
            raise Refused(
                "other_session", f"this connection is of {self._robot_id}/{self._session_id}, not of {robot}/{session}"
            )
        self._robot_id, self._session_id = robot, session

    def _control(self, control: dict[str, Any], data: bytes | str) -> Event:
        try:
            return self._understood(control)
        except Refused as refused:
            return Refusal(refused, _raw(data))

    def _understood(self, control: dict[str, Any]) -> Event:
        match control["type"]:
            case "hello":
                return self._hello(control)
            case "bye":
                return Bye()
            case "rpc":
                return Rpc(control)
            case str() as other:
                raise Refused("malformed", f"there is no control message {other[:64]!r}")
            case other:
                raise Refused("wrong_type", f"type must be a string, not {type(other).__name__}")

    def _hello(self, control: dict[str, Any]) -> Hello:
        for name in ("robot_id", "session_id"):
            if control.get(name) is None:
                raise Refused("missing_field", f"hello has no {name}")
        producer = control.get("producer")
        producer = DEFAULT_PRODUCER if producer is None else check_id(producer, "producer")
        fresh = {name: control[name] for name in ("config", "metadata") if control.get(name) is not None}
        limits = self._config
        for name, value in fresh.items():
            check_map(value, name, max_bytes=limits.max_metadata_bytes, max_depth=limits.max_depth)
        methods = check_methods(control["methods"]) if control.get("methods") is not None else ()
        self._settle(control["robot_id"], control["session_id"])
        self.producer = producer
        return Hello(self._robot_id or "", self._session_id or "", producer, fresh, methods)

    @property
    def robot_id(self) -> str | None:
        """Whose connection it is; None until that was said."""
        return self._robot_id

    def limits(self) -> dict[str, int]:
        """What `welcome` says a sender may do."""
        config = self._config
        return {
            "window": config.window,
            "window_bytes": config.window_bytes,
            "max_message_bytes": config.max_message_bytes,
            "max_block_bytes": config.max_block_bytes,
            "max_metadata_bytes": config.max_metadata_bytes,
            "max_batch_messages": config.max_batch_messages,
            "max_channels": config.max_channels,
            "max_depth": config.max_depth,
        }


def _raw(data: bytes | str) -> bytes:
    return data[:_MAX_RAW].encode(errors="replace") if isinstance(data, str) else data[:_MAX_RAW]
