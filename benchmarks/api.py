"""A reader of the API that takes little of the processor: one kept connection."""

import json
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["Api"]

_PREFIX = "/api/v1"


class Api:
    """One connection to a server.

    Args:
        url: `http://host:port`.
    """

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._connection = HTTPConnection(where.hostname or "", where.port, timeout=120)

    def get(self, path: str, **query: object) -> bytes:
        """The body of `GET /api/v1{path}`.

        Raises:
            RuntimeError: the status is not 200.
        """
        return self.ask("GET", path + (f"?{urlencode(query)}" if query else ""))

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """The body of an answer; `body`, when there is one, is sent as JSON.

        Raises:
            RuntimeError: the status is not 200.
        """
        sent = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, _PREFIX + path, sent, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path} gave {answer.status}: {data[:300]!r}")
        return data

    def timed_ms(self, path: str, **query: object) -> tuple[float, bytes]:
        """As `get`, with the milliseconds until the last byte was there."""
        began_s = time.perf_counter()
        data = self.get(path, **query)
        return (time.perf_counter() - began_s) * 1000, data

    def counted(self, robot_id: str, session_id: str, stream: str) -> tuple[int, int]:
        """How many samples the server plays back of a stream, and how many its session's statistics tell."""
        place = f"/sessions/{quote(robot_id)}/{quote(session_id)}"
        buckets: dict[str, Any] = json.loads(self.get(f"{place}/range", stream=stream, max_points=1, format="json"))
        told: dict[str, Any] = json.loads(self.get(place))
        return sum(buckets["count"]), int(told["stats"][stream]["samples"])

    def timeline_counts(self, robot_id: str, session_id: str, stream: str) -> int:
        """How many records the timeline of a stream counts."""
        place = f"/sessions/{quote(robot_id)}/{quote(session_id)}"
        timeline: dict[str, Any] = json.loads(self.get(f"{place}/timeline", bins=1))
        return sum(timeline["streams"][stream])
