"""What is put off comes back when it is due, and is lost by nobody who dies while bringing it back."""

import pytest
from support.manual_clock import ManualClock

from datamanager.storage.redis import Redis
from datamanager.storage.work_streams import Later

KEY = "test:later"


@pytest.fixture
async def later(redis: Redis, clock: ManualClock) -> Later:
    await redis.client.delete(KEY)
    return Later(redis, clock, KEY)


async def moved(later: Later, limit: int = 100) -> list[bytes]:
    got: list[bytes] = []

    async def add(entries: list[bytes]) -> None:
        got.extend(entries)

    assert await later.move(add, limit) == len(got)
    return got


async def dies(_entries: list[bytes]) -> None:
    raise ConnectionAbortedError


async def test_entries_come_when_they_are_due_the_oldest_first(later: Later, clock: ManualClock) -> None:
    await later.put([(b"b", 2.0), (b"a", 1.0), (b"c", 3.0)])
    assert await moved(later) == []
    clock.advance(2.0)
    assert await moved(later) == [b"a", b"b"]
    assert await later.count() == 1
    clock.advance(1.0)
    assert await moved(later) == [b"c"]
    assert await later.count() == 0


async def test_no_more_are_moved_than_may_be(later: Later) -> None:
    await later.put([(b"%d" % n, 0.0) for n in range(3)])
    assert len(await moved(later, limit=2)) == 2
    assert len(await moved(later, limit=2)) == 1


async def test_what_was_to_be_moved_by_one_that_died_is_moved_by_the_next(later: Later, clock: ManualClock) -> None:
    await later.put([(b"a", 0.0)])
    with pytest.raises(ConnectionAbortedError):
        await later.move(dies, 10)
    assert await moved(later) == []  # the other one may only be slow
    clock.advance(5.1)
    assert await moved(later) == [b"a"]
    assert await later.count() == 0


@pytest.mark.parametrize("delay_s", [0.0, 1.0, 5.0])
async def test_what_is_put_back_while_it_is_moved_stays(later: Later, clock: ManualClock, delay_s: float) -> None:
    await later.put([(b"a", 0.0)])

    async def add(entries: list[bytes]) -> None:
        await later.put([(data, delay_s) for data in entries])

    assert await later.move(add, 10) == 1
    assert await later.count() == 1
    clock.advance(delay_s)
    assert await moved(later) == [b"a"]


async def test_one_that_comes_back_too_late_takes_nothing_from_the_next(later: Later, clock: ManualClock) -> None:
    await later.put([(b"a", 0.0)])

    async def slow(_entries: list[bytes]) -> None:
        clock.advance(5.1)
        assert await moved(later) == [b"a"]
        await later.put([(b"a", 1.0)])

    assert await later.move(slow, 10) == 1
    assert await later.count() == 1
