"""Real processes for tests: started, awaited, ended, and gone with pytest, however that ends."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from datamanager.config import Config, environ_of
from datamanager.local.ports import HeldPorts
from datamanager.local.spawn import die_with

__all__ = ["clean_environ", "datamanager", "datamanager_worker", "http_status", "served", "wait_until"]

DATAMANAGER = (sys.executable, "-m", "datamanager.cli")


def clean_environ(config: Config | None = None, **more: str) -> dict[str, str]:
    """Our environment without its `DATAMANAGER_` variables, and with those of `config` and `more` instead."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DATAMANAGER_")}
    return kept | {"PYTHONUNBUFFERED": "1"} | (environ_of(config) if config else {}) | more


@contextmanager
def datamanager(*arguments: str, log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `datamanager ARGUMENTS` in a process group of its own while the block runs; then SIGTERM, then SIGKILL."""
    parent = os.getpid()
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  # our own program
            [*DATAMANAGER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            process_group=0,
            preexec_fn=lambda: die_with(parent),  # noqa: PLW1509  # two system calls, no lock taken
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def served(config: Config, *, log: Path, **more: str) -> Iterator[str]:
    """Runs `datamanager serve` on a free port against the servers of `config`.

    Yields:
        Its base URL, without a slash at the end, once it is ready.
    """
    with HeldPorts() as held:
        port = str(held.choose())
        url = f"http://127.0.0.1:{port}"
        with datamanager("serve", log=log, env=clean_environ(config, DATAMANAGER_PORT=port, **more)) as process:
            wait_until(lambda: http_status(f"{url}/ready") == 200, process=process, log=log)
            yield url


@contextmanager
def datamanager_worker(config: Config, *, log: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `datamanager worker` against the servers of `config`."""
    with datamanager("worker", log=log, env=clean_environ(config, **more)) as process:
        yield process


def http_status(url: str) -> int:
    """The status of `GET url`; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # a URL of our own server
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout_s: float = 30.0,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
) -> None:
    """Waits until `condition()` holds; fails, with the end of `log`, after `timeout_s` or when `process` has ended."""
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > give_up_s:
            tail = log.read_text(errors="replace")[-4000:] if log is not None and log.exists() else ""
            raise AssertionError(("the process ended" if ended else f"not so after {timeout_s:g} s") + f"\n{tail}")
        time.sleep(0.05)
