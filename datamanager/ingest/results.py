"""Results of models become samples and records of their streams, by the path that a robot's messages take.

One process feeds at a time, by a lease in MongoDB. A result gets its number, and its tracks their ids, durably before it
is taken in; whoever goes on after a death takes it in again under that number, which the ledger knows (ADR 0017).
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError, RedisUnavailable, Unavailable
from datamanager.inference.tracking import TrackBox, Tracker
from datamanager.ingest.producer import Producer
from datamanager.ingest.sender import Sender
from datamanager.ingest.service import Ingest
from datamanager.ingest.wire import Message
from datamanager.observability import get_logger
from datamanager.storage.events import EventLog, events_of
from datamanager.storage.mongo import Document
from datamanager.storage.redis import Redis, redis_translated
from datamanager.storage.results import NEWS_CHANNEL, RESULTS_PRODUCER, ResultFeed

__all__ = ["ResultFeeder", "message_of"]

_log = get_logger(__name__)
_MOST = 1000  # results of one round
_LOOK_S = 0.5  # how often it is looked without a word from Redis
_GATHER_S = 0.1
_MARK_S = 0.1
_RENEW_S = 2.0
_IDLE_S = 10.0  # a session without results for so long is let go
_PAUSE_S = 1.0
_VALUE_BYTES = 24  # of memory that a value takes until it is durable, about

Place = tuple[str, str]
"""robot_id and session_id."""


@dataclass(slots=True)
class _Seat:
    """A session that is being fed.

    Attributes:
        under_way: by result stream, what was taken in and is not known to be durable, in the order of its numbers.
        next_seq: the next number of each result stream.
    """

    producer: Producer
    sender: Sender
    used_s: float
    under_way: dict[str, deque[Document]] = field(default_factory=lambda: defaultdict(deque))
    next_seq: dict[str, int] = field(default_factory=dict)
    trackers: dict[str, Tracker] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether all that was taken in is marked."""
        return not any(self.under_way.values())


class ResultFeeder:
    """Feeds result streams. Run `run` as a task; any number of processes may.

    Args:
        ingest: takes in.
        feed: results that wait.
        events: told of each result.
        redis: brings news of results.
        clock: tells when the lease is to be renewed.
    """

    def __init__(self, ingest: Ingest, feed: ResultFeed, events: EventLog, redis: Redis, clock: Clock) -> None:
        self._ingest = ingest
        self._feed = feed
        self._events = events
        self._redis = redis
        self._clock = clock
        self._news = asyncio.Event()
        self._seats: dict[Place, _Seat] = {}
        self._held_until_s = 0.0

    async def run(self) -> None:
        """Feeds until cancelled; what is under way then is gone on with by whoever has the lease next."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear())
            group.create_task(self._work())

    async def _hear(self) -> None:
        while True:
            try:
                with redis_translated():
                    async with self._redis.client.pubsub() as pubsub:
                        await pubsub.subscribe(NEWS_CHANNEL)
                        async for _ in pubsub.listen():
                            self._news.set()
            except RedisUnavailable:
                await self._clock.sleep(_PAUSE_S)  # `_work` looks by itself too

    async def _work(self) -> None:
        try:
            while True:
                try:
                    await self._round()
                except DatamanagerError as error:
                    _log.warning("results wait to be fed", error=error.detail[:200])
                    await self._leave()
                    await self._clock.sleep(_PAUSE_S)
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Lets everything go, as another process may have the lease."""
        self._held_until_s = 0.0
        for place in list(self._seats):
            self._close(place)
        try:
            await self._feed.let_go()
        except Unavailable as error:  # the lease ends by itself
            _log.debug("the lease on results was not given back", error=error.detail[:200])

    async def _round(self) -> None:
        if not await self._holds():
            await self._clock.sleep(_PAUSE_S)
            return
        self._news.clear()
        results = await self._feed.waiting(_MOST, numbered=False)
        for place, some in _by_session(results).items():
            seat = await self._seat(place)
            await self._number(seat, place, some)
            await self._take_in(seat, some)
        await self._mark()
        self._close_idle()
        if len(results) < _MOST:
            await self._wait(_LOOK_S if all(seat.is_idle for seat in self._seats.values()) else _MARK_S)

    async def _wait(self, seconds: float) -> None:
        """Waits for news, and then for more of them: a round costs the database some writes however few it feeds."""
        await self._clock.sleep(_GATHER_S)
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _holds(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._held_until_s:
            return True
        is_new = not self._held_until_s
        if not await self._feed.hold():
            if not is_new:
                _log.warning("another process feeds results now")
                for place in list(self._seats):
                    self._close(place)
            self._held_until_s = 0.0
            return False
        if is_new:
            await self._go_on()
        self._held_until_s = now_s + _RENEW_S
        return True

    async def _go_on(self) -> None:
        """Takes in again what has a number and is not known to be durable: the one before us died with it."""
        while results := await self._feed.waiting(_MOST, numbered=True):
            for place, some in _by_session(results).items():
                seat = await self._seat(place)
                await self._take_in(seat, sorted(some, key=lambda result: result["feed"]["seq"]))
                await self._ingest.registry.drain(seat.producer)
            await self._mark()
            await self._feed.hold()

    # One session.

    async def _seat(self, place: Place) -> _Seat:
        seat = self._seats.get(place)
        if seat is None:
            producer = await self._ingest.registry.open(*place, RESULTS_PRODUCER, reload=True, reopens=False)
            sender = Sender(self._ingest.config, self._ingest.budget, repeats_allowed=False)
            seat = self._seats[place] = _Seat(producer, sender, self._clock.monotonic_s())
        seat.used_s = self._clock.monotonic_s()
        return seat

    def _close(self, place: Place) -> None:
        seat = self._seats.pop(place)
        seat.sender.close()
        for stream in seat.producer.streams.values():
            stream.senders.discard(seat.sender)
        self._ingest.registry.release(seat.producer)

    def _close_idle(self) -> None:
        old_s = self._clock.monotonic_s() - _IDLE_S
        for place, seat in list(self._seats.items()):
            if seat.is_idle and seat.used_s < old_s:
                self._close(place)

    async def _number(self, seat: _Seat, place: Place, results: list[Document]) -> None:
        """Gives results their numbers, in the order of their times, and boxes the ids of what they show."""
        results.sort(key=lambda result: (result["output"], result["t_ns"]))
        given: dict[str, Document] = {}
        for result in results:
            output = result["output"]
            if output not in seat.next_seq:
                seat.next_seq[output] = await self._feed.next_seq(*place, output)
            result["feed"]["seq"] = seat.next_seq[output]
            seat.next_seq[output] += 1
            fields: Document = {"feed.seq": result["feed"]["seq"]}
            if result.get("track"):
                fields |= await self._track(seat, place, result)
            given[result["_id"]] = fields
        await self._feed.number(given)

    async def _track(self, seat: _Seat, place: Place, result: Document) -> Document:
        output = result["output"]
        tracker = seat.trackers.get(output)
        if tracker is None:
            tracker = seat.trackers[output] = Tracker()
            last = await self._feed.latest(*place, output)
            if last is not None and "tracker" in last["feed"]:
                tracker.restore(last["feed"]["tracker"])
        boxes = result.get("detections", [])
        seen = [TrackBox(tuple(box["box"]), box["score"], box["class_id"]) for box in boxes]
        for box, track_id in zip(boxes, tracker.update(result["t_ns"], seen), strict=True):
            box["track_id"] = track_id
        return {"detections": boxes, "feed.tracker": tracker.state()}

    async def _take_in(self, seat: _Seat, results: Sequence[Document]) -> None:
        messages = [message_of(result) for result in results]
        for result in results:
            seat.under_way[result["output"]].append(result)
        size_bytes = _VALUE_BYTES * max(len(result["values"]) + 8 for result in results)
        await self._ingest.accept(seat.sender, seat.producer, messages, text=False, size_bytes=size_bytes)

    async def _mark(self) -> None:
        """Notes what became durable, and tells of it."""
        done: list[Document] = []
        for seat in self._seats.values():
            for reject in seat.sender.take_rejects():
                await self._refused(seat, reject)
            for output, seq in seat.sender.take_acks().get(RESULTS_PRODUCER, {}).items():
                waiting = seat.under_way[output]
                while waiting and waiting[0]["feed"]["seq"] <= seq:
                    done.append(waiting.popleft())
        if not done:
            return
        try:
            await self._events.publish([event for result in done for event in events_of(result)])
        except RedisUnavailable as error:  # events are news: what they tell of is in MongoDB
            _log.warning("events were not told", results=len(done), error=error.detail[:200])
        await self._feed.fed([result["_id"] for result in done])

    async def _refused(self, seat: _Seat, reject: dict[str, Any]) -> None:
        """Notes why a result is in no stream: the robot may have one of that name itself, of another kind."""
        waiting = seat.under_way[reject["stream"]]
        refused = next((result for result in waiting if result["feed"]["seq"] == reject["seq"]), None)
        _log.error("a result cannot be kept in its stream", stream=reject["stream"], error=reject["detail"])
        if refused is not None:
            waiting.remove(refused)
            await self._feed.refused(refused["_id"], reject["detail"])


def message_of(result: Document) -> Message:
    """A result's document as the message that its stream gets: a sample, or for boxes, masks and raw outputs a record."""
    about = {
        name: result[name] for name in ("frame_id", "model", "version", "latency_ms", "status") if result[name] != ""
    }
    about |= {"reason": result["reason"]} if "reason" in result else {}
    more = result.get("extra", {})
    if result["task"] in ("detect", "segment", "raw"):
        boxes = {"detections": result["detections"]} if "detections" in result else {}
        payload: Any = {"value": {**about, **result["values"], **more, **boxes}}
        return _message(result, "json", payload)
    payload = {**about, **result["values"]}
    if "vector" in result:
        payload["embedding"] = np.frombuffer(result["vector"], "<f4").tolist()
    return _message(result, "time_series", payload)


def _message(result: Document, kind: str, payload: Any) -> Message:
    return Message(
        data_type=kind,
        payload=_plain(payload),
        stream=result["output"],
        seq=result["feed"]["seq"],
        t_ns=int(result["t_ns"]),
        redelivery=True,
    )


def _plain(value: Any) -> Any:
    """A value from MongoDB, its 64-bit integers as Python's own."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, int) and type(value) not in (int, bool) else value


def _by_session(results: Sequence[Document]) -> dict[Place, list[Document]]:
    places: dict[Place, list[Document]] = defaultdict(list)
    for result in results:
        places[result["robot_id"], result["session_id"]].append(result)
    return places
