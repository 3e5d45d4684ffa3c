"""`datamanager pull`, in this process or as a child, and what came of it."""

import io
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from support.processes import clean_environ, datamanager
from support.rtsp_server import numbers_in

from datamanager.cli import main
from datamanager.pull.address import read_address
from datamanager.pull.pulling import Pull, Target
from datamanager.pull.settings import PullSettings

__all__ = ["ROBOT", "contents", "numbers", "pull", "pulling", "pulling_here", "records"]

ROBOT = "puller"


def pull(server: str, source: str | Path, *arguments: str, status: int = 0) -> str:
    """Pulls to its end, in this process; gives what it says."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        found = main(["pull", str(source), *_where(server), *arguments])
    assert found == status, said.getvalue()
    return said.getvalue()


@contextmanager
def pulling_here(server: str, source: str, session: str, stream: str, **settings: Any) -> Iterator[list[str]]:
    """Pulls in this process while the block runs, and ends it cleanly; gives the lines that it says."""
    said: list[str] = []
    stop = Event()
    target = Target(server=server, robot_id=ROBOT, session_id=session, stream=stream)
    pull = Pull(read_address(source), target, PullSettings(**settings), base_ns=None, stop=stop, say=said.append)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pull.run)
        try:
            yield said
        finally:
            stop.set()
        assert running.result(30).whole, said


@contextmanager
def pulling(server: str, source: str | Path, *arguments: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Pulls while the block runs, then ends it as Ctrl-C does; what it says is in `log`."""
    with datamanager("pull", str(source), *_where(server), *arguments, log=log, env=clean_environ()) as process:
        yield process


def records(server: str, session: str, stream: str, *, least: int = 0, timeout_s: float = 20) -> list[dict[str, Any]]:
    """The records of a stream in their order; waits until there are `least`."""
    give_up_s = time.monotonic() + timeout_s
    while True:
        found = _records(server, session, stream)
        if len(found) >= least:
            return found
        assert time.monotonic() < give_up_s, f"{len(found)} records of {stream}"
        time.sleep(0.1)


def contents(server: str, found: list[dict[str, Any]]) -> list[bytes]:
    """The exact bytes of records."""
    with httpx.Client(base_url=f"{server}/api/v1", follow_redirects=True, trust_env=False) as http:
        return [http.get(f"/records/{r['record_id']}/content").raise_for_status().content for r in found]


def numbers(server: str, session: str, stream: str) -> list[int]:
    """The numbers of the pictures in the chunks of a stream, in order."""
    return [number for data in contents(server, records(server, session, stream)) for number in numbers_in(data)]


def _records(server: str, session: str, stream: str) -> list[dict[str, Any]]:
    path = f"{server}/api/v1/sessions/{ROBOT}/{session}/records"
    params: dict[str, Any] = {"stream": stream, "limit": 1000}
    found: list[dict[str, Any]] = []
    while True:
        answer = httpx.get(path, params=params, trust_env=False)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        page = answer.raise_for_status().json()
        found += page["items"]
        if not page.get("next_cursor"):
            return found
        params["cursor"] = page["next_cursor"]


def _where(server: str) -> list[str]:
    return ["--robot", ROBOT, "--server", server]
