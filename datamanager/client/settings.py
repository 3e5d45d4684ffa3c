"""How the client batches, holds and tries again. Every number has a default that suits a robot."""

import math
from dataclasses import dataclass

__all__ = ["ClientSettings"]

_KB = 1024
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """The client's knobs.

    Attributes:
        linger_s: a sample given to `log` waits at most this long for others to share its message.
        batch_samples: a message of this many samples goes at once.
        batch_bytes: a message of about this many bytes goes at once.
        split_bytes: `log_batch` cuts larger batches into messages of about this size.
        memory_bytes: what is held in memory until it is acked, at most.
        spool_bytes: what is held on disk until it is acked, at most; then the newest is refused and counted.
        segment_bytes: size of one spool file; a file goes when all in it is acked.
        spool_sync_s: with a spool, what was logged this long ago survives the death of the process and of the machine.
        frame_bytes: messages that wait share WebSocket frames of up to this size.
        max_message_bytes: the largest message, until the server's welcome says its own limit.
        connect_timeout_s: how long one try to connect, and one wait for the welcome, may take.
        backoff_min_s: the longest wait before the first new try; it doubles with each failure (full jitter).
        backoff_max_s: the longest wait before any try.
        ack_timeout_s: a connection on which nothing is acked for so long is given up.
        max_rejects: how many rejects are kept for `robot.rejects`; the oldest go first.
    """

    linger_s: float = 0.05
    batch_samples: int = 500
    batch_bytes: int = 64 * _KB
    split_bytes: int = 512 * _KB
    memory_bytes: int = 64 * _MB
    spool_bytes: int = 1024 * _MB
    segment_bytes: int = 8 * _MB
    spool_sync_s: float = 0.2
    frame_bytes: int = 256 * _KB
    max_message_bytes: int = 32 * _MB
    connect_timeout_s: float = 15.0
    backoff_min_s: float = 0.2
    backoff_max_s: float = 15.0
    ack_timeout_s: float = 120.0
    max_rejects: int = 1000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least_ok = value >= 0 if name == "linger_s" else value > 0
            if not least_ok or not math.isfinite(value):
                raise ValueError(f"{name} must be positive and finite, not {value}")
        if self.backoff_max_s < self.backoff_min_s:
            raise ValueError("backoff_max_s must not be below backoff_min_s")
