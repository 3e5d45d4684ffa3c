"""A model's lane that runs on its own, with a real model in a process of its own and real originals in S3."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.waiting import eventually

from datamanager.clock import SystemClock
from datamanager.config import InferenceConfig
from datamanager.inference.manifest import Manifest
from datamanager.inference.shedding import ShedReason
from datamanager.storage.enrichments import Enrichment
from datamanager.storage.inference_job import InferenceJob, PreviousFrame, TakenInference
from datamanager.storage.results import Result
from datamanager.worker.enrich.hosts import ModelFile, ModelHost
from datamanager.worker.enrich.lane import Lane
from datamanager.worker.enrich.originals import Originals
from datamanager.worker.enrich.waiting import Waiting

__all__ = ["Left", "RunningLane", "loaded_host", "running_lane"]


@dataclass
class Left:
    """Where frames of a lane went: results, and the ids of those that were put off or shed."""

    results: list[Result] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)

    async def settle(self, frames: Sequence[Waiting], results: Sequence[Result]) -> None:
        """Takes results in."""
        assert len(frames) == len(results)
        self.results += results

    async def put_off(self, frames: Sequence[Waiting], delay_s: float, *, tried: bool) -> None:
        """Notes who is to be tried again."""
        assert delay_s > 0
        assert tried
        self.back += self._let_go(frames)

    async def shed(self, frames: Sequence[Waiting], by: ShedReason) -> None:
        """Notes who came too late."""
        assert by == "age"
        self.given_up += self._let_go(frames)

    def _let_go(self, frames: Sequence[Waiting]) -> list[str]:
        for frame in frames:
            frame.let_go()
        return [frame.job.frame_id for frame in frames]


@dataclass
class RunningLane:
    """A lane that runs.

    Attributes:
        most_bytes: how much its originals took at most.
    """

    lane: Lane
    left: Left
    held: Originals
    most_bytes: int = 0

    def put(self, n: int, *, size_bytes: int, must: bool = True) -> None:
        """Has frame `n` wait: its original is `raw/{n}`, and frame `n - 1` came before it."""
        job = InferenceJob(
            enrichment="look",
            model=self.lane.name,
            robot_id="r",
            session_id="s",
            stream="cam",
            frame_id=str(n),
            key=f"raw/{n}",
            size_bytes=size_bytes,
            t_ns=n,
            asked_ns=SystemClock().now_ns(),
            must=must,
            previous=PreviousFrame(str(n - 1), f"raw/{n - 1}", n - 1, size_bytes) if n else None,
        )
        taken = TakenInference(job, b"1-%d" % n, "normal")
        self.lane.put(Waiting(taken, Enrichment(name="look", model=self.lane.name), "cam/out"))

    async def results(self, count: int) -> list[Result]:
        """The results, once there are so many."""

        async def are_there() -> bool:
            return len(self.left.results) >= count

        await eventually(are_there)
        return self.left.results

    async def watch(self) -> None:
        """Keeps `most_bytes`, until cancelled."""
        while True:
            self.most_bytes = max(self.most_bytes, self.held.held_bytes)
            await asyncio.sleep(0)


@asynccontextmanager
async def loaded_host(manifest: Manifest, path: Path) -> AsyncIterator[ModelHost]:
    """A model that stands ready in a process of its own."""
    async with ModelHost(ModelFile(manifest, path), InferenceConfig()) as host:
        await host.load()
        yield host


@asynccontextmanager
async def running_lane(
    manifest: Manifest, path: Path, held: Originals, *, shed_after_s: float = 60.0
) -> AsyncIterator[RunningLane]:
    """A lane of a model, loaded."""
    async with loaded_host(manifest, path) as host:
        left = Left()
        lane = Lane(
            host,
            left,
            held,
            SystemClock(),
            target_s=0.06,
            shed_after_s=shed_after_s,
            pass_on=lambda _lane, _frame: False,
        )
        running = RunningLane(lane, left, held)
        tasks = [asyncio.create_task(work) for work in (lane.run(), running.watch())]
        await asyncio.sleep(0)  # they have begun
        try:
            yield running
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
