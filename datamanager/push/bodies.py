"""Messages on their way: numbered by their sender, in bodies that may be sent again without anything being doubled."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from datamanager.client.asks import check, client_options, json_of, session_path, unreachable
from datamanager.client.backoff import Backoff
from datamanager.client.errors import ReaderError
from datamanager.client.settings import ClientSettings
from datamanager.client.upload import http_url

__all__ = ["Bodies", "Rejected", "Session"]

_BODY_BYTES = 4 * 1024 * 1024
_TIMEOUT_S = 120.0
_AWAY = frozenset({0, 429, 500, 502, 503, 504})
_PACK = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that the server refused."""

    stream: str | None
    seq: int | None
    code: str
    detail: str


class Session:
    """One session of one server, asked and told over HTTP.

    Args:
        settings: how to try again: for up to `ack_timeout_s`.
    """

    def __init__(
        self,
        url: str,
        robot_id: str,
        session_id: str,
        *,
        token: str | None = None,
        settings: ClientSettings | None = None,
    ) -> None:
        self.robot_id, self.session_id = robot_id, session_id
        self.settings = settings or ClientSettings()
        self._http = httpx.AsyncClient(**client_options(http_url(url), token, _TIMEOUT_S))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Asks, again and again while the server is away.

        Raises:
            ReaderError: the server answers with an error, or not at all.
        """
        backoff = Backoff(self.settings.backoff_min_s, self.settings.backoff_max_s)
        give_up_s = time.monotonic() + self.settings.ack_timeout_s
        while True:
            try:
                return check(await self._http.request(method, path, **more))
            except httpx.HTTPError as error:
                failed = unreachable(error)
            except ReaderError as error:
                failed = error
            if failed.status not in _AWAY or time.monotonic() > give_up_s:
                raise failed
            await asyncio.sleep(backoff.next_s())

    async def status(self) -> str | None:
        """`recording` or `ended`; None where the server does not know the session."""
        try:
            answer = await self.request("GET", session_path(self.robot_id, self.session_id))
        except ReaderError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return str(json_of(answer)["status"])

    async def records(self, stream: str) -> list[dict[str, Any]]:
        """Every record of a stream."""
        path = f"{session_path(self.robot_id, self.session_id)}/records"
        params: dict[str, Any] = {"stream": stream, "tier": "original"}
        found: list[dict[str, Any]] = []
        while True:
            try:
                page = json_of(await self.request("GET", path, params=params))
            except ReaderError as error:
                if error.status == httpx.codes.NOT_FOUND:
                    return []
                raise
            found += page["items"]
            if not page.get("next_cursor"):
                return found
            params["cursor"] = page["next_cursor"]

    async def ingest(self, body: bytes) -> dict[str, Any]:
        """Sends messages; returns once each is durable or refused. Sent again as they are, they are known."""
        headers = {"Content-Type": "application/msgpack"}
        return dict((await self.request("POST", "/ingest", content=body, headers=headers)).json())

    async def end(self) -> None:
        """Ends the session."""
        hello = {"type": "hello", "robot_id": self.robot_id, "session_id": self.session_id, "producer": "push"}
        await self.ingest(_PACK.encode(hello) + _PACK.encode({"type": "bye"}))


@dataclass(slots=True)
class Bodies:
    """Gathers the messages of one producer and sends them, a few MB at a time.

    Attributes:
        producer: who sends; a message is known by it, its stream and its number.
        same: whether a number of this producer can only be the same message again, whatever is there under it; else the
            server compares, and refuses another one.
        sent: messages sent, by stream.
        rejected: those that were refused.
        metadata: of the session, sent with the first body.
    """

    session: Session
    producer: str
    same: bool = False
    sent: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    _body: bytearray = field(default_factory=bytearray)

    async def add(
        self,
        stream: str,
        seq: int,
        kind: str,
        payload: Mapping[str, Any],
        t_ns: int | None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a message; sends when there are enough of them.

        Raises:
            ReaderError: the server does not answer.
        """
        message = {
            "robot_id": self.session.robot_id,
            "session_id": self.session.session_id,
            "producer": self.producer,
            "stream": stream,
            "data_type": kind,
            "seq": seq,
            "redelivery": self.same,
            "payload": payload,
        }
        if t_ns is not None:
            message["t_ns"] = t_ns
        if metadata:
            message["metadata"] = metadata
        self._body += _PACK.encode(message)
        self.sent[stream] += 1
        if len(self._body) >= _BODY_BYTES:
            await self.flush()

    @property
    def waiting(self) -> bool:
        """Whether messages wait to be sent."""
        return bool(self._body)

    async def flush(self) -> None:
        """Sends what was gathered, and returns once it is durable.

        Raises:
            ReaderError: the server does not answer.
        """
        front = b""
        if self.metadata is not None:
            place = {"robot_id": self.session.robot_id, "session_id": self.session.session_id}
            front = _PACK.encode({"type": "hello", **place, "producer": self.producer, "metadata": self.metadata})
            self.metadata = None
        if not self._body and not front:
            return
        answer = await self.session.ingest(front + bytes(self._body))
        self._body.clear()
        self.rejected += [Rejected(r.get("stream"), r.get("seq"), r["code"], r["detail"]) for r in answer["rejects"]]
        unsaid = answer["rejected"] - len(answer["rejects"])
        if unsaid > 0:
            self.rejected.append(Rejected(None, None, "more", f"{unsaid} more messages were refused"))
