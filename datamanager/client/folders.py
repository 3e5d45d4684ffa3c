"""Where the spools of a robot lie: `spool_dir/robot_id/session_id/producer`, each with one owner at a time."""

import os
from collections.abc import Iterator
from pathlib import Path

from datamanager.client.errors import SpoolLocked
from datamanager.client.numbering import Numbering
from datamanager.client.spool import Spool

__all__ = ["fresh_producer", "leftovers", "open_spool"]

_OWN = "py-"


def fresh_producer() -> str:
    """A name that no other process ever had."""
    return f"{_OWN}{os.urandom(8).hex()}"


def open_spool(
    root: Path, robot_id: str, session_id: str, producer: str | None, segment_bytes: int
) -> tuple[Spool, Numbering]:
    """Opens the spool of a producer; without one, that of a former process of the session, else a fresh one.

    Raises:
        SpoolLocked: another process uses it.
        OSError: no room, no right.
    """
    session = root / robot_id / session_id
    if producer is None:
        for folder in sorted(session.glob(f"{_OWN}*")):
            try:
                return _open(folder, segment_bytes)
            except SpoolLocked:
                continue  # another process of this session speaks with this name
        producer = fresh_producer()
    return _open(session / producer, segment_bytes)


def leftovers(root: Path, session_id: str) -> Iterator[tuple[str, str, str]]:
    """What former processes left of other sessions: robot, session, producer of each."""
    for state in sorted(root.glob("*/*/*/state.json")):
        robot, session, producer = state.parts[-4:-1]
        if session != session_id:
            yield robot, session, producer


def _open(folder: Path, segment_bytes: int) -> tuple[Spool, Numbering]:
    numbering = Numbering()
    return Spool(folder, folder.name, numbering, segment_bytes), numbering
