"""Rolls up the statistics of sessions: the handler of jobs of kind `rollup`."""

from datamanager.clock import Clock
from datamanager.observability import get_logger
from datamanager.storage.floors import Floors
from datamanager.storage.jobs import Job
from datamanager.storage.rollup import Rollup
from datamanager.storage.sessions import Streams

__all__ = ["Rollups"]

_log = get_logger(__name__)


class Rollups:
    """Takes into a session's rollups what is complete by now."""

    def __init__(self, floors: Floors, streams: Streams, rollup: Rollup, clock: Clock) -> None:
        self._floors = floors
        self._streams = streams
        self._rollup = rollup
        self._clock = clock

    async def __call__(self, job: Job) -> None:
        """Does one job.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        robot_id, session_id = job.key.split("/")
        goal = await self._floors.goal(robot_id, session_id, self._clock.now_ns() // 1_000_000_000 + 1)
        if goal is None:
            return  # somebody has just begun to write, and a sweep asks again
        blocks = 0
        for stream in await self._streams.all_of(robot_id, session_id):
            if stream["kind"] == "time_series":
                blocks += await self._rollup.run(robot_id, session_id, stream["stream"], goal.generation)
        await self._floors.rolled(robot_id, session_id, goal)
        if blocks:
            _log.info("rolled up", session=job.key, blocks=blocks)
