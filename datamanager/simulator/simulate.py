"""Runs simulated robots side by side against a server."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from threading import Event

from datamanager.errors import Unavailable
from datamanager.simulator.plan import plan_robot
from datamanager.simulator.recordings import Recordings, find_recordings, read_recordings
from datamanager.simulator.reports import Progress, Say, complete_line, source_lines, summary_line
from datamanager.simulator.robots import Outcome, SimulatedRobot
from datamanager.simulator.settings import Settings

__all__ = ["simulate"]

_CONNECT_TIMEOUT_S = 15.0
_LOOK_S = 0.25  # how often the robots are looked at
_ENDLESS_NS = 2**62


def simulate(settings: Settings, url: str, session_id: str, *, say: Say, stop: Event) -> list[Outcome]:
    """Streams from all robots until the duration is over or `stop` is set.

    Args:
        settings: what to stream.
        url: the server's address.
        session_id: the name that each robot gives its session.
        say: takes the lines that tell how it goes.
        stop: ends it early, cleanly: what was sent is acked, and the sessions end.

    Returns:
        How each robot ended; empty when it was stopped before it began.

    Raises:
        ConfigError: the recordings are not where they should be, or cannot be read.
        Unavailable: no server answers.
    """
    recordings, why_made = _recordings(settings)
    plans = {robot_id: plan_robot(settings, number, recordings) for number, robot_id in enumerate(settings.robot_ids())}
    for line in source_lines(next(iter(plans.values())), recordings, why_made):
        say(line)
    metadata = {"simulator": "recorded" if recordings else "made", "seed": str(settings.seed)}
    robots = [SimulatedRobot(url, robot_id, session_id, plan, metadata) for robot_id, plan in plans.items()]
    with _started(robots):
        if not _connect(robots, url, say, stop):
            return []
        outcomes = _stream(robots, settings, say, stop)
    say(summary_line(outcomes))
    return outcomes


def _recordings(settings: Settings) -> tuple[Recordings | None, str]:
    folder = find_recordings(settings.recordings)
    if folder is None:
        return None, "no recordings wanted" if settings.recordings is False else "no recordings are here"
    return read_recordings(folder), ""


@contextmanager
def _started(robots: Sequence[SimulatedRobot]) -> Iterator[None]:
    """Starts the robots, and closes them however this ends."""
    with ExitStack() as opened:
        for robot in robots:
            robot.start()
            opened.callback(robot.close)
        yield


def _connect(robots: Sequence[SimulatedRobot], url: str, say: Say, stop: Event) -> bool:
    """Waits until all are connected; False when it was stopped first."""
    give_up_s = time.monotonic() + _CONNECT_TIMEOUT_S
    missing = list(robots)
    while missing:
        for robot in [robot for robot in missing if robot.stats.connected]:
            say(f"{robot.robot_id}: connected to {url}, session {robot.session_id}")
            missing.remove(robot)
        if stop.wait(0.02 if missing else 0):
            return False
        if missing and time.monotonic() > give_up_s:
            why = missing[0].stats.last_error or "no answer"
            raise Unavailable(f"{missing[0].robot_id} cannot connect to {url} within {_CONNECT_TIMEOUT_S:g} s: {why}")
    return True


def _stream(robots: Sequence[SimulatedRobot], settings: Settings, say: Say, stop: Event) -> list[Outcome]:
    start_ns = time.time_ns()
    end_ns = round(settings.duration_s * 1e9) or _ENDLESS_NS
    how_long = f"for {settings.duration_s:g} s" if settings.duration_s else "until Ctrl-C"
    end = Event()
    with ThreadPoolExecutor(len(robots), "robot") as pool:
        running = {pool.submit(robot.run, start_ns, end_ns, end): robot for robot in robots}
        for robot in robots:
            say(f"{robot.robot_id}: streaming started, {len(robot.sources)} streams {how_long}")
        try:
            for lines in _watched(running, settings.report_s):
                for line in lines:
                    say(line)
                if stop.is_set():
                    end.set()
        finally:
            end.set()  # one that failed ends the others
    return [future.result() for future in running]


def _watched(running: dict["Future[Outcome]", SimulatedRobot], report_s: float) -> Iterator[list[str]]:
    """Looks now and then, and gives the lines that tell how it goes, until all have ended.

    Raises:
        Exception: what one of them failed by.
    """
    progress = {future: Progress() for future in running}
    next_s = time.monotonic() + report_s
    waiting = set(running)
    while waiting:
        done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_EXCEPTION)
        lines = [f"{running[future].robot_id}: {complete_line(future.result())}" for future in done]
        if time.monotonic() >= next_s:
            next_s += report_s
            for future, robot in running.items():
                if future in waiting:
                    said = progress[future].text(robot.tally, robot.stats, robot.worst_late_s())
                    lines.append(f"{robot.robot_id}: {said}")
        yield lines
