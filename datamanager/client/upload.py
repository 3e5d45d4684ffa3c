"""Large files, straight to S3: streamed from disk, in parts, a few at a time, gone on with where it broke off.

What S3 has is asked of the server, by a key that is always the same for the same file: who uploads it again after a
crash goes on with the same upload, and a file that is there already is not sent twice.
"""

import asyncio
import hashlib
import os
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from datamanager.client.asks import check, client_options, pending, unreachable
from datamanager.client.backoff import Backoff
from datamanager.client.errors import ReaderError, UploadFailed
from datamanager.client.settings import ClientSettings
from datamanager.client.times import Time, to_ns
from datamanager.kinds.names import check_id, check_stream, kind_of
from datamanager.kinds.recognise import HEAD_BYTES, recognise_kind

__all__ = ["Progress", "Uploaded", "Uploader", "file_checksum", "http_url", "legal_stream"]

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with how many bytes S3 has, and how many there are."""

_CHUNK_BYTES = 1024 * 1024
_AT_ONCE = 4
_ROUNDS = 5
_TIMEOUT_S = 60.0
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_ILLEGAL = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 128
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of a file.

    Attributes:
        record_id: the record; None of kind `time_series`, which has none.
        checksum: SHA-256, in hex.
        known: whether it was there before.
    """

    upload_id: str
    record_id: str | None
    stream: str
    kind: str
    t_ns: int
    size_bytes: int
    checksum: str
    known: bool


@dataclass(slots=True)
class _Job:
    """One file on its way."""

    path: Path
    size_bytes: int
    item: dict[str, Any]
    progress: Progress | None
    sent: dict[int, int] = field(default_factory=dict)

    def moved(self, number: int, size: int) -> None:
        self.sent[number] = size
        if self.progress is not None:
            self.progress(min(sum(self.sent.values()), self.size_bytes), self.size_bytes)


class Uploader:
    """Uploads files to one server.

    Args:
        url: the server's address, like `http://host:8080`.
        token: shown to the server; never to S3.
        settings: how to try again: for up to `ack_timeout_s` without any progress.
        tls: for a server whose certificate the system does not trust by itself.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        settings: ClientSettings | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings or ClientSettings()
        verify: ssl.SSLContext | bool = tls or True
        self._api = httpx.AsyncClient(**client_options(http_url(url), token, _TIMEOUT_S), verify=verify)
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
        self._s3 = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, limits=limits, verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections."""
        await self._api.aclose()
        await self._s3.aclose()

    async def upload(
        self,
        robot_id: str,
        session_id: str,
        path: str | Path,
        *,
        kind: str | None = None,
        stream: str | None = None,
        t: Time = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | None = None,
        upload_key: str | None = None,
        checksum: str | None = None,
        progress: Progress | None = None,
    ) -> Uploaded:
        """Uploads a file, and returns once its record is durable.

        Args:
            robot_id: who recorded.
            session_id: which recording run.
            path: the file; it must not change meanwhile.
            kind: one of the kinds; told from the file when None.
            stream: its stream; made of the file's name when None.
            t: its time; now when None.
            name: its name, the path's when None.
            metadata: the record's.
            payload: the kind's own fields.
            upload_key: what makes it the same upload again; made of the path, size and time of change of the file, and of `t` where
                that is given, when None.
            checksum: its SHA-256 in hex; computed while it is sent when None.
            progress: called with the bytes that S3 has, and all.

        Raises:
            UploadFailed: it was refused (`code` says why), or nothing has moved for too long.
            Refused: what no server would take, before it is asked.
            OSError: the file cannot be read.
        """
        path = Path(path)
        asked = await asyncio.to_thread(_describe, path, kind, stream, name, t, upload_key)
        body = asked | {
            "robot_id": check_id(robot_id, "robot_id"),
            "session_id": check_id(session_id, "session_id"),
            "metadata": dict(metadata or {}),
            "payload": dict(payload or {}),
        }
        item = await self._ask("POST", "/uploads", json=body)
        known = item["status"] == "done"
        digest = asyncio.create_task(_checksum_of(path, checksum))
        try:
            item, found = await self._bring(_Job(path, asked["size_bytes"], item, progress), digest)
        finally:
            digest.cancel()
            await asyncio.gather(digest, return_exceptions=True)
        if progress is not None:
            progress(asked["size_bytes"], asked["size_bytes"])
        return Uploaded(
            item["upload_id"],
            item.get("record_id"),
            item["stream"],
            item["kind"],
            int(item["t_ns"]),
            item["size_bytes"],
            found,
            known,
        )

    async def _bring(self, job: _Job, digest: "asyncio.Task[str]") -> tuple[dict[str, Any], str]:
        """Sends what S3 lacks and has the upload completed; again where S3 has lost a part that it had said it has.

        A connection that was cut may go on in S3 for a while, and then what came of it takes the place of the whole part.
        """
        for rounds_left in reversed(range(_ROUNDS)):
            if job.item["status"] == "open":
                await self._send(job)
            checksum = await digest
            try:
                return await self._complete(job.item["upload_id"], checksum), checksum
            except UploadFailed as failed:
                if failed.status != httpx.codes.CONFLICT or not rounds_left:
                    raise
                job.item = await self._look(job.item["upload_id"], 0, None)
                if job.item["status"] not in ("open", "completing"):
                    raise
        raise AssertionError("the last round returns or raises")

    # The bytes.

    async def _send(self, job: _Job) -> None:
        item = job.item
        if "part_size" not in item:
            if not item.get("received"):
                await self._put(job, {"number": 0, "offset": 0, "size": job.size_bytes, "url": item["url"]})
            return
        slots = asyncio.Semaphore(_AT_ONCE)
        page: dict[str, Any] | None = item
        while page is not None:
            try:
                await self._send_page(job, page, slots)
            except* Exception as failed:  # noqa: BLE001  # what a part raised, whatever it is, without the group
                raise failed.exceptions[0] from None
            following = page.get("next_part")
            page = None if following is None else await self._look(item["upload_id"], following, None)

    async def _send_page(self, job: _Job, page: dict[str, Any], slots: asyncio.Semaphore) -> None:
        async with asyncio.TaskGroup() as group:
            for part in page["parts"]:
                if "url" not in part:
                    job.moved(part["number"], part["size"])
                    continue
                await slots.acquire()
                group.create_task(self._put(job, part)).add_done_callback(lambda _: slots.release())

    async def _look(self, upload_id: str, after: int, limit: int | None) -> dict[str, Any]:
        params = {"after": after} | ({} if limit is None else {"limit": limit})
        return await self._ask("GET", f"/uploads/{upload_id}", params=params)

    async def _put(self, job: _Job, part: dict[str, Any]) -> None:
        """Puts one part, or all, again and again with fresh addresses, until S3 has it."""

        async def once() -> bool:
            if "url" not in part:  # S3 has it: only the answer was lost
                job.moved(part["number"], part["size"])
                return True
            pieces = _pieces(job, part)
            headers = {"Content-Length": str(part["size"])}
            answer = await self._s3.put(part["url"], content=pieces, headers=headers)
            if answer.status_code < 300:
                job.moved(part["number"], part["size"])
                return True
            if answer.status_code not in _TRY_AGAIN | {403, 404}:
                raise UploadFailed(f"http_{answer.status_code}", f"S3 does not take it: {answer.text[:300]}")
            return False

        async def renewed() -> None:
            number = part["number"]
            page = await self._look(job.item["upload_id"], max(0, number - 1), 1)
            part.pop("url", None)
            if page["status"] in ("completing", "done"):  # another process sends the same file, and was quicker
                return
            if page["status"] != "open":
                raise UploadFailed(page.get("code") or "conflict", page.get("detail") or f"it is {page['status']}")
            fresh = page["parts"][0] if number else {"url": page["url"]} if page.get("url") else {}
            part.update(fresh)

        await self._insist(once, renewed)

    async def _insist(self, once: Callable[[], Awaitable[bool]], renewed: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(self._settings.backoff_min_s, self._settings.backoff_max_s)
        give_up_s = time.monotonic() + self._settings.ack_timeout_s
        while True:
            try:
                if await once():
                    return
                why = "S3 does not take it"
            except httpx.HTTPError as error:
                why = f"{type(error).__name__}: {error}"
            if time.monotonic() > give_up_s:
                raise UploadFailed("unreachable", f"nothing moved for {self._settings.ack_timeout_s:g} s: {why}")
            await asyncio.sleep(backoff.next_s())
            await renewed()

    # The server.

    async def _complete(self, upload_id: str, checksum: str) -> dict[str, Any]:
        while True:
            answer = await self._request(
                "POST", f"/uploads/{upload_id}/complete", params={"checksum": f"sha256:{checksum}"}
            )
            wait_s = pending(answer)
            if wait_s is None:
                return dict(answer.json())
            await asyncio.sleep(wait_s)

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return dict((await self._request(method, path, **more)).json())

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Asks the server, again and again while it is away."""
        backoff = Backoff(self._settings.backoff_min_s, self._settings.backoff_max_s)
        give_up_s = time.monotonic() + self._settings.ack_timeout_s
        while True:
            try:
                answer = await self._api.request(method, path, **more)
                if answer.status_code not in _TRY_AGAIN or time.monotonic() > give_up_s:
                    return check(answer)
            except httpx.HTTPError as error:
                if time.monotonic() > give_up_s:
                    raise _failed(unreachable(error)) from error
            except ReaderError as error:
                raise _failed(error) from error
            await asyncio.sleep(backoff.next_s())


def http_url(url: str) -> str:
    """The HTTP address of a server, from its http(s) or ws(s) address."""
    return re.sub(r"\Aws(s?):", r"http\1:", url)


def legal_stream(path: str) -> str:
    """A stream's name made of a relative path: its parts, without their endings, with what is not allowed as `_`.

    Raises:
        Refused: `bad_id`: nothing is left of it.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if parts:
        parts[-1] = parts[-1].partition(".")[0] or parts[-1]
    legal = [_ILLEGAL.sub("_", part)[:_MAX_NAME].strip("_") or "_" for part in parts]
    if len(legal) > _MAX_DEPTH:
        legal = [*legal[: _MAX_DEPTH - 1], "_".join(legal[_MAX_DEPTH - 1 :])[:_MAX_NAME]]
    return check_stream("/".join(f"_{part}" if part in (".", "..") else part for part in legal))


def _describe(
    path: Path, kind: str | None, stream: str | None, name: str | None, t: Time, upload_key: str | None
) -> dict[str, Any]:
    """What the server is asked for, by what the file is."""
    with path.open("rb") as file:
        known = os.fstat(file.fileno())
        head = file.read(HEAD_BYTES)
    name = path.name if name is None else name
    kind = recognise_kind(head, known.st_size, name) if kind is None else kind_of(kind)
    stream = legal_stream(name) if stream is None else check_stream(stream)
    if upload_key is None:
        marks = [
            stream,
            kind,
            str(path.resolve()),
            str(known.st_size),
            str(known.st_mtime_ns),
            "" if t is None else str(to_ns(t)),
        ]
        upload_key = hashlib.sha256("\0".join(marks).encode("utf-8", "surrogatepass")).hexdigest()
    asked = {
        "stream": stream,
        "kind": kind,
        "name": _sendable(name),
        "size_bytes": known.st_size,
        "upload_key": upload_key,
    }
    return asked | {"t_ns": to_ns(t)}


def _sendable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()[:4096]


async def _pieces(job: _Job, part: dict[str, Any]) -> AsyncIterator[bytes]:
    """A part's bytes, from disk as they are sent."""
    file = await asyncio.to_thread(os.open, job.path, os.O_RDONLY)
    try:
        at, end = part["offset"], part["offset"] + part["size"]
        while at < end:
            piece = await asyncio.to_thread(os.pread, file, min(_CHUNK_BYTES, end - at), at)
            if not piece:
                raise UploadFailed("bad_payload", f"{job.path} became shorter while it was sent")
            yield piece
            at += len(piece)
            job.moved(part["number"], at - part["offset"])
    finally:
        os.close(file)


async def _checksum_of(path: Path, known: str | None) -> str:
    return await asyncio.to_thread(file_checksum, path) if known is None else known


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(error: ReaderError) -> UploadFailed:
    return UploadFailed(error.code, error.detail, error.status)
