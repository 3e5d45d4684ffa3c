"""What the client tells about itself."""

from dataclasses import dataclass

__all__ = ["Reject", "Stats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A message that will not be stored, and why.

    Attributes:
        stream: None when the server could not tell.
        seq: None when the server could not tell, or the message was refused here before it was numbered.
        code: one of the reject codes of the wire protocol.
    """

    stream: str | None
    seq: int | None
    code: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Stats:
    """Counters since the start of this process, and what is held now. Messages unless another unit is named.

    Attributes:
        samples: samples and records taken, each counted once however they are batched.
        dropped: samples and records that found no room in memory or on disk: the newest, refused as they came.
        sent: messages handed to the network, again and again if need be.
        resent: of these, how many went again.
        acked: messages that are durable on the server.
        rejected: messages that the server refused, or that are larger than it takes.
        pending: messages held, on the way or waiting, in memory or on disk; samples that still gather do not count.
        in_flight: of these, how many the server has been sent and has not acked.
        spooled: of these, how many are on disk alone because memory is full.
        pending_bytes: bytes of what is held in memory.
        spool_bytes: size of the spool's files.
        bytes_sent: bytes of frames handed to the network.
        connected: whether the server has welcomed this robot and the socket stands.
        reconnects: connections that were welcomed after the first.
        failures: tries to connect, and connections, that ended in an error.
        leftovers: other sessions, of former processes, that are still to be sent from the spool.
        last_error: why the last of them ended.
    """

    samples: int = 0
    dropped: int = 0
    sent: int = 0
    resent: int = 0
    acked: int = 0
    rejected: int = 0
    pending: int = 0
    in_flight: int = 0
    spooled: int = 0
    pending_bytes: int = 0
    spool_bytes: int = 0
    bytes_sent: int = 0
    connected: bool = False
    reconnects: int = 0
    failures: int = 0
    leftovers: int = 0
    last_error: str | None = None
