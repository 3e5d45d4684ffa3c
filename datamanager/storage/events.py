"""Events: what models, analytics and alert rules have to say, as bounded Redis Streams that anybody can read.

Four streams, `detection_events`, `analytics_events`, `metrics_events` and `alert_events`; each entry has one field,
`event`, the JSON of an `Event`. They tell what happened lately and are never the truth: results and alerts stand in
MongoDB, and Redis may be wiped at any moment.

An event's id is that of its entry and the number of its stream: `{ms}-{n}-{stream}`. All of them together have one
order, by these three numbers, and readers get them in it: what Redis took in a millisecond that is over can have no
younger neighbour, so nothing of the present one is given out before the next look.
"""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import msgspec

from datamanager.clock import Clock
from datamanager.errors import Refused
from datamanager.observability import get_logger
from datamanager.storage.redis import Redis, redis_translated

__all__ = [
    "MOST_BOXES",
    "TOPICS",
    "Event",
    "EventLog",
    "EventPlace",
    "EventsRead",
    "StoredEvent",
    "Topic",
    "event_id_of",
    "events_of",
    "metrics_event",
    "parse_event_id",
]

MOST_BOXES = 100
"""Boxes that one event tells of, the best ones; `count` says how many there are, and the result stream has them all."""

Topic = Literal["detection_events", "analytics_events", "metrics_events", "alert_events"]
TOPICS: tuple[Topic, ...] = get_args(Topic)

EventPlace = tuple[int, int, int]
"""Where an event stands in the order of all: the millisecond, the number in it, the number of its stream."""

_log = get_logger(__name__)

_POLL_S = 0.05  # how long an event may wait until readers see it
_ONCE_S = 3600  # how long an event that was published is known by its `once`
_ID = re.compile(r"(\d{1,16})-(\d{1,16})-([0-3])", re.ASCII)
_LAST = len(TOPICS) - 1
_START: EventPlace = (0, 0, 0)
_CLOCK_BACK_MS = 1000
_MOST_NUMBER = 10**16 - 1  # beyond what Redis counts to within a millisecond

# The marker lies in the node of a cluster that holds the stream: a key's part in braces is what is hashed.
_ADD_ONCE = """
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[3]) then
  return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'event', ARGV[1])
end
return false
"""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Something that happened, to be told.

    Attributes:
        topic: which of the Redis Streams it goes to.
        event_type: what happened: `detection`, `quality`, `anomaly`, `drift`, `inference_metrics`, `alert_fired`, ...
        t_ns: when, by the data's own time: Unix nanoseconds.
        camera_id: name of the stream that it is about; empty where there is none.
        frame_id: record_id of the frame that it is about; empty where there is none.
        data: the rest, as JSON can hold it.
        once: what is published again under the same text, within an hour, is published once; empty: each time.
    """

    topic: Topic
    event_type: str
    t_ns: int
    camera_id: str = ""
    frame_id: str = ""
    robot_id: str = ""
    session_id: str = ""
    data: dict[str, Any] = {}
    once: str = ""

    def encode(self) -> bytes:
        """The envelope as JSON: what lies in Redis."""
        return msgspec.json.encode(
            {
                "event_type": self.event_type,
                "timestamp": self.t_ns / 1e9,
                "camera_id": self.camera_id,
                "frame_id": self.frame_id,
                "robot_id": self.robot_id,
                "session_id": self.session_id,
                "t_ns": str(self.t_ns),
                "data": self.data,
            },
            enc_hook=_plain,
        )


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is read: the envelope `{event_type, timestamp, camera_id, frame_id, data}`, and where it stands.

    Attributes:
        event_type, timestamp, camera_id, frame_id, data: as published; `timestamp` in seconds.
        robot_id, session_id: whose.
        t_ns: the exact time, Unix nanoseconds as text.
        event_id: its id: what comes after it can be asked for.
        topic: which of the Redis Streams it lies in.
    """

    event_type: str
    timestamp: float
    camera_id: str
    frame_id: str
    data: msgspec.Raw
    robot_id: str
    session_id: str
    t_ns: str
    event_id: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class EventsRead:
    """What was read.

    Attributes:
        events: in order.
        after: where to read on.
        upto: up to where these are all there will ever be.
        is_cut: whether some that followed where reading began had been trimmed away by then.
    """

    events: list[tuple[EventPlace, StoredEvent]] = field(default_factory=list)
    after: EventPlace = _START
    upto: EventPlace = _START
    is_cut: bool = False


_DECODER = msgspec.json.Decoder(StoredEvent)


def events_of(result: Mapping[str, Any]) -> list[Event]:
    """The events of a result, as it stands in the collection `results`; none where it has nothing to tell.

    A `detection` of a detector's result that has boxes: `data` is {"model", "version", "latency_ms", "count",
    "detections": [{"class", "score", "box", "track_id", ...}]}. Else one named by the task (`quality`, `anomaly`) where
    the value `flagged` is neither 0 nor missing: `data` is {"model", "version", "latency_ms", "values"}. Given again (by
    who goes on for a feeder that died), an event is published once: `once` is the result's id.
    """
    if result["status"] != "ok":
        return []
    said = {name: result[name] for name in ("model", "version", "latency_ms")}
    boxes = result.get("detections")
    if boxes:
        best = sorted(boxes, key=_score, reverse=True)[:MOST_BOXES]
        said |= {"count": len(boxes), "detections": best}
        return [_event("detection_events", "detection", result, said)]
    if result["values"].get("flagged"):
        return [_event("analytics_events", result["task"], result, said | {"values": result["values"]})]
    return []


def metrics_event(source: str, values: Mapping[str, Any], t_ns: int) -> Event:
    """An event of how inference goes: what a process tells every few seconds.

    Args:
        source: which process, by a name that no other one has.
        values: {"window_s": float, "models": {name: {"frames", "batches", "frames_per_s", "latency_ms": {"p50", "p95"},
            "failed", "breaker"}}, "streams": {"robot/session/stream": {"frames", "shed"}}, "queue": {"emergency", "high",
            "normal"}}, as far as it is known.
        t_ns: now, Unix nanoseconds.
    """
    return Event(topic="metrics_events", event_type="inference_metrics", t_ns=t_ns, data={"source": source, **values})


def _event(topic: Topic, event_type: str, result: Mapping[str, Any], data: dict[str, Any]) -> Event:
    return Event(
        topic=topic,
        event_type=event_type,
        t_ns=int(result["t_ns"]),  # MongoDB's 64-bit integers are a type of their own
        camera_id=result["stream"],
        frame_id=result["frame_id"],
        robot_id=result["robot_id"],
        session_id=result["session_id"],
        data=data,
        once=result["_id"],
    )


def _score(box: Mapping[str, Any]) -> float:
    return float(box.get("score", 0.0))


def parse_event_id(text: str) -> EventPlace:
    """The place of an event id; `0` is before all.

    Raises:
        Refused: `malformed`.
    """
    if text == "0":
        return _START
    match = _ID.fullmatch(text)
    if match is None:
        raise Refused("malformed", f"{text[:64]!r} is no id of an event")
    ms, number, topic = (int(part) for part in match.groups())
    return (ms, number, topic)


def event_id_of(place: EventPlace) -> str:
    """The id of the event at a place; of the start, `0`."""
    return "0" if place == _START else f"{place[0]}-{place[1]}-{place[2]}"


class EventLog:
    """The four streams. Every method raises `RedisUnavailable` when Redis does not answer.

    Args:
        redis: where they are.
        clock: paces the looks of `read`.
        kept: about how many events each stream keeps.
    """

    def __init__(self, redis: Redis, clock: Clock, *, kept: int) -> None:
        self._client = redis.client
        self._clock = clock
        self._kept = kept

    async def publish(self, events: Sequence[Event]) -> None:
        """Adds events, in bulk. What was published is not known when this raises: an event with `once` can be given again.

        Raises:
            RedisUnavailable: Redis does not answer.
        """
        if not events:
            return
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                for event in events:
                    if event.once:
                        marker = f"{{{event.topic}}}:once:{event.once}"
                        pipe.eval(_ADD_ONCE, 2, event.topic, marker, event.encode(), str(self._kept), str(_ONCE_S))
                    else:
                        pipe.xadd(event.topic, {b"event": event.encode()}, maxlen=self._kept, approximate=True)
                await pipe.execute()

    async def now(self) -> EventPlace:
        """The place behind everything that was published before the present millisecond."""
        with redis_translated():
            now: Any = await self._client.time()
        return (_milliseconds(now) - 1, _MOST_NUMBER, _LAST)

    async def page(self, topics: Collection[Topic], after: EventPlace, limit: int) -> EventsRead:
        """The next events after a place, at most `limit`, without waiting. An entry that cannot be read is left out.

        Args:
            topics: of which streams.
            after: an event's place; the events behind it are given.
            limit: how many entries are looked at.
        """
        wanted = [(number, topic) for number, topic in enumerate(TOPICS) if topic in topics]
        with redis_translated():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.time()  # before the streams are read: what comes later has this millisecond, or a later one
                for number, topic in wanted:
                    pipe.xrange(topic, min=_behind(after, number), count=limit)
                    pipe.xrange(topic, count=1)
                    pipe.xlen(topic)
                now, *answers = await pipe.execute()
        found: list[tuple[EventPlace, bytes]] = []
        is_cut = False
        for (number, _), entries, oldest, length in zip(
            wanted, answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            found += [(_place(entry_id, number), fields.get(b"event", b"")) for entry_id, fields in entries]
            # A stream that is not full has lost nothing.
            is_cut |= after > _START and length >= self._kept and _place(oldest[0][0], number) > after
        # Of one stream that gave `limit` entries no more than these are taken, so no other one runs ahead of it.
        found = sorted(found)[:limit]
        over_ms = _milliseconds(now)
        if found and found[-1][0][0] > over_ms + _CLOCK_BACK_MS:
            over_ms = found[-1][0][0] + 1  # its clock was set back: numbers go on from where they were
        found = [pair for pair in found if pair[0][0] < over_ms]
        events = [(place, event) for place, data in found if (event := _decoded(place, data)) is not None]
        reached = found[-1][0] if found else after
        upto = reached if len(found) == limit else (over_ms - 1, _MOST_NUMBER, _LAST)
        return EventsRead(events, reached, upto, is_cut and bool(found))

    async def read(self, topics: Collection[Topic], after: EventPlace, *, limit: int, block_s: float) -> EventsRead:
        """As `page`, but where there is nothing it waits for something, up to `block_s`. Cancelling loses nothing."""
        until_s = self._clock.monotonic_s() + block_s
        while True:
            found = await self.page(topics, after, limit)
            if found.after != after or self._clock.monotonic_s() >= until_s:
                return found
            await asyncio.sleep(min(_POLL_S, block_s))


def _plain(value: Any) -> int | str:
    """What JSON's encoder does not know: MongoDB's 64-bit integers are a type of their own."""
    return int(value) if isinstance(value, int) else str(value)


def _milliseconds(now: tuple[int, int]) -> int:
    return now[0] * 1000 + now[1] // 1000


def _behind(after: EventPlace, number: int) -> str:
    """Where a stream is read from: an entry with the same id in a stream of a higher number comes behind."""
    return f"{'' if number > after[2] else '('}{after[0]}-{after[1]}"


def _place(entry_id: bytes, number: int) -> EventPlace:
    ms, _, n = entry_id.partition(b"-")
    return (int(ms), int(n), number)


def _decoded(place: EventPlace, data: bytes) -> StoredEvent | None:
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _log.warning("an event cannot be read", place=place, error=str(error))
        return None
    return msgspec.structs.replace(event, event_id=event_id_of(place), topic=TOPICS[place[2]])
