"""What is counted while a source is pulled, and the lines that tell it."""

import statistics
import threading
from collections import Counter, deque
from dataclasses import dataclass, field

from datamanager.client import Stats

__all__ = ["Acks", "Progress", "Tally", "complete_line"]

_KEPT = 4096


@dataclass(slots=True)
class Tally:
    """Counters since the start. Each is written by one thread alone.

    Attributes:
        received: pictures that came.
        frames: JPEG frames handed to the client.
        chunks, chunk_frames: chunks of H.264 handed to the client, and the pictures in them.
        nbytes: of both.
        skipped: frames that were not due by the rate that is wanted: no loss.
        seen: pictures that came again after a reconnect, and were not taken again.
        drops: pictures that are lost, by reason.
        connections: how often the source was opened.
        fps: the rate that frames are made at now; None where none are.
    """

    received: int = 0
    frames: int = 0
    chunks: int = 0
    chunk_frames: int = 0
    nbytes: int = 0
    skipped: int = 0
    seen: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    fps: float | None = None

    def drops_text(self) -> str:
        """The drops, as people read them."""
        found = [(reason, count) for reason, count in list(self.drops.items()) if count]
        if not found:
            return ""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(found))
        return f"{sum(count for _, count in found):,} dropped ({reasons})"


class Acks:
    """How long a picture takes from its arrival to the client, and to the server's ack.

    Args:
        before: messages that the client still held from a former process: they are acked first.
    """

    def __init__(self, before: int) -> None:
        self._lock = threading.Lock()
        self._handed = before
        self._settled = 0
        self._waiting: deque[tuple[int, float]] = deque(maxlen=_KEPT)
        self.to_client_s: deque[float] = deque(maxlen=_KEPT)
        self.to_ack_s: deque[float] = deque(maxlen=_KEPT)

    def handed(self, arrived_s: float, now_s: float) -> None:
        """The client took a message whose last picture came at `arrived_s`."""
        with self._lock:
            self._handed += 1
            self._waiting.append((self._handed, arrived_s))
            self.to_client_s.append(now_s - arrived_s)

    def settle(self, settled: int, now_s: float) -> None:
        """So many messages are acked or refused by now."""
        with self._lock:
            while self._waiting and self._waiting[0][0] <= settled:
                self.to_ack_s.append(now_s - self._waiting.popleft()[1])


class Progress:
    """What happened since it was last asked."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._received = self._frames = self._chunks = self._nbytes = 0

    def text(self, tally: Tally, stats: Stats, acks: Acks, now_s: float) -> str:
        """A line, without the stream's name."""
        passed_s = max(now_s - self._since_s, 0.001)
        sent = _sent(tally.chunks - self._chunks, tally.frames - self._frames, tally.nbytes - self._nbytes)
        came = tally.received - self._received
        said = f"{came:,} pictures came ({came / passed_s:.1f}/s); {sent}"
        said += f"; acked {stats.acked:,} of {stats.acked + stats.pending:,}"
        if acks.to_client_s and acks.to_ack_s:
            said += f"; {_ms(acks.to_client_s)} to the client, {_ms(acks.to_ack_s)} to the ack"
            acks.to_client_s.clear()
            acks.to_ack_s.clear()
        said += _troubles(tally, stats)
        self._since_s = now_s
        self._received, self._frames, self._chunks = tally.received, tally.frames, tally.chunks
        self._nbytes = tally.nbytes
        return said


def complete_line(tally: Tally, stats: Stats, took_s: float) -> str:
    """How it ended."""
    sent = _sent(tally.chunks, tally.frames, tally.nbytes)
    reconnects = f", reconnected {tally.connections - 1}x" if tally.connections > 1 else ""
    unsettled = stats.rejected or stats.dropped or stats.pending
    acked = f"{stats.rejected} rejected, {stats.pending} not acked" if unsettled else "all acked"
    if stats.pending and stats.last_error:
        acked += f" ({stats.last_error})"
    drops = f"; {tally.drops_text()}" if tally.drops_text() else ""
    return f"complete: {tally.received:,} pictures came in {took_s:.1f} s{reconnects}; {sent}; {acked}{drops}"


def _amount(nbytes: float) -> str:
    """Bytes, readable."""
    for unit in ("B", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1000
    return f"{nbytes:.1f} GB"


def _sent(chunks: int, frames: int, nbytes: int) -> str:
    kinds = [text for count, text in ((chunks, f"{chunks:,} chunks"), (frames, f"{frames:,} frames")) if count]
    return f"{' and '.join(kinds) or 'nothing'} sent, {_amount(nbytes)}"


def _troubles(tally: Tally, stats: Stats) -> str:
    said = f"; at {tally.fps:.1f} fps" if tally.fps is not None else ""
    if tally.drops_text():
        said += f"; {tally.drops_text()}"
    if stats.rejected:
        said += f"; {stats.rejected} rejected"
    if not stats.connected:
        why = f" ({stats.last_error})" if stats.last_error else ""
        said += f"; the server is not connected{why}, {stats.pending:,} messages wait"
    return said


def _ms(times_s: "deque[float]") -> str:
    return f"{statistics.median(times_s) * 1000:.0f} ms"
