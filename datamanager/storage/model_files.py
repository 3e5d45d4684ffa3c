"""The files of models: checked in S3, and brought to the machine that runs them."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from datamanager.errors import DatamanagerError, NotFound, Refused
from datamanager.storage.keys import model_key
from datamanager.storage.model_documents import StoredModel
from datamanager.storage.onnx_file import OnnxScan
from datamanager.storage.s3 import S3

__all__ = ["check_model", "check_size", "fetch_model"]

_CHUNK_BYTES = 1024 * 1024
_STALE_S = 3600.0  # a download that nobody has written to for so long has no process any more


async def check_model(s3: S3, key: str, *, size_bytes: int, checksum: str) -> None:
    """Reads an object through, a megabyte at a time, and checks that it is the model that was declared.

    Raises:
        Refused: `bad_payload`: its size or checksum is another, or it is no ONNX model.
        NotFound: there is no such object; S3Unavailable.
    """
    await check_size(s3, key, size_bytes)
    digest, scan = hashlib.sha256(), OnnxScan()
    wrong: Refused | None = None  # a checksum that differs says more than what it made of the content
    async for data in _chunks(s3, key, size_bytes):
        await asyncio.to_thread(digest.update, data)
        if wrong is None:
            try:
                scan.feed(data)
            except Refused as refused:
                wrong = refused
    if digest.hexdigest() != checksum:
        raise Refused("bad_payload", f"the model has the checksum {digest.hexdigest()}, {checksum} was declared")
    if wrong is not None:
        raise wrong
    scan.finish()


async def check_size(s3: S3, key: str, size_bytes: int) -> None:
    """Checks that an object is as large as was declared.

    Raises:
        Refused: `bad_payload`: it is not.
        NotFound: there is no such object; S3Unavailable.
    """
    size = await s3.size(key)
    if size is None:
        raise NotFound(f"there is no object {key}")
    if size != size_bytes:
        raise Refused("bad_payload", f"the model has {size} bytes, {size_bytes} were declared")


async def fetch_model(s3: S3, stored: StoredModel, folder: Path, *, max_bytes: int) -> Path:
    """A model's file in `folder`; downloaded unless it is there, and checked in either case.

    Other files in the folder are removed, those longest unused first, until all have `max_bytes` at most; a process that
    has one of them open keeps it.

    Raises:
        DatamanagerError: what S3 has is not what was added, or the folder does not take it.
        NotFound: it was removed; S3Unavailable.
    """
    path = folder / f"{stored.name}-{stored.version}-{stored.checksum[:16]}.onnx"
    try:
        if await asyncio.to_thread(_is_whole, path, stored):
            return path
        await asyncio.to_thread(_make_room, folder, path, stored.size_bytes, max_bytes)
        await _download(s3, stored, path)
    except OSError as exc:
        raise DatamanagerError(f"the model {stored.name} {stored.version} cannot be kept in {folder}: {exc}") from exc
    return path


async def _download(s3: S3, stored: StoredModel, path: Path) -> None:
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    digest = hashlib.sha256()
    try:
        with part.open("xb") as file:
            async for data in _chunks(s3, model_key(stored.name, stored.version), stored.size_bytes):
                await asyncio.to_thread(_take, file, digest, data)
        if digest.hexdigest() != stored.checksum:
            raise DatamanagerError(
                f"the model {stored.name} {stored.version} in S3 has the checksum {digest.hexdigest()}, not {stored.checksum}"
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


async def _chunks(s3: S3, key: str, size_bytes: int) -> AsyncIterator[memoryview]:
    for offset in range(0, size_bytes, _CHUNK_BYTES):
        yield await s3.view(key, offset, min(_CHUNK_BYTES, size_bytes - offset))


def _take(file: BinaryIO, digest: "hashlib._Hash", data: memoryview) -> None:
    file.write(data)
    digest.update(data)


def _is_whole(path: Path, stored: StoredModel) -> bool:
    """Whether the file is there as it was added; then it counts as used now."""
    try:
        if path.stat().st_size != stored.size_bytes:
            return False
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != stored.checksum:
                return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _make_room(folder: Path, path: Path, size_bytes: int, max_bytes: int) -> None:
    """Removes what is in the way of a new file."""
    folder.mkdir(parents=True, exist_ok=True)
    old = [(stat.st_mtime, stat.st_size, file) for file in folder.iterdir() if (stat := _stat(file)) is not None]
    taken = size_bytes
    for mtime, size, file in sorted(old, reverse=True):
        is_stale = file.suffix == ".part" and time.time() - mtime > _STALE_S
        if file.suffix == ".onnx" and file != path:
            taken += size
            is_stale = taken > max_bytes
        if is_stale:
            file.unlink(missing_ok=True)


def _stat(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except FileNotFoundError:  # another process removed it just now
        return None
