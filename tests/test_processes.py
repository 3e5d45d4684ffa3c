import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import psutil
import pytest
from support.processes import wait_until

from datamanager.errors import DatamanagerError, ProcessDied, Refused
from datamanager.processes import ProcessPool


@pytest.fixture
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(2, timeout_s=20) as opened:
        yield opened


class _Odd(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def refuse() -> None:
    raise Refused("bad_payload", "broken", offset=7)


def be_odd() -> None:
    raise _Odd("this", "that")


@pytest.mark.alone
async def test_calls_run_in_other_processes_at_the_same_time(pool: ProcessPool) -> None:
    await asyncio.gather(*(pool.run(os.getpid) for _ in range(2)))
    began_s = time.monotonic()
    await asyncio.gather(*(pool.run(time.sleep, 0.5) for _ in range(2)))
    assert time.monotonic() - began_s < 0.9
    assert await pool.run(os.getpid) != os.getpid()


async def test_what_a_call_raises_is_raised_here(pool: ProcessPool) -> None:
    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 1, 0)
    with pytest.raises(DatamanagerError, match="_Odd: this and that"):  # its class cannot be unpickled
        await pool.run(be_odd)


async def test_a_refusal_comes_out_as_it_was(pool: ProcessPool) -> None:
    with pytest.raises(Refused) as caught:
        await pool.run(refuse)
    assert (caught.value.code, caught.value.detail, caught.value.offset) == ("bad_payload", "broken (at byte 7)", 7)


async def test_a_call_that_kills_its_process_fails_and_the_next_one_works(pool: ProcessPool) -> None:
    others = asyncio.gather(*(pool.run(abs, -n) for n in range(20)))
    with pytest.raises(ProcessDied, match="_exit, exit status 3"):
        await pool.run(os._exit, 3)
    assert await others == list(range(20))
    assert await pool.run(abs, -5) == 5


async def test_a_process_that_dies_between_calls_is_replaced(pool: ProcessPool) -> None:
    pids = set(await asyncio.gather(*(pool.run(os.getpid) for _ in range(20))))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert await pool.run(os.getpid) not in pids


async def test_renewed_processes_end_after_their_calls_and_others_take_their_place(pool: ProcessPool) -> None:
    before = {await pool.run(os.getpid) for _ in range(pool.size)}
    sleeping = asyncio.create_task(pool.run(time.sleep, 0.3))
    await asyncio.sleep(0.1)
    await pool.renew()
    assert sleeping.done()
    assert sleeping.exception() is None
    after = {await pool.run(os.getpid) for _ in range(pool.size)}
    assert not before & after


async def test_a_call_that_takes_too_long_is_ended() -> None:
    async with ProcessPool(1, timeout_s=1) as pool:
        with pytest.raises(ProcessDied, match="sleep took longer than 1 s"):
            await pool.run(time.sleep, 60)
        assert await pool.run(abs, -1) == 1


async def test_a_call_may_have_a_time_of_its_own() -> None:
    async with ProcessPool(1, timeout_s=0.01) as pool:
        assert await pool.run_for(20, time.sleep, 0.2) is None
        with pytest.raises(ProcessDied, match=r"sleep took longer than 0\.01 s"):
            await pool.run(time.sleep, 60)


async def test_a_cancelled_call_does_not_give_its_answer_to_the_next() -> None:
    async with ProcessPool(1, timeout_s=20) as pool:
        await pool.run(abs, 0)
        task = asyncio.create_task(pool.run(time.sleep, 0.3))
        await asyncio.sleep(0.1)
        task.cancel()
        assert await pool.run(abs, -7) == 7


async def test_leaving_ends_the_processes_and_whoever_waits_for_them() -> None:
    async with ProcessPool(1, timeout_s=60) as pool:
        pid = await pool.run(os.getpid)
        task = asyncio.create_task(pool.run(time.sleep, 60))
        await asyncio.sleep(0.1)
    with pytest.raises(ProcessDied):
        await task
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def loop_for_ever() -> None:
    while True:
        pass


def eat() -> int:
    return len(bytearray(300 * 1024 * 1024))


async def test_a_call_that_computes_for_too_long_is_ended_and_the_next_is_not_hurt() -> None:
    async with ProcessPool(1, timeout_s=20, cpu_s=0.3, eager=False) as limited:
        with pytest.raises(ProcessDied, match=r"computed for longer than 0\.3 s") as died:
            await limited.run(loop_for_ever)
        assert died.value.by_limit
        await limited.run(time.sleep, 0.5)  # waiting is not computing
        assert await limited.run(max, 1, 2) == 2


async def test_a_call_that_wants_too_much_memory_is_told_so_and_the_child_lives_on() -> None:
    async with ProcessPool(1, timeout_s=20, memory_bytes=200 * 1024 * 1024, eager=False) as limited:
        pid = await limited.run(os.getpid)
        with pytest.raises(MemoryError):
            await limited.run(eat)
        assert await limited.run(os.getpid) == pid
