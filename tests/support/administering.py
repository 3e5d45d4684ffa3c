"""`datamanager models` and `datamanager enrich`, and what they say."""

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from support.processes import DATAMANAGER, clean_environ

from datamanager.cli import main

__all__ = ["administer"]


def administer(server: str, *arguments: str | Path, status: int = 0, child: bool = False) -> str:
    """Runs a command against a server; gives what it says, on stdout and then on stderr.

    Args:
        server: its address.
        arguments: the command and its own.
        status: the exit status that is expected.
        child: whether it runs in a process of its own, as a person runs it.
    """
    words = [*map(str, arguments), "--server", server]
    found, out, err = _in_child(words) if child else _here(words)
    assert found == status, out + err
    if status:
        assert out == ""
        assert err.count("\n") == 1 or err.startswith("usage:"), err
    return out + err


def _here(words: list[str]) -> tuple[int, str, str]:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            status = main(words)
        except SystemExit as end:  # arguments that make no sense
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


def _in_child(words: list[str]) -> tuple[int, str, str]:
    done = subprocess.run(  # noqa: S603  # our own program
        [*DATAMANAGER, *words], env=clean_environ(), capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr
