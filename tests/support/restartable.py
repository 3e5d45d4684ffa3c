"""A `datamanager serve` that tests kill and start again, always on the same port."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import DATAMANAGER, clean_environ, http_status, wait_until

from datamanager.config import Config
from datamanager.local.ports import HeldPorts
from datamanager.local.spawn import die_with

__all__ = ["Restartable", "restartable"]


class Restartable:
    """A server that comes and goes; `url` stays the same."""

    def __init__(self, config: Config, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._env = clean_environ(config, DATAMANAGER_PORT=str(port))
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and returns once it is ready."""
        self.spawn()
        wait_until(lambda: http_status(f"{self.url}/ready") == 200, process=self._process, log=self._log)

    def spawn(self) -> None:
        """Starts it, and returns at once."""
        parent = os.getpid()
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own program
                [*DATAMANAGER, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                process_group=0,
                preexec_fn=lambda: die_with(parent),  # noqa: PLW1509  # two system calls, no lock taken
            )

    def kill(self) -> None:
        """Ends it as a power cut would: SIGKILL to its whole group."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def restartable(new_config: Callable[[], Config], log: Path) -> Iterator[Restartable]:
    """A server with a database of its own; gone behind the block."""
    with HeldPorts() as held:
        server = Restartable(new_config(), held.choose(), log)
        server.start()
        try:
            yield server
        finally:
            server.kill()
            time.sleep(0.1)
