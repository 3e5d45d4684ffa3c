"""Group commit: blocks and records that are ready are written together, journaled, and tried again until they are.

The order within a group is what the ack rests on: blocks and records first, then the blocks' statistics, the session's
span and the producers' totals. Only then is anything acked. What cannot be known after a failure is looked up.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from datamanager.clock import Clock
from datamanager.errors import DatamanagerError
from datamanager.ingest.keep import LedgerKeeper, keep_ledgers
from datamanager.observability import METRICS, get_logger
from datamanager.storage.blocks import Block
from datamanager.storage.ledgers import Ledgers
from datamanager.storage.mongo import BulkFailure
from datamanager.storage.records import RecordCollection, RecordWrites
from datamanager.storage.sessions import Sessions
from datamanager.storage.telemetry import Telemetry

__all__ = ["CommitItem", "Committer", "Stores"]

_log = get_logger(__name__)
_GROUP_BYTES = 2_000_000  # a quarter of one sender's window: the rest of it comes in while this is written
_GROUP_ITEMS = 1000
_WORTH_BYTES = 300_000  # less than that waits for the group under way: each group costs the disk two flushes
_RECORD_BYTES = 1000  # of a document whose bytes are in S3, about
_IN_FLIGHT = 3  # one group's blocks, another one's statistics, and one on its way
_MAX_PAUSE_S = 1.0


class Account(LedgerKeeper, Protocol):
    """The producer whose totals a commit changes."""

    @property
    def is_own(self) -> bool:
        """Whether it is one of the server's, for which no robot waits."""

    def begin(self, item: "CommitItem") -> None:
        """The item is about to be written: give it its generation."""

    def written(self, item: "CommitItem") -> None:
        """The item is in the database: count it."""

    async def prepare(self, items: list["CommitItem"]) -> dict[int, str]:
        """Makes durable what must be there before these items are: schemas and channels.

        Returns:
            `id` of an item to the reason, for each that can never be written.
        """

    async def stand(self, blocks: list[Block]) -> None:
        """Sees to it that the statistics of blocks may be written, in which generation is theirs then."""


@dataclass(slots=True, eq=False)
class CommitItem:
    """One block or one record, and who waits for it.

    Attributes:
        resolve: called once it is durable (None) or can never be (the reason).
    """

    account: Account
    size_bytes: int
    resolve: Callable[[str | None], None]
    block: Block | None = None
    collection: RecordCollection = "records"
    document: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stores:
    """The collections that a commit writes."""

    telemetry: Telemetry
    records: RecordWrites
    sessions: Sessions
    ledgers: Ledgers


class _Lane:
    """Items that wait for nobody's groups but their own."""

    def __init__(self) -> None:
        self._queue: deque[CommitItem] = deque()
        self._queued_bytes = 0
        self._in_flight = 0
        self._wake = asyncio.Event()

    def put(self, item: CommitItem) -> None:
        self._queue.append(item)
        self._queued_bytes += _weight(item)
        self._wake.set()

    async def run(self, commit: Callable[[list[CommitItem]], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                while not self._is_due:
                    self._wake.clear()
                    await self._wake.wait()
                self._in_flight += 1
                group.create_task(commit(self._take())).add_done_callback(self._done)

    @property
    def _is_due(self) -> bool:
        """Whether what waits is to be written now."""
        if not self._in_flight or self._in_flight >= _IN_FLIGHT:
            return bool(self._queue) and not self._in_flight
        return self._queued_bytes >= _WORTH_BYTES or len(self._queue) >= _GROUP_ITEMS

    def _done(self, _task: object) -> None:
        self._in_flight -= 1
        self._wake.set()

    def _take(self) -> list[CommitItem]:
        group: list[CommitItem] = []
        size = 0
        while self._queue and size < _GROUP_BYTES and len(group) < _GROUP_ITEMS:
            item = self._queue.popleft()
            size += _weight(item)
            group.append(item)
        self._queued_bytes -= size
        return group


class Committer:
    """Writes items in groups. Run `run` as a task; hand items in with `submit`.

    What robots sent and what the server adds itself (results of models, rows of tables) are written in groups of their
    own: an ack never waits for a group of results that is under way.
    """

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock
        self._robots, self._own = _Lane(), _Lane()

    def submit(self, item: CommitItem) -> None:
        """Queues an item. What may be queued is bounded by what senders may have un-acked."""
        (self._own if item.account.is_own else self._robots).put(item)

    async def run(self) -> None:
        """Writes groups until cancelled; then what is under way is given up.

        What goes wrong otherwise than by a failing server ends it: a sender would wait for ever for its ack, while a
        process that starts anew is sent again what is not acked.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._robots.run(self._commit))
            group.create_task(self._own.run(self._commit))

    async def _commit(self, group: list[CommitItem]) -> None:
        began = self._clock.monotonic_s()
        accounts = list(dict.fromkeys(item.account for item in group))
        lost: dict[int, str] = {}
        for account in accounts:
            mine = [item for item in group if item.account is account]
            lost |= await self._insist(lambda a=account, mine=mine: a.prepare(mine))  # type: ignore[misc]  # bound now
        for item in group:
            item.account.begin(item)
        blocks = {id(i.block): i for i in group if i.block is not None and id(i) not in lost}
        await asyncio.gather(self._write_blocks(blocks, lost), self._write_records(group, lost))
        good = [item for item in group if id(item) not in lost]
        for item in good:
            item.account.written(item)
        await asyncio.gather(
            self._write_statistics(
                {i.block.id: i.account for i in good if i.block}, [i.block for i in good if i.block]
            ),
            self._keep(accounts),
        )
        METRICS.commit_s.labels("mongodb").observe(self._clock.monotonic_s() - began)
        for item in group:
            item.resolve(lost.get(id(item)))
            item.resolve = _resolved  # it knows the item: in a ring a block's data would wait for the collector

    async def _keep(self, accounts: list[Account]) -> None:
        """Writes spans and ledgers; those of one producer never in two groups at once."""
        async with AsyncExitStack() as held:
            for account in sorted(
                accounts, key=lambda a: a.id
            ):  # in one order, or two groups could wait for each other
                await held.enter_async_context(account.keeping)
            await self._insist(lambda: keep_ledgers(self._stores.sessions, self._stores.ledgers, accounts))

    async def _insist(self, call: Callable[[], Any]) -> Any:
        """Calls until it succeeds: for writes that may be repeated."""
        pause_s = 0.05
        while True:
            try:
                return await call()
            except DatamanagerError as error:
                pause_s = await self._pause(pause_s, error)

    async def _pause(self, pause_s: float, error: DatamanagerError) -> float:
        METRICS.commit_retries.labels("mongodb").inc()
        _log.warning("a write is tried again", error=error.detail[:200], pause_s=round(pause_s, 2))
        await self._clock.sleep(pause_s)
        return min(pause_s * 2, _MAX_PAUSE_S)

    async def _missing(self, blocks: list[Block], *, statistics: bool = False) -> list[Block]:
        missing = await self._stores.telemetry.missing(blocks, statistics=statistics)
        await self._stores.ledgers.sync()  # what is there stays there
        return missing

    async def _write_blocks(self, items: dict[int, CommitItem], lost: dict[int, str]) -> None:
        waiting = [item.block for item in items.values() if item.block is not None]
        pause_s = 0.05
        unsure = False
        while waiting:
            try:
                if unsure:
                    waiting = await self._missing(waiting)
                if waiting:
                    await self._stores.telemetry.insert(waiting)
            except BulkFailure as failure:
                for index, (_, why) in failure.refused.items():
                    lost[id(items[id(waiting[index])])] = why
            except DatamanagerError as error:
                unsure = True
                pause_s = await self._pause(pause_s, error)
                continue
            return

    async def _write_statistics(self, accounts: dict[str, Account], blocks: list[Block]) -> None:
        pause_s = 0.05
        unsure = False
        while blocks:
            try:
                if unsure:
                    blocks = await self._missing(blocks, statistics=True)
                for account in {accounts[b.id] for b in blocks}:
                    await account.stand([b for b in blocks if accounts[b.id] is account])
                if blocks:
                    await self._stores.telemetry.insert_statistics(blocks)
            except BulkFailure as failure:
                _log.error("statistics were refused; they are made again from their blocks", error=failure.detail)
            except DatamanagerError as error:
                unsure = True
                pause_s = await self._pause(pause_s, error)
                continue
            return

    async def _write_records(self, group: list[CommitItem], lost: dict[int, str]) -> None:
        for collection in ("frames_metadata", "records"):
            items = [i for i in group if i.block is None and i.collection == collection]
            if items:
                await self._insist(lambda c=collection, mine=items: self._insert_records(c, mine, lost))  # type: ignore[misc]  # bound now

    async def _insert_records(
        self, collection: RecordCollection, items: list[CommitItem], lost: dict[int, str]
    ) -> None:
        refused = await self._stores.records.insert(collection, [i.document for i in items])
        for index, why in refused.items():
            lost[id(items[index])] = why


def _resolved(_: str | None) -> None:
    raise AssertionError("an item is resolved once")


def _weight(item: CommitItem) -> int:
    """Bytes that an item is to MongoDB, about."""
    return _RECORD_BYTES if "keys" in item.document else item.size_bytes
