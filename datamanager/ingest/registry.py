"""The sessions and producers that this process knows: opened for connections, forgotten when idle."""

import asyncio
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from datamanager.clock import Clock
from datamanager.config import IngestConfig
from datamanager.errors import MongoUnavailable
from datamanager.ingest.commit import Stores
from datamanager.ingest.floors import Floor, FloorKeeper
from datamanager.ingest.keep import keep_ledgers
from datamanager.ingest.producer import Producer
from datamanager.ingest.sealer import Sealer
from datamanager.ingest.session import SessionState
from datamanager.observability import get_logger
from datamanager.storage.dead_letters import DeadLetters
from datamanager.storage.sessions import Streams

__all__ = ["Registry"]

_log = get_logger(__name__)
_IDLE_S = 60.0


class Registry:
    """Sessions and producers by name. Run `run` as a task."""

    def __init__(
        self,
        config: IngestConfig,
        stores: Stores,
        streams: Streams,
        letters: DeadLetters,
        sealer: Sealer,
        floors: FloorKeeper,
        clock: Clock,
    ) -> None:
        self._config = config
        self._stores = stores
        self._streams = streams
        self._letters = letters
        self._sealer = sealer
        self._floors = floors
        self._clock = clock
        self._sessions: dict[str, SessionState] = {}
        self._producers: dict[tuple[str, str], Producer] = {}
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self) -> None:
        """Writes blocks that are as old as they may get, all due ones together, and forgets idle sessions."""
        step_s = self._config.flush_interval_s / 4
        while True:
            await self._clock.sleep(step_s)
            due_s = self._clock.monotonic_s() - 3 * step_s
            for producer in list(self._producers.values()):
                self._sealer.seal_due(producer, due_s)
            self._forget_idle()

    async def keep_floors(self) -> None:
        """Tells rollups what is complete, until cancelled."""
        await self._floors.run(self._writers)

    def _writers(self) -> dict[Floor, list[Producer] | None]:
        found: dict[SessionState, list[Producer]] = {session: [] for session in self._sessions.values()}
        for producer in self._producers.values():
            found.setdefault(producer.session, []).append(producer)
        return {
            session.floor: None if session.ended and all(p.settled for p in producers) else producers
            for session, producers in found.items()
        }

    def _forget_idle(self) -> None:
        old_s = self._clock.monotonic_s() - _IDLE_S
        for key, producer in list(self._producers.items()):
            session = producer.session
            if session.users == 0 and session.used_s < old_s and producer.idle:
                del self._producers[key]
        for name in self._sessions.keys() - {p.session.id for p in self._producers.values()}:
            if self._sessions[name].users == 0 and self._sessions[name].used_s < old_s:
                del self._sessions[name]

    async def open(
        self,
        robot_id: str,
        session_id: str,
        producer: str,
        *,
        fresh: dict[str, Any] | None = None,
        reload: bool = False,
        reopens: bool = True,
    ) -> Producer:
        """A producer of a session with its ledger, opened for a connection, which later calls `release`.

        Args:
            robot_id: who sends, checked; as are the next two.
            session_id: the session.
            producer: which of its senders.
            fresh: fields of the session to set, from a `hello`.
            reload: read the ledger again from the database once nothing of the producer is under way.
            reopens: whether what it sends opens a session again that has ended; not so what is added to a recording.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        opening = self._opening.setdefault(f"{robot_id}/{session_id}", asyncio.Lock())
        async with opening:
            session = await self.session(robot_id, session_id, fresh, again=reload, reopens=reopens)
            found = self._producers.get((session.id, producer))
            if found is None:
                found = Producer(session, producer, self._config, self._stores, self._letters, reopens=reopens)
                self._producers[session.id, producer] = found
            session.users += 1
        try:
            await session.floor.stand()
            async with found.lock:
                if reload or not found.loaded:
                    await self._load(found, uuid4().hex if reload else None)
        except BaseException:
            self.release(found)
            raise
        return found

    async def _load(self, producer: Producer, owner: str | None) -> None:
        while True:
            arrivals = producer.arrivals
            await self.drain(producer)
            reading = await producer.read(owner=owner)
            if producer.arrivals == arrivals:  # else what came meanwhile may be missing from what was read
                break
        producer.adopt(reading)
        async with producer.keeping:  # totals and spans that a crash left behind
            await keep_ledgers(self._stores.sessions, self._stores.ledgers, [producer])

    async def session(
        self,
        robot_id: str,
        session_id: str,
        fresh: dict[str, Any] | None,
        *,
        again: bool = False,
        reopens: bool = True,
    ) -> SessionState:
        """A session, opened again when it has ended, or (`again`) in any case; `fresh` and `reopens` as for `open`."""
        session = self._sessions.get(f"{robot_id}/{session_id}")
        if session is None or (session.ended and reopens) or fresh or again:
            document = await self._stores.sessions.open(
                robot_id, session_id, self._clock.now_ns(), fresh=fresh, reopens=reopens
            )
            if session is None:
                streams = await self._streams.all_of(robot_id, session_id)
                session = SessionState(
                    document,
                    streams,
                    self._streams,
                    self._config,
                    self._clock,
                    self._floors.floor(robot_id, session_id),
                )
                self._sessions[session.id] = session
            session.ended = document["status"] == "ended"
        return session

    def release(self, producer: Producer) -> None:
        """A connection no longer uses the producer."""
        producer.session.users -= 1
        producer.session.used_s = self._clock.monotonic_s()

    async def end(self, producer: Producer) -> None:
        """Ends the session: all that came is made durable, then it is marked."""
        await self.drain(producer)
        producer.close_generation()
        session = producer.session
        session.ended = True
        await self._stores.sessions.end(session.robot_id, session.session_id, self._clock.now_ns())

    async def drain(self, producer: Producer) -> None:
        """Returns when nothing of the producer is under way."""
        self._sealer.flush(producer)
        while not producer.settled:
            await producer.moved()

    async def settle(self, timeout_s: float) -> None:
        """Writes everything that came, for at most `timeout_s`: what is not durable by then was not acked either."""
        try:
            async with asyncio.timeout(timeout_s):
                for producer in list(self._producers.values()):
                    await self.drain(producer)
        except TimeoutError:
            _log.warning("stopping with messages that are not durable and not acked")
        try:
            async with asyncio.timeout(1):
                await self._floors.leave_all()
        except (MongoUnavailable, TimeoutError) as error:
            _log.warning("rollups wait until this process counts as dead", error=repr(error))
