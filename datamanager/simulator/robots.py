"""One simulated robot: sends what its sources give, at their times, through the client, and counts it."""

import heapq
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as Flag

from datamanager.client import Robot, Stats
from datamanager.simulator.events import Event, Frame, Line, Samples, Source
from datamanager.simulator.pacing import Pacer

__all__ = ["Outcome", "SimulatedRobot", "Tally"]

_CLOSE_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Tally:
    """What was logged.

    Attributes:
        streams: samples or records by stream.
        samples: rows of `time_series` streams.
        frames: pictures, depth images and clouds.
        lines: log lines.
    """

    streams: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    frames: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    Attributes:
        took_s: from the start to the last ack.
        stats: the client's counters at the end.
        start_ns: Unix nanoseconds of offset 0.
    """

    robot_id: str
    session_id: str
    tally: Tally
    stats: Stats
    start_ns: int
    took_s: float

    @property
    def whole(self) -> bool:
        """Whether everything that was logged is durable on the server."""
        return not (self.stats.rejected or self.stats.dropped or self.stats.pending)


class SimulatedRobot:
    """A robot of one session. `start` begins to connect, `stream` sends, in a thread of its own."""

    def __init__(
        self, url: str, robot_id: str, session_id: str, sources: Sequence[Source], metadata: Mapping[str, str]
    ) -> None:
        self.robot_id = robot_id
        self.session_id = session_id
        self.sources = sources
        self.tally = Tally()
        self._robot = Robot(url, robot_id, session_id, metadata=metadata)
        self._pacer: Pacer | None = None

    def start(self) -> None:
        """Begins to connect, without waiting."""
        self._robot.start()

    @property
    def stats(self) -> Stats:
        """The client's counters."""
        return self._robot.stats

    def worst_late_s(self) -> float:
        """By how much the latest event came too late since this was last asked."""
        return self._pacer.worst_late_s() if self._pacer else 0.0

    def run(self, start_ns: int, end_ns: int, stop: Flag) -> Outcome:
        """Sends everything before `end_ns` at its time, or until `stop` is set; then says bye and waits for the last ack.

        Args:
            start_ns: Unix nanoseconds of offset 0, which is now.
            end_ns: the offset at which it ends.
            stop: ends it early.
        """
        self._pacer = pacer = Pacer(time.monotonic, stop.wait)
        events = heapq.merge(*(source.events(end_ns) for source in self.sources), key=lambda event: event.offset_ns)
        try:
            for event in events:
                if not pacer.until(event.offset_ns):
                    break
                self._log(start_ns, event)
        finally:
            self.close()
        return Outcome(self.robot_id, self.session_id, self.tally, self.stats, start_ns, pacer.elapsed_s())

    def close(self) -> None:
        """Says bye and waits for the last ack; closing twice is no error."""
        self._robot.close(timeout_s=_CLOSE_TIMEOUT_S if self._robot.stats.connected or self.tally.streams else 0.0)

    def _log(self, start_ns: int, event: Event) -> None:
        stream, t_ns = self._robot.stream(event.stream), start_ns + event.offset_ns
        match event:
            case Samples():
                stream.log_batch(start_ns + event.offsets_ns, event.channels)
                self.tally.samples += len(event.offsets_ns)
                self.tally.streams[event.stream] += len(event.offsets_ns)
                return
            case Frame():
                stream.log_image(t_ns, event.image, role=event.role, metadata=event.metadata)
                self.tally.frames += 1
            case Line():
                stream.log_text(t_ns, event.message, level=event.level, logger=event.logger)
                self.tally.lines += 1
        self.tally.streams[event.stream] += 1
