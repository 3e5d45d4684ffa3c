"""What stays in the data folder between starts: the addresses and keys, and the lock that keeps a second start out."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from datamanager.errors import LocalServerError

__all__ = ["LocalState", "hold_folder", "read_state", "write_state"]


def _new_key(length: int) -> str:
    return secrets.token_hex(length // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalState:
    """The content of `local.json`: where the servers of a data folder are, and how to sign in.

    `own_access_key`, `own_secret_key` and `ports` are those of our own servers, kept also while a server that is
    already there stands in for one of them.
    """

    mongo_url: str = ""
    s3_endpoint: str = ""
    s3_access_key: str = ""
    s3_secret_key: str = ""
    redis_url: str = ""
    own_access_key: str = field(default_factory=lambda: _new_key(20))
    own_secret_key: str = field(default_factory=lambda: _new_key(40))
    ports: dict[str, int] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        """The `DATAMANAGER_` variables that lead a process to these servers."""
        return {
            "DATAMANAGER_MONGO_URL": self.mongo_url,
            "DATAMANAGER_S3_ENDPOINT": self.s3_endpoint,
            "DATAMANAGER_S3_ACCESS_KEY": self.s3_access_key,
            "DATAMANAGER_S3_SECRET_KEY": self.s3_secret_key,
            "DATAMANAGER_REDIS_URL": self.redis_url,
        }


def _file(folder: Path) -> Path:
    return folder / "local.json"


def read_state(folder: Path) -> LocalState | None:
    """Reads `local.json`; None when the folder has none.

    Raises:
        LocalServerError: the file is not what we wrote.
    """
    try:
        return msgspec.json.decode(_file(folder).read_bytes(), type=LocalState)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise LocalServerError(
            f"{_file(folder)} cannot be read ({exc}); remove it, and new keys and ports are made: no data is lost"
        ) from exc


def write_state(folder: Path, state: LocalState) -> None:
    """Writes `local.json`, readable by its owner alone, whole or not at all."""
    draft = folder / "local.json.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        os.fchmod(out.fileno(), 0o600)  # a draft left by a crash keeps the mode it had
        out.write(msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    draft.replace(_file(folder))


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Makes the folder if need be, and keeps every other `local` or `up` out of it. The kernel lets go when we die.

    Raises:
        LocalServerError: another one has it, or it cannot be made or written.
    """
    if sys.platform == "win32":
        raise LocalServerError(
            "the local servers do not run on Windows: use WSL, or set DATAMANAGER_MONGO_URL, DATAMANAGER_S3_ENDPOINT "
            "and DATAMANAGER_REDIS_URL and run `datamanager serve` and `datamanager worker`"
        )
    import fcntl  # noqa: PLC0415  # not there on Windows, where the lines above speak first

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "local.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise LocalServerError(f"the data folder {folder} cannot be used: {exc.strerror}; choose another") from exc
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise LocalServerError(
                f"{folder} is in use by another `datamanager local` or `up` (process {owner}); stop it, or choose "
                "another --data-dir"
            ) from exc
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
