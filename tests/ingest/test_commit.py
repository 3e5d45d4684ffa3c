"""Groups of the committer: what robots wait for does not wait for what the server adds itself."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from datamanager.clock import SystemClock
from datamanager.ingest.commit import CommitItem, Committer
from datamanager.storage.ledgers import LedgerChange


@dataclass(eq=False)
class Account:
    """A producer, as far as a commit goes: nothing of it is kept."""

    id: str
    is_own: bool
    keeping: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self, item: CommitItem) -> None:
        item.document["generation"] = 1

    def written(self, item: CommitItem) -> None:
        assert item.document["_id"]

    async def prepare(self, items: list[CommitItem]) -> dict[int, str]:
        return {} if items else {0: "nothing is to be written"}

    async def stand(self, blocks: list[Any]) -> None:
        assert not blocks

    def ledger_change(self) -> LedgerChange:
        return LedgerChange(self.id, (), "stamp", {})

    def ledger_kept(self, change: LedgerChange) -> None:
        assert change.id == self.id

    def span(self) -> None:
        return None

    def span_kept(self, span: object) -> None:
        raise AssertionError(span)

    async def reconcile(self) -> None:
        raise AssertionError("nobody else has this ledger")


class Records:
    """Takes documents, those named `slow` once it is let."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.let = asyncio.Event()

    async def insert(self, _collection: str, documents: Sequence[dict[str, Any]]) -> dict[int, str]:
        self.groups.append([d["_id"] for d in documents])
        if documents[0]["_id"].startswith("slow"):
            await self.let.wait()
        return {}


class Bench:
    """A committer over those records, and what it resolved."""

    def __init__(self) -> None:
        self.records = Records()
        self.resolved: list[str] = []
        nothing = SimpleNamespace(widen=_nothing, put=_nothing)
        stores: Any = SimpleNamespace(telemetry=None, records=self.records, sessions=nothing, ledgers=nothing)
        self.committer = Committer(stores, SystemClock())

    def submit(self, name: str, account: Account) -> None:
        def resolve(lost: str | None) -> None:
            assert lost is None
            self.resolved.append(name)

        self.committer.submit(CommitItem(account, 100, resolve, document={"_id": name}))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.resolved) < count:  # noqa: ASYNC110  # what it waits for has no event
                await asyncio.sleep(0.001)


async def _nothing(changes: Iterable[object]) -> set[str]:
    """Writes of spans and ledgers, none of which anybody else has taken."""
    return {str(change) for change in changes if change is None}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    running = asyncio.create_task(bench.committer.run())
    yield bench
    running.cancel()
    await asyncio.wait({running})


ROBOT, RESULTS = Account("r/s/robot", is_own=False), Account("r/s/~results", is_own=True)


async def test_what_a_robot_sends_does_not_wait_for_results_that_are_being_written(bench: Bench) -> None:
    bench.submit("slow result", RESULTS)
    await asyncio.sleep(0.01)
    bench.submit("frame", ROBOT)
    await bench.until(1)
    assert bench.resolved == ["frame"]
    bench.records.let.set()
    await bench.until(2)
    assert bench.resolved == ["frame", "slow result"]


async def test_a_little_of_the_same_robots_waits_for_the_group_that_is_written_and_then_goes_together(
    bench: Bench,
) -> None:
    bench.submit("slow frame", ROBOT)
    await asyncio.sleep(0.01)
    for n in range(3):
        bench.submit(f"frame {n}", ROBOT)
    await asyncio.sleep(0.02)
    assert bench.records.groups == [["slow frame"]]
    bench.records.let.set()
    await bench.until(4)
    assert bench.records.groups == [["slow frame"], ["frame 0", "frame 1", "frame 2"]]
