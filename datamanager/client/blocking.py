"""`Robot`: `AsyncRobot` for programs without an event loop; it runs one in a thread of its own."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from datamanager.client.errors import ClientClosed
from datamanager.client.robot import AsyncRobot
from datamanager.client.settings import ClientSettings
from datamanager.client.stats import Reject, Stats
from datamanager.client.stream import Stream
from datamanager.client.times import Time

if TYPE_CHECKING:
    from datamanager.client.upload import Progress, Uploaded

__all__ = ["Robot"]

T = TypeVar("T")


class Robot:
    """One producer of one session, from any thread.

        with Robot("http://host:8080", "arm-1", "run-7", spool_dir="/var/spool/robot") as robot:
            robot.stream("pose").log(None, {"x": 1.0})

    All is as in `AsyncRobot`, but that `flush`, `wait_for_room` and `close` block, and that `on_reject` is called in the
    background thread. A program that ends without `close` closes at its exit.
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
        tls: SSLContext | None = None,
    ) -> None:
        self._robot = AsyncRobot(
            url,
            robot_id,
            session_id,
            producer=producer,
            token=token,
            spool_dir=spool_dir,
            config=config,
            metadata=metadata,
            settings=settings,
            on_reject=on_reject,
            tls=tls,
        )
        self.rpc = self._robot.rpc
        """Registers a function that can be called from elsewhere, as a decorator; it runs in another thread."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Starts the thread, opens the spool and begins to connect; does not wait for the server.

        Raises:
            SpoolLocked: another process uses the spool of this producer.
            OSError: the spool cannot be opened.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="datamanager-robot", daemon=True)
        self._thread.start()
        try:
            self._run(self._robot.start())
        except BaseException:
            self._stop()
            raise
        atexit.register(self.close)

    def stream(self, name: str, metadata: Mapping[str, Any] | None = None) -> Stream:
        """A stream of the session; see `AsyncRobot.stream`."""
        return self._robot.stream(name, metadata)

    def flush(self, timeout_s: float | None = None) -> None:
        """Blocks until all that was logged before is durable on the server, or was rejected.

        Raises:
            TimeoutError: it was not by then; it stays held.
            ClientError: the robot is closed, or the server refuses it for good.
        """
        self._run(self._robot.flush(timeout_s))

    def wait_for_room(self, timeout_s: float | None = None) -> None:
        """Blocks until less is held than half of what may be.

        Raises:
            TimeoutError: there is no room by then.
            ClientError: the robot is closed, or the server refuses it for good.
        """
        self._run(self._robot.wait_for_room(timeout_s))

    def upload(
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
        """Uploads a file straight to S3, and returns once its record is durable; see `AsyncRobot.upload`.

        `progress` is called in the background thread.
        """
        return self._run(
            self._robot.upload(path, kind, stream, t, name=name, metadata=metadata, payload=payload, progress=progress)
        )

    def close(self, *, bye: bool = True, timeout_s: float = 10.0) -> None:
        """Sends what is held, for up to `timeout_s`, and ends; see `AsyncRobot.close`."""
        if self._loop is None or self._loop.is_closed():
            return
        atexit.unregister(self.close)
        try:
            self._run(self._robot.close(bye=bye, timeout_s=timeout_s))
        finally:
            self._stop()

    @property
    def producer(self) -> str:
        """Who sends."""
        return self._robot.producer

    @property
    def stats(self) -> Stats:
        """Counters as of now."""
        return self._robot.stats

    @property
    def rejects(self) -> list[Reject]:
        """The latest messages that the server refused, oldest first."""
        return self._robot.rejects

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None or self._loop.is_closed():
            coroutine.close()
            raise ClientClosed("this robot is not started, or closed")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
