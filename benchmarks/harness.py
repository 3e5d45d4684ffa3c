"""Starts what a benchmark needs, and runs its load in a process of its own."""

import argparse
import asyncio
import multiprocessing
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from pymongo import MongoClient

from benchmarks.machine import CpuWatch
from benchmarks.result import Result
from datamanager.config import Config, load_config
from datamanager.local.child import ChildSpec
from datamanager.local.lines import warning_lines_of_python
from datamanager.local.ports import HeldPorts
from datamanager.local.probes import http_answers
from datamanager.local.servers import local_servers
from datamanager.local.spawn import die_with
from datamanager.local.supervise import supervised

__all__ = ["Bench", "Needs", "main"]

P = ParamSpec("P")
T = TypeVar("T")
_NAMES = {"mongod": "mongod", "weed": "weed", "redis-server": "redis", "serve": "serve", "worker": "worker"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a benchmark wants of the harness.

    Attributes:
        seconds: how long one phase lasts unless the command line says otherwise.
        rounds: how often each phase is measured.
        worker: whether a `datamanager worker` runs too.
        serves: how many `datamanager serve` run.
        options: adds the benchmark's own options.
    """

    seconds: float = 5.0
    rounds: int = 3
    worker: bool = False
    serves: int = 1
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything a benchmark is handed.

    Attributes:
        urls: of the running servers, without a slash at the end; the same one again where a server was named that was
            running before.
        config: leads to the MongoDB, S3 and Redis behind it.
        args: the command line.
        robot_id: a robot that nobody else uses.
        cpu: what each process takes.
        own: whether the servers are ours, so that nobody minds what is done to them.
    """

    urls: tuple[str, ...]
    config: Config
    args: argparse.Namespace
    robot_id: str
    cpu: CpuWatch
    own: bool
    _pool: ProcessPoolExecutor

    @property
    def url(self) -> str:
        """Of the first server, without a slash at the end."""
        return self.urls[0]

    async def elsewhere(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a function of a module in the process that makes the load, and returns what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *args, **kwargs))


def main(about: str, run: Callable[[Bench, Result], Awaitable[None]], needs: Needs) -> None:
    """The `main` of a benchmark: reads its command line, starts its servers, runs it, and shows what it found."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=needs.seconds, help="length of one phase (%(default)s)")
    parser.add_argument("--rounds", type=int, default=needs.rounds, help="how often each is measured (%(default)s)")
    parser.add_argument(
        "--url",
        help="a running server to measure, instead of one of our own; DATAMANAGER_... variables lead to its stores",
    )
    parser.add_argument("--mongo-url", help="the MongoDB of --url, where DATAMANAGER_MONGO_URL does not name it")
    needs.options(parser)
    args = parser.parse_args()
    result = Result(Path(sys.argv[0]).stem, settings={"rounds": args.rounds, "seconds": args.seconds})
    asyncio.run(_run(run, result, args, needs))
    result.show(as_json=args.json)


async def _run(
    run: Callable[[Bench, Result], Awaitable[None]], result: Result, args: argparse.Namespace, needs: Needs
) -> None:
    async with AsyncExitStack() as stack:
        if args.url:
            config = load_config()
            urls, own = (args.url.rstrip("/"),) * needs.serves, False
            config = replace(config, mongo=replace(config.mongo, url=args.mongo_url or config.mongo.url))
        else:
            urls, config = await stack.enter_async_context(_servers(needs))
            own = True
        with MongoClient[dict[str, object]](config.mongo.url) as client:
            result.versions["mongod"] = client.server_info()["version"]
        pool = stack.enter_context(
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=die_with, initargs=(os.getpid(),))
        )
        await run(Bench(urls, config, args, f"bench-{secrets.token_hex(4)}", CpuWatch(_NAMES), own, pool), result)


@asynccontextmanager
async def _servers(needs: Needs) -> AsyncIterator[tuple[tuple[str, ...], Config]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DATAMANAGER_")}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="datamanager-bench-")))
        state = await stack.enter_async_context(local_servers(folder, report=_report, environ=clean))
        held = stack.enter_context(HeldPorts())
        environ = clean | state.environ() | {"PYTHONUNBUFFERED": "1"}
        ports = [held.choose() for _ in range(needs.serves)]
        for number, port in enumerate(ports):
            server = _serve(number, environ | {"DATAMANAGER_PORT": str(port)}, port)
            await stack.enter_async_context(supervised([server], logs=folder / "logs", report=_report))
        if needs.worker:
            await stack.enter_async_context(supervised([_worker(environ)], logs=folder / "logs", report=_report))
        yield tuple(f"http://127.0.0.1:{port}" for port in ports), load_config(environ)


def _serve(number: int, environ: dict[str, str], port: int) -> ChildSpec:
    return ChildSpec(
        name="serve" if number == 0 else f"serve-{number}",
        argv=(sys.executable, "-m", "datamanager.cli", "serve"),
        env=environ,
        cwd=Path.cwd(),
        answers=partial(http_answers, "127.0.0.1", port, "/ready"),
        lines=warning_lines_of_python(),
    )


def _worker(environ: dict[str, str]) -> ChildSpec:
    return ChildSpec(
        name="worker",
        argv=(sys.executable, "-m", "datamanager.cli", "worker"),
        env=environ,
        cwd=Path.cwd(),
        answers=_at_once,
        lines=warning_lines_of_python(),
    )


async def _at_once() -> bool:
    """Nobody asks a worker: what it does shows later."""
    return True


def _report(name: str, text: str) -> None:
    print(f"{name}: {text}", file=sys.stderr)
