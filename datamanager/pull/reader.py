"""The thread that reads: opens the source, again and again, and gives its pictures on, as chunks or decoded."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Event

import av.error
import httpx

from datamanager.client.backoff import Backoff
from datamanager.errors import Refused
from datamanager.pull.address import Address
from datamanager.pull.arrivals import Arrived, settled
from datamanager.pull.avc import AvcForm, read_form, with_start_codes
from datamanager.pull.buffer import Buffer
from datamanager.pull.chunks import Chunk, Chunker, Unit
from datamanager.pull.decoding import Decoding
from datamanager.pull.failures import SourceError, explain
from datamanager.pull.pictures import Picture
from datamanager.pull.settings import PullSettings
from datamanager.pull.sources import Coded, Source, opened
from datamanager.pull.tally import Tally
from datamanager.pull.times import FileTimes, LiveTimes, SegmentTimes, Times

__all__ = ["Reader"]

_BROKEN = (SourceError, av.error.FFmpegError, httpx.HTTPError, OSError, Refused, ValueError)
_STEADY_S = 2.0
_KNOWN = 8192  # pictures of HLS that are known again after a reconnect
_MOST_UNIT_BYTES = 16 * 1024 * 1024


class Reader:
    """Reads one source until it ends or is stopped.

    Attributes:
        failure: why it ended, where that is an error.
        source: what it turned out to be, once it was opened.

    Args:
        pictures: takes what is decoded.
        give: takes a chunk; False when there was no room for it.
        is_behind: whether the sender or the server is.
        base_ns: when a file began, if that is said.
        stop: ends it.
        note: takes what people should know.
    """

    def __init__(
        self,
        address: Address,
        settings: PullSettings,
        tally: Tally,
        *,
        pictures: Buffer[Picture],
        give: Callable[[Chunk], bool],
        is_behind: Callable[[], bool],
        base_ns: int | None,
        stop: Event,
        note: Callable[[str], None],
    ) -> None:
        self.failure: Exception | None = None
        self.source: Source | None = None
        self._address = address
        self._settings = settings
        self._tally = tally
        self._buffer = pictures
        self._give = give
        self._base_ns = base_ns
        self._stop = stop
        self._note = note
        self._times: Times | None = None
        self._chunker = Chunker()
        self._form = AvcForm(0, ())
        self._decoding = Decoding(settings, tally, is_behind)
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._last: bytes | None = None
        self._last_dts_ns: int | None = None
        self._resumes = False
        self._began_s = self._came_s = time.monotonic()
        self._paced_from: tuple[int, float] | None = None
        self._first_t_ns: int | None = None
        self._last_ns = self._before_ns = -1
        self._said_b = False
        self.passes = self.decodes = False

    def run(self) -> None:
        """Reads; what goes wrong for good stands in `failure`."""
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  # whatever ends the thread is raised where it is waited for
            self.failure = error
        finally:
            self._buffer.close()

    def _run(self) -> None:
        backoff = Backoff(self._settings.backoff_min_s, self._settings.backoff_max_s)
        while not self._stop.is_set():
            opened_s = time.monotonic()
            try:
                if self._once():
                    return
                continue
            except _BROKEN as error:
                failed = explain(error, self._address, self._settings.timeout_s)
            self._flush()
            came = self._came_s > opened_s
            if came and self._came_s - opened_s > _STEADY_S:
                backoff.reset()
            self._check(failed)
            wait_s = backoff.next_s()
            self._note(f"{self._address.masked}: {failed.detail}; trying again in {wait_s:.1f} s")
            self._stop.wait(wait_s)

    def _check(self, failed: SourceError) -> None:
        """Raises what ends it: what never worked and cannot by waiting, or too long an absence."""
        never_worked = not self._tally.received
        if never_worked and not failed.passing:
            raise SourceError(f"{self._address.masked}: {failed.detail}", passing=False)
        if self._address.kind == "file":
            raise SourceError(f"{self._address.masked}: {failed.detail}", passing=False)
        away_s = time.monotonic() - self._came_s
        if self._settings.give_up_s is not None and away_s >= self._settings.give_up_s:
            raise SourceError(f"{self._address.masked}: given up after {away_s:.0f} s: {failed.detail}")

    def _once(self) -> bool:
        """Reads one connection, or one round of a file, to its end; whether that is the end of all."""
        with opened(self._address, self._settings, again=self._last is not None) as source:
            self._tally.connections += 1
            self._begin(source)
            for arrived in self._arrivals(source):
                if self._stop.is_set():
                    break
                self._came_s = arrived.s
                self._tally.received += 1
                self._take(source, arrived)
            self._finish()
        return self._end_of_round()

    def _arrivals(self, source: Source) -> Iterator[Arrived]:
        if isinstance(self._times, LiveTimes):
            return settled(source.pictures(), self._times)
        return (Arrived(coded, time.time_ns(), time.monotonic()) for coded in source.pictures())

    def _end_of_round(self) -> bool:
        if self._stop.is_set() or not self._settings.loop or not isinstance(self._times, FileTimes):
            return True
        if not self._tally.received:
            raise SourceError(f"{self._address.masked}: it has no pictures", passing=False)
        self._times.begin_again()
        self._last_dts_ns = None
        self._tally.connections -= 1
        return False

    def _begin(self, source: Source) -> None:
        want = self._settings.want
        is_h264 = source.codec == "h264" and source.stream is not None
        if want == "video" and not is_h264:
            raise SourceError(
                f"it sends {source.codec}: only h264 is passed through; without --passthrough it comes as frames",
                passing=False,
            )
        self.passes = is_h264 and want != "frames"
        self.decodes = want in {"frames", "both"} or not is_h264
        if self._times is None:
            self._times = self._new_times(source)
            self._describe(source)
        self._times.reconnected()
        self.source = source
        self._before_ns = self._last_ns  # a live source may begin with what it sent before the connection broke
        self._resumes = source.pace != "live" and self._last is not None
        self._paced_from = None if source.pace == "file" and not self._settings.realtime else self._paced_from
        if self.passes:
            self._form = read_form(source.extradata)
            self._hand(self._chunker.begin(self._form))
        if self.decodes:
            self._decoding.begin(source, counts=not self.passes)

    def _new_times(self, source: Source) -> Times:
        if source.pace == "live":
            return LiveTimes()
        if source.pace == "segments":
            return SegmentTimes()
        return FileTimes(self._base_ns if self._base_ns is not None else source.created_ns or time.time_ns())

    def _describe(self, source: Source) -> None:
        size = ""
        if source.stream is not None:
            size = f" {source.stream.codec_context.width}x{source.stream.codec_context.height}"
        ways = [
            way for is_so, way in ((self.passes, "passed through as video"), (self.decodes, "as JPEG frames")) if is_so
        ]
        self._note(f"{self._address.masked}: {source.codec}{size}, {' and '.join(ways)}")

    def _take(self, source: Source, arrived: Arrived) -> None:
        assert self._times is not None  # noqa: S101  # set where a connection begins
        coded = arrived.coded
        # Segments often count their packets anew, which looks like a loss to libav.
        is_broken = coded.is_broken and source.pace == "live"
        if is_broken or len(coded.data) > _MOST_UNIT_BYTES:
            self._tally.drops["broken"] += 1
            self._hand(self._chunker.lost())
            return
        t_ns = self._times.of(coded.pts_ns, arrived.ns)
        is_known = t_ns <= self._before_ns if source.pace == "live" else self._knows(source, coded)
        self._last_ns = max(self._last_ns, t_ns)
        if self._is_over(t_ns):
            self._stop.set()
            return
        self._pace(source, t_ns)
        self._tally.seen += is_known
        if self.passes and not is_known:
            self._pass(coded, t_ns, arrived.s)
        if self.decodes:
            for picture in self._decoding.frames(coded, self._times, t_ns, arrived.s):
                self._queue(source, picture)

    def _pass(self, coded: Coded, t_ns: int, arrived_s: float) -> None:
        waited = self._chunker.waiting
        try:
            data = with_start_codes(coded.data, self._form.length_bytes)
            self._hand(self._chunker.add(Unit(data, t_ns, arrived_s, coded.is_key)))
        except Refused:
            self._tally.drops["broken"] += 1
            self._hand(self._chunker.lost())
            return
        self._tally.drops["waiting for a keyframe"] += self._chunker.waiting - waited
        if self._chunker.has_b and not self._said_b:
            self._said_b = True
            self._note("it has B-frames: chunks are whole groups of pictures, of up to 10 s")

    def _knows(self, source: Source, coded: Coded) -> bool:
        """Whether a picture came before the connection broke; notes it, where it did not."""
        if source.pace == "file":
            dts_ns = coded.dts_ns if coded.dts_ns is not None else coded.pts_ns
            if dts_ns is None:
                return False
            if self._last_dts_ns is not None and dts_ns <= self._last_dts_ns:
                self._resume()
                return True
            self._last_dts_ns = dts_ns
            self._last = b""
            return False
        name = hashlib.blake2b(coded.data, digest_size=12, salt=str(coded.pts_ns).encode()[-16:]).digest()
        if name in self._known:
            if name == self._last:
                self._resume()
            return True
        self._known[name] = None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        self._last = name
        return False

    def _resume(self) -> None:
        """The picture before the break came again: the next one follows it."""
        if self._resumes:
            self._resumes = False
            self._chunker.resume()

    def _pace(self, source: Source, t_ns: int) -> None:
        """Waits where pictures come sooner than they were taken: a file in real time, or segments."""
        if source.pace == "segments":
            ahead_s = (t_ns - time.time_ns()) / 1e9
        elif source.pace == "file" and self._settings.realtime:
            if self._paced_from is None:
                self._paced_from = (t_ns, time.monotonic())
            base_ns, base_s = self._paced_from
            ahead_s = (t_ns - base_ns) / 1e9 - (time.monotonic() - base_s)
        else:
            return
        if ahead_s > 0:
            self._stop.wait(ahead_s)

    def _queue(self, source: Source, picture: Picture) -> None:
        if source.pace == "live" or self._settings.realtime:
            self._buffer.put(picture)
            self._tally.drops["buffer full"] = self._buffer.dropped
            return
        while not self._stop.is_set() and not self._buffer.put_when_room(picture, 0.2):
            self._came_s = time.monotonic()  # not the source is away: the server is slower

    def _is_over(self, t_ns: int) -> bool:
        """Whether enough of a file was read; of a live source it is told by `stop`."""
        self._first_t_ns = t_ns if self._first_t_ns is None else self._first_t_ns
        if self._settings.duration_s is None or not isinstance(self._times, FileTimes):
            return False
        return t_ns - self._first_t_ns >= self._settings.duration_s * 1e9

    def _finish(self) -> None:
        """The end of a connection in good order."""
        if self.decodes and self.source is not None and self._times is not None:
            for picture in self._decoding.flush(self._times, time.time_ns(), time.monotonic()):
                self._queue(self.source, picture)
        self._flush()

    def _flush(self) -> None:
        """What came whole is given on, however the connection ended."""
        if self.source is not None:
            self._hand(self._chunker.finish())

    def _hand(self, chunks: Iterator[Chunk]) -> None:
        for chunk in chunks:
            if self._give(chunk):
                self._tally.chunks += 1
                self._tally.chunk_frames += chunk.frames
            else:
                self._tally.drops["no room at the client"] += chunk.frames
