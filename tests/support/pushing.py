"""`datamanager push` as a child process, and what came of it."""

import subprocess
from pathlib import Path
from typing import Any

import httpx
from support.processes import DATAMANAGER, clean_environ

__all__ = ["PNG_1X1", "push", "records"]

PNG_1X1 = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63f8cfc0f01f00050001ff89993d1d0000000049454e44ae426082"
)


def push(server: str, *arguments: str | Path, status: int = 0) -> str:
    """Pushes as the robot `pusher`; gives what it says."""
    done = subprocess.run(  # noqa: S603  # our own program
        [*DATAMANAGER, "push", *map(str, arguments), "--robot", "pusher", "--server", server],
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def records(server: str, session: str, **params: Any) -> list[dict[str, Any]]:
    """The records of a session that was pushed."""
    answer = httpx.get(f"{server}/api/v1/sessions/pusher/{session}/records", params=params, trust_env=False)
    return list(answer.json()["items"])
