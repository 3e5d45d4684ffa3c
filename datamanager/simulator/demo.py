"""`make demo`: servers, robots that stream for a minute, and what they left, asked over the API. Serves on until Ctrl-C."""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import httpx

from datamanager.client.console import say, stopped_by_signals
from datamanager.errors import DatamanagerError, Unavailable
from datamanager.simulator.command import new_session_id
from datamanager.simulator.settings import Settings, with_options
from datamanager.simulator.simulate import simulate
from datamanager.simulator.tour import Tour

__all__ = ["main"]

_PORT = 8080
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 25.0
_MODELS_TIMEOUT_S = 30.0
_RULES = {
    "quality": {"model": "quality", "stream": "*_rgb", "max_fps": 5},
    "detector": {"model": "detector", "stream": "*_rgb", "max_fps": 2},
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo.

    Returns:
        The exit status: 0 when all that was sent is durable and everything could be shown, 1 when not, 2 when an option is wrong.
    """
    args = _arguments(argv)
    try:
        settings = with_options(
            Settings(), robots=args.robots, duration_s=args.duration, recordings=False if args.made else None
        )
        with stopped_by_signals() as stop:
            return _demo(settings, args, stop)
    except DatamanagerError as error:
        say(f"demo: {error.detail}")
        return 2 if error.code == "bad_setting" else 1
    except KeyboardInterrupt:
        return 130


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m datamanager.simulator.demo", description=__doc__)
    parser.add_argument("--robots", type=int, default=3)
    parser.add_argument("--duration", type=float, default=60.0, help="seconds to stream (default: 60)")
    parser.add_argument("--port", type=int, help="of the API (default: 8080, or a free one where that is taken)")
    parser.add_argument("--data-dir", type=Path, default=Path("demo-data"), help="folder (default: demo-data)")
    parser.add_argument("--made", action="store_true", help="plays no recordings: makes everything")
    parser.add_argument("--once", action="store_true", help="ends when all is shown")
    return parser.parse_args(argv)


def _demo(settings: Settings, args: argparse.Namespace, stop: Event) -> int:
    port = args.port or _free_port()
    url = f"http://127.0.0.1:{port}"
    session_id = new_session_id()
    with _servers(port, args.data_dir) as up, _client(url) as http:
        if not _ready(http, up, stop):
            return 0
        _enrich(http, stop)
        say(f"\n== {len(settings.robot_ids())} robots stream for {settings.duration_s:g} s\n")
        outcomes = simulate(settings, url, session_id, say=say, stop=stop)
        if stop.is_set() and not outcomes:
            return 0
        say("\n== what the server has of it\n")
        robot_id = settings.robot_ids()[0]
        tour = Tour(http, robot_id, session_id, args.data_dir, say)
        tour.show()
        _say_what_to_try(url, robot_id, session_id, is_enriched="front_rgb/quality" in tour.streams)
        while not (args.once or stop.wait(0.5)):
            if up.poll() is not None:
                raise Unavailable(f"the servers have ended (status {up.returncode})")
        return 0 if all(outcome.whole for outcome in outcomes) else 1


def _client(url: str) -> httpx.Client:
    """Follows redirects, which lead from the server to S3."""
    return httpx.Client(base_url=url, trust_env=False, timeout=60.0, follow_redirects=True)


def _free_port() -> int:
    """8080, or a free one where another program has that."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            say(f"port {_PORT} is taken by another program: the demo takes {probe.getsockname()[1]}")
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _servers(port: int, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs `datamanager up`. It ends with us however we end: its standard input is a pipe of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "datamanager.cli", "up", "--port", str(port), "--data-dir", str(folder)]
    up = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--until-stdin-ends"],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "DATAMANAGER_HOST": "127.0.0.1"},
        process_group=0,  # Ctrl-C in a terminal reaches us alone, and we stop it in order
    )
    try:
        yield up
    finally:
        if up.stdin:
            up.stdin.close()
        try:
            up.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(up.pid, signal.SIGKILL)
            up.wait()


def _ready(http: httpx.Client, up: "subprocess.Popen[bytes]", stop: Event) -> bool:
    """Waits until the server is ready; False when it was stopped first."""
    give_up_s = time.monotonic() + _START_TIMEOUT_S
    while not _answers(http):
        if stop.wait(0.1):
            return False
        if up.poll() is not None:
            raise Unavailable(f"the servers did not start (status {up.returncode}): see above")
        if time.monotonic() > give_up_s:
            raise Unavailable(f"the servers are not ready after {_START_TIMEOUT_S:g} s")
    time.sleep(1.0)  # `up` says that all is ready a moment after the server answers: let it speak first
    return True


def _enrich(http: httpx.Client, stop: Event) -> None:
    """Has models look at the cameras, as soon as the server has those that come with it."""
    say("\n== what models look at\n")
    for name, rule in _RULES.items():
        address, give_up_s = f"/api/v1/enrichments/{name}", time.monotonic() + _MODELS_TIMEOUT_S
        while not (answer := http.put(address, json=rule)).is_success and time.monotonic() < give_up_s:
            if stop.wait(0.5):
                return
        if not answer.is_success:
            raise Unavailable(f"PUT {address}: {answer.text[:200]}")
        say(f"PUT {address} {json.dumps(rule)}")


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/ready").is_success
    except httpx.HTTPError:
        return False


def _say_what_to_try(url: str, robot_id: str, session_id: str, *, is_enriched: bool) -> None:
    session = f"{url}/api/v1/sessions/{robot_id}/{session_id}"
    results = f"""
  curl -s '{session}/range?stream=front_rgb/quality&max_points=20'
  curl -s -G '{session}/results' --data-urlencode 'where=sharpness < 100' --data-urlencode 'limit=3'"""
    say(
        f"""== to try

  {url}/schema   (in a browser: every call)

  curl -s '{url}/api/v1/sessions'
  curl -s '{session}'
  curl -s '{session}/streams'
  curl -s '{session}/range?stream=pose&max_points=100'
  curl -s '{session}/range?stream=joint_states&format=csv' | head -3
  curl -s '{session}/records?stream=front_rgb&limit=3'{results if is_enriched else ""}
  curl -s '{session}/at?streams=pose,front_rgb&t={int(time.time())}'
  curl -s '{url}/metrics' | head -20

  live: let a robot stream in one terminal, and look on in another
  {_program("datamanager")} simulate --url {url} --robots 1 --duration 600 --session live
  {_program("python")} -m websockets '{url.replace("http", "ws", 1)}/api/v1/live?robot_id=robot-001&session_id=live&streams=pose,system'
"""
    )


def _program(name: str) -> str:
    """How to call a program of this environment from here."""
    return os.path.relpath(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    sys.exit(main())
