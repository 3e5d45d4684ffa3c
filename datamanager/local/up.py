"""`datamanager up`: the local servers, `serve` and `worker` in one foreground command, until Ctrl-C."""

import argparse
import asyncio
import errno
import os
import socket
import sys
import time
from functools import partial
from pathlib import Path

from datamanager.config import load_config
from datamanager.errors import ConfigError
from datamanager.local.child import ChildSpec
from datamanager.local.command import say_addresses
from datamanager.local.console import Console
from datamanager.local.foreground import run_until_signal
from datamanager.local.lines import warning_lines_of_python
from datamanager.local.ports import HeldPorts
from datamanager.local.probes import http_answers
from datamanager.local.servers import local_servers
from datamanager.local.state import LocalState
from datamanager.local.supervise import supervised

__all__ = ["add_arguments", "run"]

_STOP_S = 8.0  # with the servers' own time, all is over within 15 s
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # where to find one that listens everywhere


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--port", type=int, default=None, help="port of the API (default: DATAMANAGER_PORT, or 8080)")
    parser.add_argument(
        "--data-dir", type=Path, default=None, help="folder for everything (default: DATAMANAGER_DATA_DIR)"
    )
    parser.add_argument("--workers", type=int, default=1, help="number of worker processes (default: 1)")
    parser.add_argument(
        "--until-stdin-ends",
        action="store_true",
        help="stops when standard input ends too: for a program that starts this one and shall not leave it behind",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command in the foreground until SIGINT or SIGTERM.

    Raises:
        ConfigError: the port is taken, or an option is out of bounds.
    """
    environ = dict(os.environ) | ({} if args.port is None else {"DATAMANAGER_PORT": str(args.port)})
    config = load_config(environ)
    if args.workers < 0:
        raise ConfigError(f"--workers {args.workers} must not be negative")
    folder = (args.data_dir or Path(config.local.data_dir)).absolute()
    with HeldPorts() as held:
        host, port = config.serve.host, config.serve.port or held.choose()
        held.hold(port)  # no server of ours takes it before `serve` listens there
        _check_port(host, port)
        work = _run_all(folder, host, port, args.workers, Console())
        return run_until_signal(work, until_stdin_ends=args.until_stdin_ends)


def _check_port(host: str, port: int) -> None:
    """Raises ConfigError when `serve` could not listen there."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1).close()
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            detail = f"port {port} on {host} is taken by another program; choose another with --port"
        else:
            detail = f"DATAMANAGER_HOST={host!r} with port {port} cannot be listened on: {exc}"
        raise ConfigError(detail) from exc


async def _run_all(folder: Path, host: str, port: int, workers: int, console: Console) -> None:
    started_s = time.monotonic()
    console.say(f"starting; data in {folder}, logs in {folder / 'logs'}")
    async with local_servers(folder, report=console) as state:
        say_addresses(state, folder, console)
        specs = [_serve(state, host, port), *(_worker(state, number) for number in range(1, workers + 1))]
        async with supervised(specs, logs=folder / "logs", report=console):
            _say_ready(console, _ANY_ADDRESS.get(host, host), port, time.monotonic() - started_s)
            try:
                await asyncio.Event().wait()
            finally:
                console.say("stopping; again to end at once")


def _command(name: str) -> tuple[str, ...]:
    """How to run one of our own commands: by the name that people know it by, where it is installed."""
    script = Path(sys.executable).with_name("datamanager")
    return (str(script), name) if script.is_file() else (sys.executable, "-m", "datamanager.cli", name)


def _environment(state: LocalState, **more: str) -> dict[str, str]:
    return dict(os.environ) | state.environ() | {"PYTHONUNBUFFERED": "1"} | more


def _serve(state: LocalState, host: str, port: int) -> ChildSpec:
    return ChildSpec(
        name="serve",
        argv=_command("serve"),
        env=_environment(state, DATAMANAGER_PORT=str(port)),
        cwd=Path.cwd(),
        answers=partial(http_answers, _ANY_ADDRESS.get(host, host), port, "/ready"),
        lines=warning_lines_of_python(),
        stop_s=_STOP_S,
    )


def _worker(state: LocalState, number: int) -> ChildSpec:
    return ChildSpec(
        name="worker" if number == 1 else f"worker-{number}",
        argv=_command("worker"),
        env=_environment(state),
        cwd=Path.cwd(),
        answers=_lived_a_second,
        lines=warning_lines_of_python(),
        stop_s=_STOP_S,
    )


async def _lived_a_second() -> bool:
    """A worker answers nobody: one that has not died by then has found all that it needs."""
    await asyncio.sleep(1.0)
    return True


def _say_ready(console: Console, host: str, port: int, took_s: float) -> None:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    console.say(f"ready after {took_s:.1f} s; Ctrl-C stops everything")
    console.say(f"  API        http://{address}/api/v1    (reference: http://{address}/schema)")
    console.say(f"  robots     ws://{address}/api/v1/ingest")
    console.say(f"  state      http://{address}/ready    (metrics: http://{address}/metrics)")
