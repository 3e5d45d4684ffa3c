"""`Reader`: reads back what was recorded."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
import numpy.typing as npt

from datamanager.client.asks import (
    Ask,
    Samples,
    Tier,
    Time,
    array_of,
    arrow_of,
    call_body,
    check,
    client_options,
    content_of,
    json_of,
    pending,
    range_ask,
    records_params,
    result_of,
    samples_of,
    session_path,
    sessions_params,
    time_text,
    times_params,
    unreachable,
)
from datamanager.client.errors import ReaderError
from datamanager.client.results import (
    FrameRun,
    ModelResult,
    Order,
    Scope,
    SimilarFrames,
    duplicates_params,
    frame_path,
    frame_results_of,
    result_of_item,
    results_params,
    results_place,
    run_of_item,
    similar_of,
    similar_params,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Reader", "SessionReader"]

T = TypeVar("T")
_LOOK_S = 0.1


class Reader:
    """Reads from a server.

        with Reader("http://host:8080") as reader:
            samples = reader.session("arm-1", "run-7").range("pose", start, end)

    A time is float seconds, int nanoseconds, or an aware datetime; ranges are half-open. Every call raises `ReaderError`
    when the server answers with an error, or not at all.

    Args:
        url: the server's address, like `http://host:8080`.
        token: shown to the server.
        timeout_s: how long any step of a request may take.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self._http = httpx.Client(**client_options(url, token, timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def sessions(
        self,
        *,
        robot_id: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        tag: str | None = None,
        q: str | None = None,
        status: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Sessions, those whose data overlap [start, end), page by page.

        Args:
            robot_id: of this robot alone.
            start: from this time on.
            end: before this time.
            tag: that bear this tag.
            q: with this in ids, tags or notes.
            status: `recording` or `ended`.
        """
        yield from self.pages("/sessions", sessions_params(robot_id, start, end, tag, q, status))

    def session(self, robot_id: str, session_id: str) -> "SessionReader":
        """One session; nothing is asked before something of it is."""
        return SessionReader(self, robot_id, session_id)

    def frame(
        self, frame_id: str, tier: Tier = "original", *, overlay: str | None = None, wait_s: float = 30.0
    ) -> bytes:
        """A frame's bytes in a tier; waits while the tier is being made.

        Args:
            frame_id: which frame.
            tier: which tier.
            overlay: what to draw in (`detections`, `segments`, `detections:rule`); JPEG then, where there is any of it.
            wait_s: how long to wait.

        Raises:
            ReaderError: `pending` when it is not made within `wait_s`.
        """
        path, params = frame_path(frame_id, tier), {} if overlay is None else {"overlay": overlay}
        left_s = wait_s
        while True:
            answer = self._get(path, params)
            again_s = pending(answer)
            if again_s is None:
                return answer.content
            if left_s <= 0:
                raise ReaderError("pending", f"the {tier} of {frame_id} was not made within {wait_s} s", 202)
            time.sleep(min(again_s, left_s))
            left_s -= again_s

    def results(
        self,
        robot_id: str | None = None,
        session_id: str | None = None,
        stream: str | Sequence[str] | None = None,
        *,
        where: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        order: Order = "asc",
        page_limit: int | None = None,
    ) -> Iterator[ModelResult]:
        """What models said of the frames and samples of [start, end), by time, page by page.

            reader.results("arm-1", "run-7", "front/detections", where="counts.car >= 2")

        Args:
            robot_id: of this robot; of all when None.
            session_id: of this session; of all when None.
            stream: of these result streams; of all when None.
            where: of which this is true: comparisons of values, fields (`status`, `model`, ...) and boxes
                (`detections.class`, `detections.score`, ...) joined by `and`, `or`, `not` and parentheses.
            start: from this time on.
            end: before this time.
            order: the oldest first, or the newest (`desc`).
            page_limit: how many come with one request.
        """
        path, params = results_place(robot_id, session_id)
        params |= results_params(stream, where, times_params(start, end), order, page_limit)
        for item in self.pages(path, params):
            yield result_of_item(item)

    def frame_results(self, frame_id: str) -> list[ModelResult]:
        """What every model said of one frame."""
        return self.ask(Ask(frame_path(frame_id, "results"), frame_results_of))

    def similar(
        self,
        frame_id: str,
        *,
        scope: Scope = "session",
        stream: str | Sequence[str] | None = None,
        min_score: float | None = None,
        limit: int = 20,
    ) -> SimilarFrames:
        """Frames like one of which a model has made an embedding.

        Args:
            frame_id: like which.
            scope: among those of its session, of its robot, or all.
            stream: among those of these streams; of all when None.
            min_score: least cosine similarity.
            limit: how many at most.

        Raises:
            ReaderError: `no_embedding` while the frame has none.
        """
        params = similar_params(scope, stream, min_score, limit)
        return self.ask(Ask(frame_path(frame_id, "similar"), similar_of, params))

    def call(
        self,
        robot_id: str,
        method: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Any:
        """Calls a method that a robot has registered.

        Args:
            robot_id: whom.
            method: by its name.
            params: by position or by name.
            timeout_s: how long the robot may take; the server's own limit when not given.

        Raises:
            RpcError: the robot is not connected, has no such method, took too long, or answered with an error.
        """
        body, query = call_body(method, params), {} if timeout_s is None else {"timeout_s": timeout_s}
        wait_s = None if timeout_s is None else timeout_s + 5
        try:
            answer = self._http.post(f"/rpc/{robot_id}", json=body, params=query, timeout=wait_s or self._http.timeout)
        except httpx.HTTPError as error:
            raise unreachable(error) from error
        return result_of(check(answer))

    def wait_for_robot(self, robot_id: str, *, timeout_s: float = 30.0) -> list[str]:
        """Waits until a robot is connected; the methods that it has registered.

        Raises:
            ReaderError: `not_found` when it is not by then.
        """
        left_s = timeout_s
        while True:
            try:
                said = self._get(f"/rpc/{robot_id}", {})
                methods: list[str] = json_of(said)["methods"]
            except ReaderError as error:
                if error.status != 404 or left_s <= 0:
                    raise
                time.sleep(_LOOK_S)
                left_s -= _LOOK_S
            else:
                return methods

    def content(self, record_id: str) -> bytes:
        """A record's exact bytes."""
        return self.ask(Ask(f"/records/{record_id}/content", content_of))

    def document(self, record_id: str, path: str = "") -> Any:
        """What a document holds (json, yaml, toml, msgpack, vuer_msg, log), or what a JSON Pointer in it leads to."""
        return self.ask(Ask(f"/records/{record_id}/json", json_of, {"path": path}))

    def array(self, record_id: str, path: str = "") -> npt.NDArray[Any]:
        """One array of a `vuer_msg`, by the JSON Pointer of its map."""
        return self.ask(Ask(f"/records/{record_id}/array", array_of, {"path": path}))

    def ask(self, ask: Ask[T]) -> T:
        """Sends one request and reads its answer."""
        return ask.read(self._get(ask.path, ask.params))

    def pages(self, path: str, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Every item of a list, over all its pages."""
        cursor: str | None = None
        while True:
            page = json_of(self._get(path, params | ({"cursor": cursor} if cursor else {})))
            yield from page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return

    def _get(self, path: str, params: dict[str, Any]) -> httpx.Response:
        try:
            return check(self._http.get(path, params=params))
        except httpx.HTTPError as error:
            raise unreachable(error) from error


class SessionReader:
    """One session of a robot."""

    def __init__(self, reader: Reader, robot_id: str, session_id: str) -> None:
        self._reader = reader
        self._path = session_path(robot_id, session_id)

    def info(self) -> dict[str, Any]:
        """The session itself: times, status, config, tags, and what each stream holds."""
        found: dict[str, Any] = self._reader.ask(Ask(self._path, json_of))
        return found

    def streams(self) -> list[dict[str, Any]]:
        """Its streams: name, kind, channels, and what each holds."""
        page = self._reader.ask(Ask(f"{self._path}/streams", json_of))
        items: list[dict[str, Any]] = page["items"]
        return items

    def range(
        self,
        stream: str,
        start: Time | None = None,
        end: Time | None = None,
        *,
        channels: Sequence[str] | None = None,
        max_points: int | None = None,
    ) -> Samples:
        """Samples of [start, end), ascending in time, as arrays by name.

        `t_ns` (int64) comes first, then the channels: with a dtype where all values are numbers, else as objects, None where
        there is no value. With `max_points`: `t_ns`, `t_end_ns` and `count` of each bucket, and `min(x)`, `max(x)`, `mean(x)`
        of each numeric channel.

        Args:
            stream: which stream.
            start: the first time; the beginning when None.
            end: the time behind the last; the end when None.
            channels: which channels; all when None.
            max_points: at most so many buckets instead of the samples themselves.
        """
        return self._reader.ask(range_ask(self._path, stream, start, end, channels, max_points, "msgpack", samples_of))

    def range_arrow(
        self,
        stream: str,
        start: Time | None = None,
        end: Time | None = None,
        *,
        channels: Sequence[str] | None = None,
        max_points: int | None = None,
    ) -> "pa.Table":
        """As `range`, as a pyarrow Table.

        Raises:
            ModuleNotFoundError: pyarrow is not installed.
        """
        return self._reader.ask(range_ask(self._path, stream, start, end, channels, max_points, "arrow", arrow_of))

    def records(
        self,
        stream: str | Sequence[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        *,
        tier: Tier | Sequence[Tier] | None = None,
        page_limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Frames and other records of [start, end), ascending in time, page by page.

        Args:
            stream: which streams; all when None.
            start: the first time; the beginning when None.
            end: the time behind the last; the end when None.
            tier: which tiers to have addresses of; all when None.
            page_limit: how many come with one request.
        """
        yield from self._reader.pages(f"{self._path}/records", records_params(stream, start, end, tier, page_limit))

    def at(self, t: Time, streams: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The last record, or sample, of each stream at or before a time."""
        params: dict[str, Any] = {"t": time_text(t)}
        if streams is not None:
            params["streams"] = list(streams)
        page = self._reader.ask(Ask(f"{self._path}/at", json_of, params))
        items: list[dict[str, Any]] = page["items"]
        return items

    def near_duplicates(
        self,
        stream: str,
        start: Time | None = None,
        end: Time | None = None,
        *,
        threshold: float | None = None,
        page_limit: int | None = None,
    ) -> Iterator[FrameRun]:
        """Runs of frames of a stream that are all like the first of their run, ascending in time.

        Args:
            stream: whose frames.
            start: the first time; the beginning when None.
            end: the time behind the last; the end when None.
            threshold: least cosine similarity to the first; the server's own when None.
            page_limit: how many come with one request.
        """
        params = duplicates_params(stream, threshold, times_params(start, end), page_limit)
        for item in self._reader.pages(f"{self._path}/near-duplicates", params):
            yield run_of_item(item)
