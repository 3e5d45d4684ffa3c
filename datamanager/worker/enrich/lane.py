"""One model's lane: frames wait in it, go to the model in batches, and leave it as results.

While one batch is computed the originals of the next are fetched and the results of the last are written.
"""

import asyncio
import itertools
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from datamanager.clock import Clock
from datamanager.errors import Unavailable
from datamanager.inference.batching import BatchPlanner
from datamanager.inference.breaker import Admission, Breaker, BreakerStatus
from datamanager.inference.host import FrameAnswer, FramePicture, ModelFailed, Trouble
from datamanager.inference.shedding import ShedReason
from datamanager.observability import METRICS, get_logger
from datamanager.storage.results import Result, ResultStatus
from datamanager.worker.enrich.answers import answered, unanswered
from datamanager.worker.enrich.booking import Booking, Turns
from datamanager.worker.enrich.hosts import ModelHost
from datamanager.worker.enrich.originals import Originals
from datamanager.worker.enrich.waiting import Waiting

__all__ = ["Lane", "Outlets"]

_log = get_logger(__name__)
_WRITES = 2  # batches whose results are being written, beside the one that is computed
_MUST_TRIES = 5
_PUT_OFF_S = 1.0
_LEAST_ROOM = 32
_GATHER_S = 0.5  # nobody is in a hurry to read that a frame was not looked at, and each write costs the disk a flush
_GATHER = 16


class Outlets(Protocol):
    """Where frames go that leave a lane."""

    async def settle(self, frames: Sequence[Waiting], results: Sequence[Result]) -> None:
        """Writes the results of frames, and hands their jobs back as done."""

    async def put_off(self, frames: Sequence[Waiting], delay_s: float, *, tried: bool) -> None:
        """Hands jobs back to be tried later; `tried`: they failed, and that is counted."""

    async def shed(self, frames: Sequence[Waiting], by: ShedReason) -> None:
        """Gives frames up, counted."""


class Lane:
    """The lane of one model on one device. Run `run` as a task.

    Attributes:
        host: the model.
        breaker: leaves the model alone while it fails.
        last_error: what went wrong last; empty: nothing did.

    Args:
        host: the model.
        outlets: where frames go from here.
        originals: fetches what frames are looked at by.
        clock: for batches and breaker.
        target_s: time from arrival to result that batches are sized for.
        shed_after_s: a frame that waited longer is given up, unless it must be looked at.
        pass_on: gives frames to another model or device while this one fails; False where there is none.
        load: how busy its device is, 0 to 1, where that is known.
    """

    def __init__(
        self,
        host: ModelHost,
        outlets: Outlets,
        originals: Originals,
        clock: Clock,
        *,
        target_s: float,
        shed_after_s: float,
        pass_on: Callable[["Lane", Waiting], bool],
        load: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.host = host
        self.breaker = Breaker(clock)
        self._outlets = outlets
        self._originals = originals
        self._clock = clock
        self._target_s = target_s
        self._shed_after_s = shed_after_s
        self._pass_on = pass_on
        self._load = load
        self._planner = self._new_planner()
        self._waiting: deque[Waiting] = deque()
        self._booking = Booking(clock)
        self.last_error = ""
        self._is_busy = False
        self._wake = asyncio.Event()
        self._next_host: ModelHost | None = None
        self._swapped: asyncio.Event = asyncio.Event()
        self._writing: set[asyncio.Task[None]] = set()
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._skipped: list[tuple[Waiting, Result]] = []
        self._gathering: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.host.file.manifest.name

    @property
    def status(self) -> BreakerStatus:
        """The breaker's state."""
        return self.breaker.status()

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more should: another model's frames need the memory too."""
        return len(self._waiting) >= max(_LEAST_ROOM, 2 * self.host.file.manifest.max_batch)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, is computed or written."""
        return not (self._waiting or self._skipped or self._writing or self._is_busy)

    def book(self, count: int) -> Turns:
        """When frames may come again for which there is no room."""
        return self._booking.book(count, self._planner.pace_s)

    def put(self, frame: Waiting) -> None:
        """Has a frame wait here."""
        frame.needs_previous = self._lacks_previous(frame, coming={w.job.frame_id for w in self._waiting})
        self._waiting.append(frame)
        self._ask_ahead()
        self._wake.set()

    def _ask_ahead(self) -> None:
        """Has the bytes of frames fetched before their turn, in order, as far as there is room."""
        if self.breaker.state == "open":
            return
        for frame in self._waiting:
            if not frame.ask(self._originals, ahead=True):
                return

    async def swap(self, host: ModelHost) -> ModelHost:
        """Takes another version of the model from the next batch on.

        Returns:
            The one before, which nothing uses any more.
        """
        before = self.host
        self._next_host = host
        self._swapped.clear()
        self._wake.set()
        await self._swapped.wait()
        return before

    async def run(self) -> None:
        """Does what waits until cancelled; then what waits is given up, and others claim it."""
        try:
            async with asyncio.TaskGroup() as self._group:  # results that cannot be written end the lane
                while True:
                    self._change()
                    batch = await self._next_batch()
                    if batch:
                        self._is_busy = True
                        await self._do(batch)
                        self._is_busy = False
        finally:
            for frame in self._waiting:
                frame.let_go()

    def _change(self) -> None:
        if self._next_host is not None:
            self.host, self._next_host = self._next_host, None
            self.breaker, self._planner = Breaker(self._clock), self._new_planner()
            self._sent.clear()
        self._swapped.set()

    def _new_planner(self) -> BatchPlanner:
        return BatchPlanner(self._clock, self.host.file.manifest.max_batch, self._target_s)

    async def _next_batch(self) -> list[Waiting]:
        """The next batch; empty when there is something else to do first."""
        late = [w for w in self._waiting if not w.job.must and self._waited_s(w) > self._shed_after_s]
        if late:
            gone = set(late)
            self._waiting = deque(w for w in self._waiting if w not in gone)
            await _insist(lambda: self._outlets.shed(late, "age"), self._clock)
        if not self._waiting:
            self._wake.clear()
            await self._wake.wait()
            return []
        self._ask_ahead()  # others may have made room
        first = self._waiting[0]
        if first.alone:
            return [self._waiting.popleft()]
        alike = list(itertools.takewhile(lambda w: not w.alone and w.rule.options == first.rule.options, self._waiting))
        plan = self._planner.plan(len(alike), self._waited_s(first), self._load())
        if not plan.take:
            await self._clock.sleep(plan.wait_s)
            return []
        return [self._waiting.popleft() for _ in range(plan.take)]

    def _waited_s(self, frame: Waiting) -> float:
        return max(0.0, (self._clock.now_ns() - frame.job.asked_ns) / 1e9)

    async def _do(self, batch: list[Waiting]) -> None:
        admission = self.breaker.admit()
        if admission is None:
            await self._turn_away(batch)
            return
        pictures = await self._pictures(batch)
        if not pictures:
            self.breaker.abandoned(admission)
            return
        frames = list(pictures)
        began_s = time.perf_counter()
        try:
            answers = await self.host.infer(list(pictures.values()), frames[0].rule.options)
        except ModelFailed as failed:
            await self._failed(admission, frames, failed)
            return
        except BaseException:
            self.breaker.abandoned(admission)
            raise
        took_s = time.perf_counter() - began_s
        self.breaker.succeeded(admission)
        self._planner.observed(len(frames), took_s)
        METRICS.inference_s.labels(self.name).observe(took_s / len(frames))
        METRICS.inference_batch.labels(self.name).observe(len(frames))
        await self._write(frames, self._results(frames, answers, took_s))

    async def _pictures(self, batch: Sequence[Waiting]) -> dict[Waiting, FramePicture]:
        """What there is to look at of a batch's frames; those that there is no memory for yet wait on."""
        going: list[Waiting] = []
        for frame in batch:
            # Not what was expected when it came: those before it may have been shed since, or the process be a new one.
            frame.needs_previous = self._lacks_previous(frame)
            if not frame.ask(self._originals, ahead=bool(going)):
                break
            going.append(frame)
            self._remember(frame.job.frame_id)
        self._waiting.extendleft(reversed(batch[len(going) :]))
        found = {frame: await frame.picture() for frame in going}
        if gone := [frame for frame, picture in found.items() if picture is None]:
            why = "its bytes are not here any more"
            await self._write(gone, [self._without(frame, "failed", why) for frame in gone])
        return {frame: picture for frame, picture in found.items() if picture is not None}

    def _results(self, frames: Sequence[Waiting], answers: Sequence[FrameAnswer], took_s: float) -> list[Result]:
        now_ns, share_ms = self._clock.now_ns(), 1000 * took_s / len(frames)
        manifest = self.host.loaded.manifest if self.host.loaded is not None else self.host.file.manifest
        return [
            answered(frame.job, frame.rule, frame.output, manifest, answer, latency_ms=share_ms, now_ns=now_ns)
            for frame, answer in zip(frames, answers, strict=True)
        ]

    def _without(self, frame: Waiting, status: ResultStatus, reason: str) -> Result:
        manifest, now_ns = self.host.file.manifest, self._clock.now_ns()
        return unanswered(
            frame.job, frame.output, manifest.task, status, reason, version=manifest.version, now_ns=now_ns
        )

    async def _write(self, frames: Sequence[Waiting], results: Sequence[Result]) -> None:
        """Has results written beside the next batch; waits while two others are."""
        for frame in frames:
            frame.let_go()
        while len(self._writing) >= _WRITES:
            await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
        task = self._group.create_task(self._settle(frames, results))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _settle(self, frames: Sequence[Waiting], results: Sequence[Result]) -> None:
        await _insist(lambda: self._outlets.settle(frames, results), self._clock)

    # When the model fails.

    async def _failed(self, admission: Admission, frames: list[Waiting], failed: ModelFailed) -> None:
        self._sent.clear()  # its process may be a new one
        self.last_error = f"{failed.trouble}: {failed.detail}"[:500]
        is_smaller = failed.trouble == "memory" and self._planner.shrink(len(frames))
        state = self.breaker.failed(admission, failed.trouble, excused=is_smaller)
        _log.warning(
            "model failed",
            model=self.name,
            version=self.host.file.manifest.version,
            trouble=failed.trouble,
            frames=len(frames),
            breaker=state,
            error=failed.detail[:300],
        )
        if state == "open" and self._may_be_the_process(failed.trouble):
            await self.host.renew()
        if is_smaller:
            self._waiting.extendleft(reversed(frames))
        elif len(frames) > 1:  # one of them may be to blame for all
            for frame in frames:
                frame.alone = True
            self._waiting.extendleft(reversed(frames))
        else:
            await self._failed_alone(frames[0], self.last_error)

    def _may_be_the_process(self, trouble: Trouble) -> bool:
        """Whether a new process may do better: CUDA does not recover from most errors, and a heap may be full of holes."""
        return trouble == "cuda" or (trouble == "memory" and self.host.has_answered)

    async def _failed_alone(self, frame: Waiting, reason: str) -> None:
        if self._try_others(frame):
            return
        if frame.job.must and frame.taken.tries + 1 < _MUST_TRIES:
            await _insist(lambda: self._outlets.put_off([frame], _PUT_OFF_S, tried=True), self._clock)
        else:
            await self._write([frame], [self._without(frame, "failed", reason)])

    async def _turn_away(self, batch: list[Waiting]) -> None:
        """The breaker is open: others look at the frames, or nobody does."""
        left = [frame for frame in batch if not self._try_others(frame)]
        must = [frame for frame in left if frame.job.must]
        if must:
            delay_s = max(_PUT_OFF_S / 4, self.status.reopens_in_s)
            await _insist(lambda: self._outlets.put_off(must, delay_s, tried=False), self._clock)
        others = [frame for frame in left if not frame.job.must]
        if others:
            reason = f"model {self.name!r} is left alone for a while, as it failed ({self.status.last})"
            await self._skip([(frame, self._without(frame, "skipped", reason)) for frame in others])

    async def _skip(self, skipped: list[tuple[Waiting, Result]]) -> None:
        """Has results that say nothing written once there are some, or the first of them has waited a little."""
        self._skipped += skipped
        if len(self._skipped) >= _GATHER:
            await self._write_skipped()
        elif self._gathering is None or self._gathering.done():
            self._gathering = self._group.create_task(self._gather())

    async def _gather(self) -> None:
        await self._clock.sleep(_GATHER_S)
        await self._write_skipped()

    async def _write_skipped(self) -> None:
        skipped, self._skipped = self._skipped, []
        if skipped:
            await self._write([frame for frame, _ in skipped], [result for _, result in skipped])

    def _try_others(self, frame: Waiting) -> bool:
        frame.passed += 1
        return self._pass_on(self, frame)

    def _lacks_previous(self, frame: Waiting, coming: Collection[str] = ()) -> bool:
        """Whether the model compares a frame with the one before it, and that one has to be fetched and decoded anew.

        Args:
            frame: the frame.
            coming: frames that will go to the model before it.
        """
        spec, before = self.host.file.manifest.input, frame.job.previous
        if spec is None or not spec.previous or before is None:
            return False
        return before.frame_id not in self._sent and before.frame_id not in coming

    def _remember(self, frame_id: str) -> None:
        """Counts a frame among those that the model's process has decoded still: half as many as it keeps."""
        self._sent[frame_id] = None
        self._sent.move_to_end(frame_id)
        while len(self._sent) > (self.host.loaded.kept // 2 if self.host.loaded is not None else 0):
            self._sent.popitem(last=False)


async def _insist(call: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Calls until the servers answer: what was computed is worth the wait, and written twice it is there once."""
    pause_s = 0.1
    while True:
        try:
            await call()
        except Unavailable as error:
            _log.warning("results wait for a server", error=error.detail[:200])
            await clock.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)
        else:
            return
