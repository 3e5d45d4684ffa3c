"""Events to whoever watches: one reader of Redis for a process, and bounded queues for its viewers."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import msgspec

from datamanager.clock import Clock
from datamanager.errors import RedisUnavailable, Refused
from datamanager.observability import METRICS, get_logger
from datamanager.playback.pages import DEFAULT_LIMIT
from datamanager.playback.params import parse_int
from datamanager.playback.plain_json import encode_json
from datamanager.storage.events import TOPICS, EventLog, EventPlace, StoredEvent, Topic, event_id_of, parse_event_id

__all__ = ["EventFilter", "EventHub", "EventPage", "EventPages", "EventViewer", "parse_types"]

_log = get_logger(__name__)
_PAGE = 500
_BLOCK_S = 0.5  # so long a process reads on that nobody watches any more
_START_S = 2.0  # a viewer is let in after that even without Redis: what comes later reaches it
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.05, 1.0
_MOST_LOOKED = 20_000  # entries that one call of `/events` looks at
_MAX_QUEUED_BYTES = 8 * 1024 * 1024
_MOST_TYPES, _MOST_TYPE_CHARS = 64, 64


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events somebody wants; what is empty or None filters nothing.

    Attributes:
        topics: of which Redis Streams.
        event_types: of which types.
    """

    topics: frozenset[Topic] = frozenset(TOPICS)
    event_types: frozenset[str] = frozenset()
    robot_id: str | None = None
    session_id: str | None = None
    camera_id: str | None = None

    def wants(self, event: StoredEvent) -> bool:
        """Whether an event is among them."""
        return (
            (event.topic in self.topics or event.event_type in self.event_types)
            and self.robot_id in (None, event.robot_id)
            and self.session_id in (None, event.session_id)
            and self.camera_id in (None, event.camera_id)
        )


def parse_types(types: Collection[str]) -> tuple[frozenset[Topic], frozenset[str]]:
    """What `types` names: streams (`alert_events`) and event types (`alert_fired`); all streams where it is empty.

    Raises:
        Refused: `wrong_type` when a type is too long, `too_large` when there are too many.
    """
    if len(types) > _MOST_TYPES:
        raise Refused("too_large", f"{_MOST_TYPES} types may be asked for, not {len(types)}")
    if any(len(name) > _MOST_TYPE_CHARS for name in types):
        raise Refused("wrong_type", f"a type of events has at most {_MOST_TYPE_CHARS} characters")
    if not types:
        return frozenset(TOPICS), frozenset()
    topics = frozenset(topic for topic in TOPICS if topic in types)
    return topics, frozenset(types) - topics


class _Shown:
    """An event, and its JSON, made once for all who want it."""

    def __init__(self, place: EventPlace, event: StoredEvent) -> None:
        self.place = place
        self.event = event

    @cached_property
    def text(self) -> str:
        return encode_json(self.event).decode()


class EventViewer:
    """What waits for one viewer; where there is no room the oldest go, counted.

    Args:
        wanted: which events it wants.
        after: the event behind which it begins.
        max_events: how many may wait.
    """

    def __init__(self, wanted: EventFilter, after: EventPlace, *, max_events: int) -> None:
        self.wanted = wanted
        self.after = after
        self._max_events = max_events
        self._waiting: deque[_Shown] = deque()
        self._bytes = 0
        self._dropped = 0
        self._fresh = asyncio.Event()

    def offer(self, shown: _Shown) -> None:
        """Takes an event, if it is wanted and was not sent before."""
        if shown.place <= self.after or not self.wanted.wants(shown.event):
            return
        self._waiting.append(shown)
        self._bytes += len(shown.text)
        while len(self._waiting) > self._max_events or self._bytes > _MAX_QUEUED_BYTES:
            self._bytes -= len(self._waiting.popleft().text)
            self._dropped += 1
            METRICS.live_dropped.inc()
        self._fresh.set()

    async def next(self) -> str:
        """What to send next: the loss, if there was one, before what came after it. Cancelling loses nothing."""
        while not self._waiting and not self._dropped:
            self._fresh.clear()
            await self._fresh.wait()
        if self._dropped:
            notice = encode_json({"type": "dropped", "count": self._dropped}).decode()
            self._dropped = 0
            return notice
        shown = self._waiting.popleft()
        self._bytes -= len(shown.text)
        self.after = shown.place
        return shown.text


class EventHub:
    """Brings events to who watches. Run `run` as a task: it reads as long as somebody does.

    Args:
        log: where events are.
        clock: paces the attempts to reach Redis again.
        viewer_queue: how many events may wait for one viewer.
    """

    def __init__(self, log: EventLog, clock: Clock, *, viewer_queue: int) -> None:
        self._events = log
        self._clock = clock
        self._viewer_queue = viewer_queue
        self._viewers: set[EventViewer] = set()
        self._watched = asyncio.Event()
        self._standing = asyncio.Event()
        self._after: EventPlace | None = None

    async def run(self) -> None:
        """Reads and hands out until cancelled. While Redis is away viewers stay, and get what comes afterwards."""
        pause_s = _LEAST_PAUSE_S
        while True:
            await self._watched.wait()
            try:
                await self._read()
                pause_s = _LEAST_PAUSE_S
            except RedisUnavailable as error:
                if pause_s == _LEAST_PAUSE_S:
                    _log.warning("events wait for Redis", error=error.detail)
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, _MOST_PAUSE_S)

    @asynccontextmanager
    async def watch(self, wanted: EventFilter, after: EventPlace | None) -> AsyncIterator[AsyncIterator[str]]:
        """JSON texts for as long as the block lasts: first `{"type": "welcome"}`, then events.

        Among them `{"type": "gap"}` where events behind `after` were trimmed away before they were read, and
        `{"type": "dropped", "count": n}` where the viewer was too slow.

        Args:
            wanted: which events.
            after: the event behind which to begin; from now on when None.
        """
        METRICS.connections.labels("events").inc()
        viewer = EventViewer(wanted, after or (0, 0, 0), max_events=self._viewer_queue)
        try:
            yield self._texts(viewer, catches_up=after is not None)
        finally:
            METRICS.connections.labels("events").dec()
            self._leave(viewer)

    async def _texts(self, viewer: EventViewer, *, catches_up: bool) -> AsyncIterator[str]:
        if not catches_up:
            self._join(viewer)
            await self._stand()
        yield encode_json({"type": "welcome"}).decode()
        if catches_up:
            async for text in self._backlog(viewer):
                yield text
        while True:
            yield await viewer.next()

    async def _backlog(self, viewer: EventViewer) -> AsyncIterator[str]:
        """What lies behind `viewer.after`, until the viewer has come to where the hub is, and has joined it."""
        while viewer not in self._viewers:
            try:
                page = await self._events.page(TOPICS, viewer.after, _PAGE)
            except RedisUnavailable:
                await self._clock.sleep(_MOST_PAUSE_S)
                continue
            if page.is_cut:
                yield encode_json({"type": "gap"}).decode()
            for place, event in page.events:
                if viewer.wanted.wants(event):
                    yield _Shown(place, event).text
            is_through = page.after == viewer.after
            viewer.after = page.after
            if is_through and (self._after is None or self._after <= page.upto):
                self._join(viewer)  # what the hub hands out from now on lies behind all that was sent

    def _join(self, viewer: EventViewer) -> None:
        if self._after is None and viewer.after > (0, 0, 0):
            self._after = viewer.after
            self._standing.set()
        self._viewers.add(viewer)
        self._watched.set()

    def _leave(self, viewer: EventViewer) -> None:
        self._viewers.discard(viewer)
        if not self._viewers:
            self._watched.clear()
            self._standing.clear()
            self._after = None  # the next viewer begins where it wants to

    async def _stand(self) -> None:
        try:
            async with asyncio.timeout(_START_S):
                await self._standing.wait()
        except TimeoutError:
            _log.warning("a viewer of events waits for Redis")

    async def _read(self) -> None:
        if self._after is None:
            after = await self._events.now()
            if self._after is None and self._viewers:
                self._after = after
                self._standing.set()
            return
        after = self._after
        found = await self._events.read(TOPICS, after, limit=_PAGE, block_s=_BLOCK_S)
        if self._after != after:  # all have left meanwhile, and others have come
            return
        self._after = found.after
        for place, event in found.events:
            shown = _Shown(place, event)
            for viewer in self._viewers:
                viewer.offer(shown)


class EventItem(msgspec.Struct, frozen=True, kw_only=True):
    """One event; its fields are those of `StoredEvent`."""

    event_id: str
    topic: str
    event_type: str
    timestamp: float
    camera_id: str
    frame_id: str
    robot_id: str
    session_id: str
    t_ns: str
    data: dict[str, Any]


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events.

    Attributes:
        items: ascending.
        after: what to ask with for those that follow, now or later.
        is_cut: whether events behind the place that was asked for had been trimmed away.
    """

    items: list[EventItem]
    after: str
    is_cut: bool


class EventPages:
    """Answers `/events`."""

    def __init__(self, log: EventLog, *, page_limit: int) -> None:
        self._events = log
        self._page_limit = page_limit

    async def page(self, wanted: EventFilter, *, after: str | None, limit: str | None) -> EventPage:
        """The events behind `after` (all that are kept, when it is not given), as far as one call looks.

        Raises:
            Refused: a parameter cannot be read.
            RedisUnavailable: Redis does not answer.
        """
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        place = parse_event_id(after) if after is not None else (0, 0, 0)
        items: list[EventItem] = []
        is_cut = False
        for _ in range(_MOST_LOOKED // _PAGE):
            found = await self._events.page(TOPICS, place, _PAGE)
            is_cut |= found.is_cut
            for at, event in found.events:
                if wanted.wants(event):
                    items.append(_item(event))
                if len(items) == count:
                    return EventPage(items=items, after=event_id_of(at), is_cut=is_cut)
            if found.after == place:
                break
            place = found.after
        return EventPage(items=items, after=event_id_of(place), is_cut=is_cut)


def _item(event: StoredEvent) -> EventItem:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    return EventItem(**(fields | {"data": msgspec.json.decode(event.data)}))
