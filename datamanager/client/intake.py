"""Where `log` leaves its samples: taken under a lock, from any thread, without waiting for disk or network."""

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from datamanager.client.errors import ClientClosed, ClientError
from datamanager.client.flatten import Value
from datamanager.client.gather import Gather, sample_bytes
from datamanager.client.settings import ClientSettings
from datamanager.client.spool import Draft
from datamanager.client.wire import Message, encode_message
from datamanager.errors import Refused

__all__ = ["Intake", "encode_draft"]

_NOTHING, _WAITING, _READY = range(3)  # what the pump was told


class Intake:
    """Gathers samples and takes whole messages until the pump fetches them.

    Attributes:
        pending_bytes: bytes of what waits here.
        samples: samples and records taken.
        dropped: samples and records for which there was no room.
        split_bytes: about how large a message should be at most, where it can be split.
        linger_s: how long a sample waits for others.

    Args:
        room: whether so many more bytes may be held.
        wake: tells the pump, from any thread, that something came.
    """

    def __init__(
        self,
        settings: ClientSettings,
        room: Callable[[int], bool],
        wake: Callable[[], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._room = room
        self._wake = wake
        self._now_s = now_s
        self._lock = threading.Lock()
        self._gathers: dict[str, Gather] = {}
        self._ready: list[Draft] = []
        self._failure: ClientError | None = None
        self._told = _NOTHING
        self.split_bytes = settings.split_bytes
        self.linger_s = min(settings.linger_s, settings.spool_sync_s / 2)
        self.pending_bytes = 0
        self.samples = 0
        self.dropped = 0

    def sample(
        self, stream: str, t_ns: int, names: tuple[str, ...], values: tuple[Value, ...], metadata: dict[str, Any] | None
    ) -> bool:
        """Takes one sample; False when there is no room for it.

        Raises:
            Refused: `bad_payload`, text that is no Unicode, metadata that cannot be sent.
            ClientError: the robot is closed, or the server refuses it.
        """
        with self._lock:
            if not self._admit(sample_bytes(values), 1):
                return False
            gather = self._gathers.get(stream)
            if gather is None or not gather.takes(names, values, metadata):
                _check_text(names, metadata)
                self._finish(stream)
                gather = self._gathers[stream] = Gather(self._now_s(), metadata)
            self.pending_bytes += gather.add(t_ns, names, values)
            self.samples += 1
            if len(gather) >= self._settings.batch_samples or gather.nbytes >= self._settings.batch_bytes:
                self._finish(stream)
            self._signal()
            return True

    def message(self, draft: Draft) -> bool:
        """Takes one whole message, behind what its stream gathered; False when there is no room for it.

        Raises:
            ClientError: the robot is closed, or the server refuses it.
        """
        with self._lock:
            if not self._admit(len(draft.body), draft.samples):
                return False
            self._finish(draft.stream)
            self._ready.append(draft)
            self.pending_bytes += len(draft.body)
            self.samples += draft.samples
            self._signal()
            return True

    def take(self, *, everything: bool = False) -> tuple[list[Draft], float | None]:
        """What is ready, by count, bytes or age, and in how many seconds more will be; None when nothing waits."""
        with self._lock:
            due_s = self._now_s() - self.linger_s
            for stream in [s for s, gather in self._gathers.items() if everything or gather.since_s <= due_s]:
                self._finish(stream)
            ready, self._ready = self._ready, []
            self.pending_bytes = sum(gather.nbytes for gather in self._gathers.values())
            self._told = _WAITING if self._gathers else _NOTHING
            oldest_s = min((gather.since_s for gather in self._gathers.values()), default=None)
        return ready, None if oldest_s is None else max(0.0, oldest_s - due_s)

    def waiting(self) -> int:
        """How many whole messages wait here."""
        return len(self._ready)

    def fail(self, error: ClientError) -> None:
        """From now on every call raises `error`."""
        with self._lock:
            self._failure = self._failure or error

    def close(self) -> None:
        """From now on nothing is taken; what is here can still be fetched."""
        self.fail(ClientClosed("this robot is closed"))

    def check(self) -> None:
        """Raises what every call would raise."""
        if self._failure is not None:
            raise self._failure

    def _admit(self, nbytes: int, samples: int) -> bool:
        self.check()
        if self._room(self.pending_bytes + nbytes):
            return True
        self.dropped += samples
        return False

    def _finish(self, stream: str) -> None:
        gather = self._gathers.pop(stream, None)
        if gather is not None:
            message = Message(stream, "time_series", gather.payload(), metadata=gather.metadata)
            self._ready.append(encode_draft(message, len(gather)))

    def _signal(self) -> None:
        """Wakes the pump when something begins to wait, and again when the first message is ready."""
        news = _READY if self._ready else _WAITING
        if news > self._told:
            self._told = news
            self._wake()


def encode_draft(message: Message, samples: int) -> Draft:
    """A message encoded.

    Raises:
        Refused: `bad_payload`: it holds what MessagePack cannot carry.
    """
    try:
        return Draft(message.stream, encode_message(message), samples)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Refused("bad_payload", f"cannot be sent: {error}") from error


def _check_text(names: tuple[str, ...], metadata: dict[str, Any] | None) -> None:
    try:
        "".join(names).encode()
        msgspec.msgpack.encode(metadata)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Refused("bad_payload", f"cannot be sent: {error}") from error
