"""The small facts beside the spool's files: whose they are, what is acked, and the lock that keeps others out."""

import fcntl
import os
from pathlib import Path
from typing import Any

import msgspec

from datamanager.client.errors import ClientError, SpoolLocked
from datamanager.client.segments import sync_folder

__all__ = ["FolderLock", "SpoolState", "boot_id", "load_state", "save_state"]

_NAME = "state.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SpoolState(msgspec.Struct, kw_only=True):
    """What must outlive the process.

    Attributes:
        producer: who sends what is spooled here; the same for ever.
        settled: whether a server has welcomed this producer, so that what is here may have been sent.
        shifts: as `Numbering.dump` gives them.
        acked: by stream, the place up to which all is acked.
        boot: the machine's boot in which the spool was last open.
        clean: whether it was closed with everything on the disk.
        config: what the session's hello said, for when another process sends the rest.
        metadata: the same.
    """

    version: int = 1
    producer: str
    settled: bool = False
    shifts: dict[str, list[tuple[int, int]]] = {}
    acked: dict[str, int] = {}
    boot: str = ""
    clean: bool = True
    config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


def boot_id() -> str:
    """A name of this boot of the machine; empty where the system has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def load_state(folder: Path) -> SpoolState | None:
    """The state kept in a folder; None when there is none yet.

    Raises:
        ClientError: it is there and cannot be read.
    """
    try:
        data = (folder / _NAME).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=SpoolState)
    except msgspec.MsgspecError as error:
        raise ClientError(f"{folder / _NAME} is spoilt: {error}") from error


def save_state(folder: Path, state: SpoolState) -> None:
    """Replaces the state, whole or not at all; it is on the disk when this returns.

    Raises:
        OSError: no room, no right.
    """
    beside = folder / f"{_NAME}.tmp"
    with beside.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / _NAME)
    sync_folder(folder)


class FolderLock:
    """Holds a folder for one process, until `release` or the process's end.

    Raises:
        SpoolLocked: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "lock").open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise SpoolLocked(f"another process uses the spool {folder}") from error
        if not (folder / "lock").exists():  # its last owner removed the folder while we waited to open it
            self._file.close()
            raise SpoolLocked(f"the spool {folder} is being removed")

    def release(self) -> None:
        """Lets others in."""
        self._file.close()
