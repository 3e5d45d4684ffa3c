"""`AsyncRobot`: sends what a robot records, and loses none of it."""

import asyncio
import dataclasses
import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from datamanager.client.errors import ClientClosed, SpoolLocked
from datamanager.client.folders import fresh_producer, leftovers, open_spool
from datamanager.client.intake import Intake
from datamanager.client.link import ingest_url
from datamanager.client.methods import Methods
from datamanager.client.numbering import Numbering
from datamanager.client.sender import Sender, Target
from datamanager.client.settings import ClientSettings
from datamanager.client.spool import Spool
from datamanager.client.stats import Reject, Stats
from datamanager.client.stream import Stream
from datamanager.client.times import Time
from datamanager.kinds.names import check_id

if TYPE_CHECKING:
    from datamanager.client.upload import Progress, Uploaded

__all__ = ["AsyncRobot"]

_CLOSE_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


class AsyncRobot:
    """One producer of one session, within a running event loop.

        async with AsyncRobot("http://host:8080", "arm-1", "run-7", spool_dir="/var/spool/robot") as robot:
            pose = robot.stream("pose")
            pose.log(None, {"position": {"x": 1.0, "y": 2.0}})

    What is logged is held until the server has it durably: in memory, and with a `spool_dir` on disk too. Then every
    message is written to disk before it is sent, at most `settings.spool_sync_s` after it was logged, and outlives the
    death of the process; the next one with the same `spool_dir` and session goes on where it ended, also days later.
    What is left of other sessions of a `spool_dir` is sent beside. When memory (or the spool) is full the oldest is
    kept, and the newest is dropped and counted.

    Args:
        url: the server's address, like `http://host:8080`.
        robot_id: who records.
        session_id: which recording run.
        producer: who sends, if there are several in a session. Kept in the spool; without a spool a fresh name by default, so
            that a robot that starts again never gives a number twice. Of one name there can be one at a time.
        token: shown to the server.
        spool_dir: a folder for what is not acked yet.
        config: of the session: what the robot is set to.
        metadata: of the session.
        settings: how to batch, hold and try again.
        on_reject: called with each message that the server refuses, in the event loop.
        tls: for a server whose certificate the system does not trust by itself.

    Raises:
        Refused: `bad_id`.
        ValueError: the address is none.
    """

    def __init__(
        self,
        url: str,
        robot_id: str,
        session_id: str,
        *,
        producer: str | None = None,
        token: str | None = None,
        spool_dir: str | Path | None = None,
        config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        settings: ClientSettings | None = None,
        on_reject: Callable[[Reject], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        ingest_url(url)
        self._target = Target(
            url=url,
            robot_id=check_id(robot_id, "robot_id"),
            session_id=check_id(session_id, "session_id"),
            token=token,
            tls=tls,
        )
        self._wanted_producer = None if producer is None else check_id(producer, "producer")
        self._spool_dir = None if spool_dir is None else Path(spool_dir)
        self._config = None if config is None else dict(config)
        self._metadata = None if metadata is None else dict(metadata)
        self._settings = settings or ClientSettings()
        if self._spool_dir:
            segment_bytes = min(self._settings.segment_bytes, max(4096, self._settings.spool_bytes // 8))
            self._settings = dataclasses.replace(self._settings, segment_bytes=segment_bytes)
        self._on_reject = on_reject
        self._streams: dict[str, Stream] = {}
        self._sender: Sender | None = None
        self._leftovers: asyncio.Task[None] | None = None
        self._leftover_count = 0
        self._closed = False
        self._methods = Methods(self._methods_changed)
        self.rpc = self._methods.register
        """Registers a function that can be called from elsewhere, as a decorator: `@robot.rpc` or `@robot.rpc("name")`."""
        self.producer = self._wanted_producer or ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Opens the spool and begins to connect; does not wait for the server.

        Raises:
            SpoolLocked: another process uses the spool of this producer.
            OSError: the spool cannot be opened.
        """
        if self._sender or self._closed:
            raise ClientClosed("a robot is started once")
        spool, numbering = await self._open()
        hello = self._target.hello(self.producer, self._config, self._metadata)
        self._sender = Sender(self._target, hello, numbering, spool, self._settings, self._on_reject, self._methods)
        self._sender.start()
        if self._spool_dir:
            self._leftovers = asyncio.create_task(self._send_leftovers(self._spool_dir), name="leftovers")

    def stream(self, name: str, metadata: Mapping[str, Any] | None = None) -> Stream:
        """A stream of the session; the same object for the same name.

        Args:
            name: up to 8 ids parted by `/`.
            metadata: the stream's, when it is first asked for; it goes with the stream's first message.

        Raises:
            Refused: `bad_id`.
        """
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams.setdefault(name, Stream(name, self._intake, metadata))
        return stream

    async def flush(self, timeout_s: float | None = None) -> None:
        """Waits until all that was logged before is durable on the server, or was rejected.

        Raises:
            TimeoutError: it was not by then; it stays held.
            ClientError: the robot is closed, or the server refuses it for good.
        """
        async with asyncio.timeout(timeout_s):
            await self._running().flush()

    async def wait_for_room(self, timeout_s: float | None = None) -> None:
        """Waits until less is held than half of what may be: for who has more to send than the server takes at once.

        Raises:
            TimeoutError: there is no room by then.
            ClientError: the robot is closed, or the server refuses it for good.
        """
        async with asyncio.timeout(timeout_s):
            await self._running().wait_for_room()

    async def upload(
        self,
        path: str | Path,
        kind: str | None = None,
        stream: str | None = None,
        t: Time = None,
        *,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | None = None,
        progress: "Progress | None" = None,
    ) -> "Uploaded":
        """Uploads a file straight to S3, and returns once its record is durable; see `Uploader.upload`.

        Called again for the same file, also by the next process, it goes on where it broke off, and never makes two records.

        Raises:
            UploadFailed: it was refused (`code` says why), or nothing has moved for too long.
            Refused: what no server would take.
            OSError: the file cannot be read.
        """
        from datamanager.client.upload import Uploader  # noqa: PLC0415  # httpx takes 50 ms that few robots need

        target = self._target
        async with Uploader(target.url, token=target.token, settings=self._settings, tls=target.tls) as uploader:
            return await uploader.upload(
                target.robot_id,
                target.session_id,
                path,
                kind=kind,
                stream=stream,
                t=t,
                name=name,
                metadata=metadata,
                payload=payload,
                progress=progress,
            )

    async def close(self, *, bye: bool = True, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Sends what is held, for up to `timeout_s`, and ends; what remains then stays in the spool, if there is one.

        Closing twice is no error.

        Args:
            bye: end the session too.
            timeout_s: how long to wait for the server.
        """
        if self._closed:
            return
        self._closed = True
        if self._leftovers:
            self._leftovers.cancel()
            await asyncio.gather(self._leftovers, return_exceptions=True)
        if self._sender is None:
            return
        await self._sender.close(bye=bye, timeout_s=timeout_s)
        left = self.stats.pending
        if left:
            where = "they stay in the spool" if self._spool_dir else "they are lost, as there is no spool_dir"
            _log.warning("closed with %d messages that the server did not ack: %s", left, where)

    @property
    def stats(self) -> Stats:
        """Counters as of now."""
        stats = Stats()
        if self._sender:
            self._sender.fill(stats)
        stats.leftovers = self._leftover_count
        return stats

    @property
    def rejects(self) -> list[Reject]:
        """The latest messages that the server refused, oldest first."""
        return list(self._sender.holder.rejects) if self._sender else []

    def _methods_changed(self) -> None:
        if self._sender:
            self._sender.renew()

    def _running(self) -> Sender:
        if self._sender is None:
            raise ClientClosed("this robot is not started: use it in `with`")
        return self._sender

    def _intake(self) -> Intake:
        return self._running().intake

    async def _open(self) -> tuple[Spool | None, Numbering]:
        if self._spool_dir is None:
            self.producer = self._wanted_producer or fresh_producer()
            return None, Numbering()
        target = self._target
        spool, numbering = await asyncio.to_thread(
            open_spool,
            self._spool_dir,
            target.robot_id,
            target.session_id,
            self._wanted_producer,
            self._settings.segment_bytes,
        )
        self.producer = spool.state.producer
        spool.state.config = self._config
        spool.state.metadata = self._metadata
        await asyncio.to_thread(spool.save, spool.snapshot())
        return spool, numbering

    async def _send_leftovers(self, root: Path) -> None:
        """Sends what former processes could not, one session after the other."""
        found = await asyncio.to_thread(lambda: list(leftovers(root, self._target.session_id)))
        self._leftover_count = len(found)
        for robot_id, session_id, producer in found:
            try:
                await self._send_leftover(root, robot_id, session_id, producer)
            except SpoolLocked:
                _log.info("session %s/%s is being sent by another process", robot_id, session_id)
            self._leftover_count -= 1

    async def _send_leftover(self, root: Path, robot_id: str, session_id: str, producer: str) -> None:
        size = self._settings.segment_bytes
        spool, numbering = await asyncio.to_thread(open_spool, root, robot_id, session_id, producer, size)
        target = dataclasses.replace(self._target, robot_id=robot_id, session_id=session_id)
        hello = target.hello(producer, spool.state.config, spool.state.metadata)
        if not spool.behind and spool.was_clean:
            await asyncio.to_thread(spool.close, remove=True)
            return
        sender = Sender(target, hello, numbering, spool, self._settings, self._on_reject)
        sender.start()
        sender.link.leave(bye=True)
        try:
            await sender.drain()
        finally:
            await sender.close(bye=True, timeout_s=0, remove=True)
