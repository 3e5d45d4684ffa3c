"""Files as records: small ones in messages, large ones by upload; one that is there already is left alone."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from datamanager.client.errors import ClientError, ReaderError
from datamanager.client.upload import Uploader, file_checksum
from datamanager.errors import DatamanagerError
from datamanager.push.bodies import Bodies, Session
from datamanager.push.console import Console
from datamanager.push.plan import PlannedFile

__all__ = ["push_files"]

_PRODUCER = "push"


async def push_files(
    session: Session, uploader: Uploader, files: Sequence[PlannedFile], console: Console, *, small_bytes: int
) -> int:
    """Sends files, a stream after the other.

    Args:
        session: where to.
        uploader: for those with more than `small_bytes`.
        files: in order.
        console: is told what becomes of each.
        small_bytes: see there.

    Returns:
        How many were refused, or could not be sent.
    """
    refused = 0
    streams: dict[str, list[PlannedFile]] = defaultdict(list)
    for file in files:
        streams[file.stream].append(file)
    for stream, members in streams.items():
        refused += await _Stream(session, uploader, console, stream, small_bytes).push(members)
    return refused


class _Stream:
    """One stream: what the server has of it, and the files that it is to get."""

    def __init__(self, session: Session, uploader: Uploader, console: Console, stream: str, small_bytes: int) -> None:
        self._session = session
        self._uploader = uploader
        self._console = console
        self._stream = stream
        self._small_bytes = small_bytes
        self._bodies = Bodies(session, _PRODUCER)
        self._there: set[tuple[str, str]] = set()
        self._next_seq = 0
        self._waiting: dict[int, PlannedFile] = {}
        self._refused = 0

    async def push(self, files: Sequence[PlannedFile]) -> int:
        records = await self._session.records(self._stream)
        # By content and name: two pictures of the same darkness are two.
        self._there = {(r.get("checksum", ""), _file_of(r)) for r in records}
        self._next_seq = max((r["seq"] + 1 for r in records if r.get("producer") == _PRODUCER), default=0)
        for file in files:
            try:
                await self._one(file)
            except (OSError, DatamanagerError) as error:
                self._fail(file, _said(error))
        await self._flush()
        return self._refused

    async def _one(self, file: PlannedFile) -> None:
        checksum = await asyncio.to_thread(file_checksum, file.path)
        if (checksum, file.name) in self._there:
            self._console.done(file, "is there already")
        elif file.size_bytes > self._small_bytes or file.kind == "time_series":
            await self._upload(file, checksum)
        else:
            await self._send(file)

    async def _upload(self, file: PlannedFile, checksum: str) -> None:
        done = await self._uploader.upload(
            self._session.robot_id,
            self._session.session_id,
            file.path,
            kind=file.kind,
            stream=file.stream,
            t=file.t_ns,
            name=file.name,
            metadata={"file": file.name},
            upload_key=f"{file.stream}\n{file.name[-256:]}\n{checksum}",
            checksum=checksum,
            progress=lambda sent, size: self._console.progress(file, sent, size),
        )
        self._console.done(file, "is there already" if done.known else "uploaded")

    async def _send(self, file: PlannedFile) -> None:
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        payload: dict[str, Any] = {"data": await asyncio.to_thread(file.path.read_bytes), "name": file.name}
        self._waiting[seq] = file
        await self._bodies.add(file.stream, seq, file.kind, payload, file.t_ns, {"file": file.name})
        if len(self._waiting) >= 200 or not self._bodies.waiting:
            await self._flush()

    async def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        try:
            await self._bodies.flush()
        except (ClientError, ReaderError) as error:
            for file in waiting.values():
                self._fail(file, _said(error))
            return
        rejected = {r.seq: f"{r.code}: {r.detail}" for r in self._bodies.rejected}
        self._bodies.rejected.clear()
        for seq, file in waiting.items():
            if seq in rejected:
                self._fail(file, rejected[seq])
            else:
                self._console.done(file, "sent")

    def _fail(self, file: PlannedFile, why: str) -> None:
        self._refused += 1
        self._console.failed(file, why)


def _file_of(record: dict[str, Any]) -> str:
    name = record.get("metadata", {}).get("file")
    return name if isinstance(name, str) else record.get("name") or ""


def _said(error: Exception) -> str:
    return f"{error.code}: {error.detail}" if isinstance(error, DatamanagerError) else str(error)
