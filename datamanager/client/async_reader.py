"""`AsyncReader`: reads back what was recorded, within an event loop."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
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

__all__ = ["AsyncReader", "AsyncSessionReader"]

T = TypeVar("T")
_LOOK_S = 0.1


class AsyncReader:
    """Reads from a server.

        async with AsyncReader("http://host:8080") as reader:
            samples = await reader.session("arm-1", "run-7").range("pose", start, end)

    A time is float seconds, int nanoseconds, or an aware datetime; ranges are half-open. Every call raises `ReaderError`
    when the server answers with an error, or not at all.

    Args:
        url: the server's address, like `http://host:8080`.
        token: shown to the server.
        timeout_s: how long any step of a request may take.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self._http = httpx.AsyncClient(**client_options(url, token, timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def sessions(
        self,
        *,
        robot_id: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        tag: str | None = None,
        q: str | None = None,
        status: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Sessions, those whose data overlap [start, end), page by page.

        Args:
            robot_id: of this robot alone.
            start: from this time on.
            end: before this time.
            tag: that bear this tag.
            q: with this in ids, tags or notes.
            status: `recording` or `ended`.
        """
        async for item in self.pages("/sessions", sessions_params(robot_id, start, end, tag, q, status)):
            yield item

    def session(self, robot_id: str, session_id: str) -> "AsyncSessionReader":
        """One session; nothing is asked before something of it is."""
        return AsyncSessionReader(self, robot_id, session_id)

    async def frame(
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
            answer = await self._get(path, params)
            again_s = pending(answer)
            if again_s is None:
                return answer.content
            if left_s <= 0:
                raise ReaderError("pending", f"the {tier} of {frame_id} was not made within {wait_s} s", 202)
            await asyncio.sleep(min(again_s, left_s))
            left_s -= again_s

    async def results(
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
    ) -> AsyncIterator[ModelResult]:
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
        async for item in self.pages(path, params):
            yield result_of_item(item)

    async def frame_results(self, frame_id: str) -> list[ModelResult]:
        """What every model said of one frame."""
        return await self.ask(Ask(frame_path(frame_id, "results"), frame_results_of))

    async def similar(
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
        return await self.ask(Ask(frame_path(frame_id, "similar"), similar_of, params))

    async def call(
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
            answer = await self._http.post(
                f"/rpc/{robot_id}", json=body, params=query, timeout=wait_s or self._http.timeout
            )
        except httpx.HTTPError as error:
            raise unreachable(error) from error
        return result_of(check(answer))

    async def wait_for_robot(self, robot_id: str, *, timeout_s: float = 30.0) -> list[str]:
        """Waits until a robot is connected; the methods that it has registered.

        Raises:
            ReaderError: `not_found` when it is not by then.
        """
        left_s = timeout_s
        while True:
            try:
                said = await self._get(f"/rpc/{robot_id}", {})
                methods: list[str] = json_of(said)["methods"]
            except ReaderError as error:
                if error.status != 404 or left_s <= 0:
                    raise
                await asyncio.sleep(_LOOK_S)
                left_s -= _LOOK_S
            else:
                return methods

    async def content(self, record_id: str) -> bytes:
        """A record's exact bytes."""
        return await self.ask(Ask(f"/records/{record_id}/content", content_of))

    async def document(self, record_id: str, path: str = "") -> Any:
        """What a document holds (json, yaml, toml, msgpack, vuer_msg, log), or what a JSON Pointer in it leads to."""
        return await self.ask(Ask(f"/records/{record_id}/json", json_of, {"path": path}))

    async def array(self, record_id: str, path: str = "") -> npt.NDArray[Any]:
        """One array of a `vuer_msg`, by the JSON Pointer of its map."""
        return await self.ask(Ask(f"/records/{record_id}/array", array_of, {"path": path}))

    async def ask(self, ask: Ask[T]) -> T:
        """Sends one request and reads its answer."""
        return ask.read(await self._get(ask.path, ask.params))

    async def pages(self, path: str, params: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Every item of a list, over all its pages."""
        cursor: str | None = None
        while True:
            page = json_of(await self._get(path, params | ({"cursor": cursor} if cursor else {})))
            for item in page["items"]:
                yield item
            cursor = page.get("next_cursor")
            if not cursor:
                return

    async def _get(self, path: str, params: dict[str, Any]) -> httpx.Response:
        try:
            return check(await self._http.get(path, params=params))
        except httpx.HTTPError as error:
            raise unreachable(error) from error


class AsyncSessionReader:
    """One session of a robot."""

    def __init__(self, reader: AsyncReader, robot_id: str, session_id: str) -> None:
        self._reader = reader
        self._path = session_path(robot_id, session_id)

    async def info(self) -> dict[str, Any]:
        """The session itself: times, status, config, tags, and what each stream holds."""
        found: dict[str, Any] = await self._reader.ask(Ask(self._path, json_of))
        return found

    async def streams(self) -> list[dict[str, Any]]:
        """Its streams: name, kind, channels, and what each holds."""
        page = await self._reader.ask(Ask(f"{self._path}/streams", json_of))
        items: list[dict[str, Any]] = page["items"]
        return items

    async def range(
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
        return await self._reader.ask(
            range_ask(self._path, stream, start, end, channels, max_points, "msgpack", samples_of)
        )

    async def range_arrow(
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
        return await self._reader.ask(
            range_ask(self._path, stream, start, end, channels, max_points, "arrow", arrow_of)
        )

    async def records(
        self,
        stream: str | Sequence[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        *,
        tier: Tier | Sequence[Tier] | None = None,
        page_limit: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Frames and other records of [start, end), ascending in time, page by page.

        Args:
            stream: which streams; all when None.
            start: the first time; the beginning when None.
            end: the time behind the last; the end when None.
            tier: which tiers to have addresses of; all when None.
            page_limit: how many come with one request.
        """
        async for item in self._reader.pages(
            f"{self._path}/records", records_params(stream, start, end, tier, page_limit)
        ):
            yield item

    async def at(self, t: Time, streams: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The last record, or sample, of each stream at or before a time."""
        params: dict[str, Any] = {"t": time_text(t)}
        if streams is not None:
            params["streams"] = list(streams)
        page = await self._reader.ask(Ask(f"{self._path}/at", json_of, params))
        items: list[dict[str, Any]] = page["items"]
        return items

    async def near_duplicates(
        self,
        stream: str,
        start: Time | None = None,
        end: Time | None = None,
        *,
        threshold: float | None = None,
        page_limit: int | None = None,
    ) -> AsyncIterator[FrameRun]:
        """Runs of frames of a stream that are all like the first of their run, ascending in time.

        Args:
            stream: whose frames.
            start: the first time; the beginning when None.
            end: the time behind the last; the end when None.
            threshold: least cosine similarity to the first; the server's own when None.
            page_limit: how many come with one request.
        """
        params = duplicates_params(stream, threshold, times_params(start, end), page_limit)
        async for item in self._reader.pages(f"{self._path}/near-duplicates", params):
            yield run_of_item(item)
