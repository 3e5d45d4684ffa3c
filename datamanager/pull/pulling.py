"""Pulls one source into one stream of a session: the reader's thread, the client, and what is said of both."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from datamanager.client import ClientSettings, Robot, Stats
from datamanager.pull.address import Address
from datamanager.pull.buffer import Buffer
from datamanager.pull.chunks import Chunk
from datamanager.pull.pictures import Picture, encode_jpeg
from datamanager.pull.reader import Reader
from datamanager.pull.settings import PullSettings
from datamanager.pull.tally import Acks, Progress, Tally, complete_line

__all__ = ["Outcome", "Pull", "Target"]

_LOOK_S = 0.02
_CLOSE_S = 30.0
_JOIN_S = 1.0
_BEHIND = 0.25  # of what the client may hold: beyond it the server is behind
_FULL = 0.5  # of the buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where pictures go.

    Attributes:
        server: its address.
        ends: whether the session ends with the source.
    """

    server: str
    robot_id: str
    session_id: str
    stream: str
    token: str | None = None
    producer: str | None = None
    spool_dir: Path | None = None
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    Attributes:
        took_s: from the start to the last ack.
    """

    tally: Tally
    stats: Stats
    took_s: float

    @property
    def whole(self) -> bool:
        """Whether anything came, and all that was handed to the client is durable on the server."""
        return bool(self.tally.received) and not (self.stats.rejected or self.stats.dropped or self.stats.pending)


class Pull:
    """One source on its way to one stream; `run` does it.

    Attributes:
        tally: what is counted, also while it runs.

    Args:
        base_ns: when a file began, if that is said.
        stop: ends it cleanly.
        say: takes lines for people.
    """

    def __init__(
        self,
        address: Address,
        target: Target,
        settings: PullSettings,
        *,
        base_ns: int | None,
        stop: Event,
        say: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self._address = address
        self._target = target
        self._settings = settings
        self._base_ns = base_ns
        self._stop = stop
        self._say = say
        self._client = ClientSettings()
        self._robot = Robot(
            target.server,
            target.robot_id,
            target.session_id,
            producer=target.producer,
            token=target.token,
            spool_dir=target.spool_dir,
            settings=self._client,
        )
        self._buffer: Buffer[Picture] = Buffer(settings.buffer_frames, settings.buffer_bytes)
        self._lost_chunk = False

    def run(self) -> Outcome:
        """Pulls until the source ends, the duration is over, or `stop` is set; then waits for the last ack.

        Raises:
            SourceError: the source cannot be opened or read, and waiting does not help.
            ClientError: the server refuses us for good.
            OSError: the spool cannot be opened.
        """
        began_s = time.monotonic()
        self._robot.start()
        try:
            self._acks = Acks(self._robot.stats.pending)
            self._pull()
        finally:
            self._stop.set()
            anything = self.tally.chunks or self.tally.frames
            self._robot.close(bye=self._target.ends, timeout_s=_CLOSE_S if anything else _JOIN_S)
        outcome = Outcome(self.tally, self._robot.stats, time.monotonic() - began_s)
        self._said(complete_line(self.tally, outcome.stats, outcome.took_s))
        return outcome

    def _pull(self) -> None:
        self._reader = reader = Reader(
            self._address,
            self._settings,
            self.tally,
            pictures=self._buffer,
            give=self._give,
            is_behind=self._is_behind,
            base_ns=self._base_ns,
            stop=self._stop,
            note=self._said,
        )
        thread = Thread(target=reader.run, name="pull-reader", daemon=True)
        thread.start()
        try:
            self._send()
        finally:
            self._stop.set()
            thread.join(_JOIN_S)  # one that waits for a silent source ends by itself when its timeout is over
        if reader.failure is not None:
            raise reader.failure

    def _send(self) -> None:
        """Takes pictures out of the buffer and hands them to the client, until there are no more."""
        now_s = time.monotonic()
        progress, next_s = Progress(now_s), now_s + self._settings.report_s
        end_s = None if self._settings.duration_s is None else now_s + self._settings.duration_s
        while not self._buffer.is_over:
            picture = self._buffer.take(_LOOK_S)
            if picture is not None:
                self._frame(picture)
            now_s, stats = time.monotonic(), self._robot.stats
            self._acks.settle(stats.acked + stats.rejected, now_s)
            if now_s >= next_s:
                next_s = now_s + self._settings.report_s
                self._said(progress.text(self.tally, stats, self._acks, now_s))
            if end_s is not None and now_s >= end_s and not self._is_file():
                self._stop.set()
            if self._stop.is_set() and picture is None:
                return

    def _frame(self, picture: Picture) -> None:
        data = picture.image if isinstance(picture.image, bytes) else encode_jpeg(picture.image, self._settings.quality)
        name = f"{self._target.stream}/frames" if self._settings.want == "both" else self._target.stream
        self._await_room()
        if not self._robot.stream(name).log_image(picture.t_ns, data, format="jpeg"):
            self.tally.drops["no room at the client, frames"] += 1
            return
        self._acks.handed(picture.arrived_s, time.monotonic())
        self.tally.frames += 1
        self.tally.nbytes += len(data)

    def _give(self, chunk: Chunk) -> bool:
        """Hands a chunk to the client; called in the reader's thread."""
        self._await_room()
        if self._lost_chunk and not chunk.is_key:
            return False  # it cannot be decoded without the one that is missing
        payload = {
            "format": "h264",
            "fps": chunk.fps,
            "frame_number": chunk.first_frame,
            "camera_id": self._target.stream,
        }
        taken = self._robot.stream(self._target.stream).log_record(chunk.t_ns, chunk.data, "video", payload=payload)
        self._lost_chunk = not taken
        if taken:
            self._acks.handed(chunk.arrived_s, time.monotonic())
            self.tally.nbytes += len(chunk.data)
        return taken

    def _await_room(self) -> None:
        """A file waits for the server, where a camera cannot."""
        if self._settings.realtime or not self._is_file():
            return
        while not self._stop.is_set() and self._holds_much():
            try:
                self._robot.wait_for_room(_LOOK_S * 10)
            except TimeoutError:
                continue

    def _is_file(self) -> bool:
        """Whether what is read has an end, and waits where it is not read; the reader ends it by its own times."""
        source = self._reader.source
        return self._address.kind == "file" or (source is not None and source.pace == "file")

    def _is_behind(self) -> bool:
        return self._buffer.fill > _FULL or self._holds_much()

    def _holds_much(self) -> bool:
        return self._robot.stats.pending_bytes > _BEHIND * self._client.memory_bytes

    def _said(self, line: str) -> None:
        self._say(f"{self._target.stream}: {line}")
