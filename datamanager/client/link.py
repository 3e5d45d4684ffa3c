"""The connection: dials, says hello, sends what the holder gives, and hands it what the server says; again and again."""

import asyncio
import logging
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from datamanager.client.backoff import Backoff
from datamanager.client.errors import Superseded, Unauthorized
from datamanager.client.holder import Holder
from datamanager.client.methods import Methods
from datamanager.client.settings import ClientSettings
from datamanager.client.stats import Reject, Stats
from datamanager.client.waiting import wait_for
from datamanager.client.wire import Control, batch_frame, decode_control

__all__ = ["Link", "ingest_url"]

_GONE = (OSError, TimeoutError, WebSocketException, msgspec.MsgspecError)
_FOR_GOOD = frozenset({"unauthorized", "bad_id", "malformed", "missing_field", "wrong_type"})
_WRITE_BYTES = 1024 * 1024
_CONTROL_BYTES = 16 * 1024 * 1024
_STEADY_S = 5.0
_SUPERSEDED = 4001  # the server's close code when a newer hello of the same producer came
_log = logging.getLogger(__name__)


def ingest_url(url: str) -> str:
    """The WebSocket address of a server's ingest, from its http(s) or ws(s) address.

    Raises:
        ValueError: it is no such address.
    """
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"{url!r} is no address like http://host:8080")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/v1/ingest"


class Link:
    """One producer's connection to the server.

    Args:
        hello: the hello message, whole, but for the methods.
        methods: what the robot answers.
        tls: for a server whose certificate the system does not trust by itself.
    """

    def __init__(
        self,
        url: str,
        hello: dict[str, Any],
        holder: Holder,
        settings: ClientSettings,
        tls: ssl.SSLContext | None = None,
        methods: Methods | None = None,
    ) -> None:
        self._url = ingest_url(url)
        self._methods = methods
        self._tls = tls
        self._hello = hello
        self._bye = msgspec.msgpack.encode({"type": "bye"})
        self._holder = holder
        self._settings = settings
        self._backoff = Backoff(settings.backoff_min_s, settings.backoff_max_s)
        self._something = asyncio.Event()
        self._outdated = asyncio.Event()
        self._leaving = False
        self._says_bye = True
        self._batches = 0
        self._welcomes = 0
        self._progress_s = 0.0
        self._stats = Stats()

    def wake(self) -> None:
        """Something came to be sent."""
        self._something.set()

    def renew(self) -> None:
        """What `hello` says has changed: it is said again, over a new connection."""
        self._outdated.set()

    def leave(self, *, bye: bool) -> None:
        """`run` shall return once all that is held is acked; `bye` ends the session with it."""
        self._leaving = True
        self._says_bye = bye
        self._something.set()

    async def run(self) -> None:
        """Keeps a connection until `leave` was called and all is acked.

        Cancelling drops the connection at once; what is held stays held.

        Raises:
            Unauthorized: the server refuses this robot for good.
            Superseded: another process took over this producer.
        """
        while True:
            since_s = asyncio.get_running_loop().time()
            try:
                await self._connection()
            except _GONE as error:
                self._note(error)
            finally:
                self._stats.connected = False
                self._holder.disconnected()
            if self._leaving and self._holder.empty() and (self._welcomes or not self._says_bye):
                return
            if asyncio.get_running_loop().time() - since_s > _STEADY_S:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next_s())

    def fill(self, stats: Stats) -> None:
        """Writes what is known here into `stats`."""
        stats.sent = self._stats.sent
        stats.resent = self._stats.resent
        stats.bytes_sent = self._stats.bytes_sent
        stats.connected = self._stats.connected
        stats.reconnects = max(0, self._welcomes - 1)
        stats.failures = self._stats.failures
        stats.last_error = self._stats.last_error or self._holder.error

    def _note(self, error: Exception) -> None:
        """An end that no one asked for is counted; one that is for good is raised."""
        if isinstance(error, InvalidStatus) and error.response.status_code in {401, 403}:
            raise Unauthorized(f"the server answered {error.response.status_code}") from error
        if isinstance(error, ConnectionClosed) and error.rcvd is not None:
            if error.rcvd.code == _SUPERSEDED:
                raise Superseded(f"the server closed the socket: {error.rcvd.reason}") from error
            if self._leaving and error.rcvd.code == 1000:
                return
        self._stats.failures += 1
        self._stats.last_error = str(error) or type(error).__name__
        _log.info("connection to %s ended: %s", self._url, self._stats.last_error)

    async def _connection(self) -> None:
        timeout_s = self._settings.connect_timeout_s
        async with connect(
            self._url,
            compression=None,
            proxy=None,
            ssl=self._tls,
            open_timeout=timeout_s,
            close_timeout=1.0,
            ping_interval=20.0,
            ping_timeout=40.0,
            max_size=_CONTROL_BYTES,
            write_limit=_WRITE_BYTES,
        ) as socket:
            self._outdated.clear()
            names = self._methods.names if self._methods else []
            await socket.send(msgspec.msgpack.encode({**self._hello, "methods": names} if names else self._hello))
            async with asyncio.timeout(timeout_s):
                await self._welcome(socket)
            self._stats.connected = True
            self._welcomes += 1
            try:
                await _first_end(self._receive(socket), self._send(socket), self._outdated.wait())
            finally:
                if self._methods:
                    self._methods.hang_up()

    async def _welcome(self, socket: ClientConnection) -> None:
        while True:
            said = decode_control(await socket.recv())
            if said.type == "reject":
                self._refused(said)
            elif said.type == "welcome":
                await self._holder.welcomed(said.acked or {}, said.limits or {})
                return
            else:
                self._hear(said, socket)

    def _refused(self, said: Control) -> None:
        reject = _reject_of(said)
        self._holder.rejected(reject)
        if reject.code in _FOR_GOOD:
            raise Unauthorized(f"{reject.code}: {reject.detail}")
        raise ConnectionError(f"the server refused the hello: {reject.code}: {reject.detail}")

    async def _receive(self, socket: ClientConnection) -> None:
        while True:
            self._hear(decode_control(await socket.recv()), socket)

    def _hear(self, said: Control, socket: ClientConnection) -> None:
        if said.type == "ack":
            if self._holder.acked(said.acked or {}):
                self._progress_s = asyncio.get_running_loop().time()
                self._backoff.reset()
                self._something.set()
        elif said.type == "reject":
            reject = _reject_of(said)
            self._holder.rejected(reject)
            if reject.code == "unauthorized" and reject.seq is None:
                raise Unauthorized(reject.detail)
            self._something.set()
        elif said.type == "flow":
            self._holder.flow(said.window, said.window_bytes)
            self._something.set()
        elif said.type == "rpc" and self._methods:
            self._methods.hear(said, lambda answer: _tell(socket, answer))

    async def _send(self, socket: ClientConnection) -> None:
        now_s = asyncio.get_running_loop().time
        self._progress_s = now_s()
        while True:
            self._something.clear()
            entries = self._holder.take()
            if entries:
                frame = batch_frame(self._batches, ((e.body, e.seq, e.redelivery) for e in entries))
                self._batches += 1
                self._stats.sent += len(entries)
                self._stats.resent += sum(entry.redelivery for entry in entries)
                self._stats.bytes_sent += len(frame)
                await socket.send(frame)
                continue
            if self._leaving and self._holder.all_sent():
                await self._part(socket)
                return
            if not self._holder.outbox.in_flight:
                self._progress_s = now_s()
            elif now_s() - self._progress_s > self._settings.ack_timeout_s:
                raise ConnectionError(f"nothing was acked for {self._settings.ack_timeout_s} s")
            await wait_for(self._something, self._settings.ack_timeout_s / 4)

    async def _part(self, socket: ClientConnection) -> None:
        """All is sent: says bye, upon which the server acks and closes; or waits for the acks, and leaves."""
        if self._says_bye:
            await socket.send(self._bye)
            await asyncio.sleep(self._settings.ack_timeout_s)  # ended by the close, behind the last ack
            raise ConnectionError("bye was not answered")
        while not self._holder.empty():
            await self._holder.change()


async def _tell(socket: ClientConnection, data: bytes) -> None:
    try:
        await socket.send(data)
    except WebSocketException as exc:
        raise ConnectionError(str(exc)) from exc


def _reject_of(said: Control) -> Reject:
    return Reject(stream=said.stream, seq=said.seq, code=said.code or "malformed", detail=said.detail or "")


async def _first_end(*coroutines: Any) -> None:
    """Runs coroutines side by side until one ends or fails, and ends the others; raises what ended it."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for task, result in zip(tasks, results, strict=True):
        if task in done and isinstance(result, BaseException):
            raise result
