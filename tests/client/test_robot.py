"""The robot's client against a running server: what it logs is what is read back."""

import asyncio
import itertools
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.waiting import eventually

from datamanager.client import (
    AsyncReader,
    AsyncRobot,
    ClientClosed,
    ClientError,
    ClientSettings,
    Reject,
    Robot,
    Superseded,
)
from datamanager.errors import Refused

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
QUICK = ClientSettings(linger_s=0.01, backoff_max_s=0.5, connect_timeout_s=5)
_numbers = itertools.count()


@pytest.fixture
def session() -> str:
    return f"run-{time.time_ns()}-{next(_numbers)}"


async def read(server: str, session: str, stream: str) -> dict[str, Any]:
    async with AsyncReader(server) as reader:
        return await reader.session("robot", session).range(stream)


async def _raises(error: type[Exception], call: Callable[[], object]) -> bool:
    try:
        call()
    except error:
        return True
    return False


async def _is(value: object, expected: object) -> bool:
    return value == expected


async def test_samples_come_back_each_value_with_its_type(server: str, session: str) -> None:
    rows = [
        {"i": n, "f": n / 3, "b": n % 2 == 0, "s": f"n° {n}", "sometimes": n if n % 3 else None, "big": 2**62 + n}
        for n in range(100)
    ]
    async with AsyncRobot(server, "robot", session, settings=QUICK) as robot:
        for n, row in enumerate(rows):
            assert robot.stream("mixed").log(1_700_000_000_000_000_000 + n, {"in": row})
        await robot.flush(20)
        assert robot.stats.pending == 0
        assert robot.stats.samples == 100
    found = await read(server, session, "mixed")
    assert found["t_ns"].tolist() == [1_700_000_000_000_000_000 + n for n in range(100)]
    for name in rows[0]:
        assert found[f"in.{name}"].tolist() == [row[name] for row in rows]
    assert [found[f"in.{name}"].dtype.kind for name in ("i", "f", "big")] == ["i", "f", "i"]


async def test_nan_and_infinities_come_back(server: str, session: str) -> None:
    async with AsyncRobot(server, "robot", session, settings=QUICK) as robot:
        for n, x in enumerate([math.nan, math.inf, -math.inf, -0.0]):
            robot.stream("odd").log(n, {"x": x})
        await robot.flush(20)
    found = await read(server, session, "odd")
    assert np.array_equal(found["x"], [math.nan, math.inf, -math.inf, -0.0], equal_nan=True)


async def test_a_batch_of_arrays_comes_back_to_the_last_bit(server: str, session: str) -> None:
    t_ns = np.arange(5000) * 10_000_000
    doubles = np.random.default_rng(1).normal(size=5000)
    async with AsyncRobot(server, "robot", session, settings=QUICK) as robot:
        batch = robot.stream("batch")
        assert batch.log_batch(
            t_ns, {"double": doubles, "single": doubles.astype(np.float32), "count": np.arange(5000, dtype=np.int32)}
        )
        await robot.flush(20)
        assert robot.rejects == []
    found = await read(server, session, "batch")
    assert (found["t_ns"] == t_ns).all()
    assert found["double"].tobytes() == doubles.tobytes()
    assert (found["single"].astype(np.float32) == doubles.astype(np.float32)).all()
    assert found["count"].tolist() == list(range(5000))


async def test_pictures_files_and_logs_come_back_byte_for_byte(server: str, session: str, tmp_path: Path) -> None:
    depth = np.random.default_rng(2).integers(0, 65535, (40, 60), np.uint16)
    (tmp_path / "notes.txt").write_bytes(b"\x00anything\xff")
    async with AsyncRobot(server, "robot", session, settings=QUICK) as robot:
        robot.stream("depth").log_image(1, depth, metadata={"exposure": 3})
        robot.stream("files").log_record(2, tmp_path / "notes.txt", mime_type="text/x-notes")
        robot.stream("log").log_text(3, "it moves", level="warning", logger="arm", joint=2)
        await robot.flush(20)
        assert robot.rejects == []
    async with AsyncReader(server) as reader:
        items = {item["stream"]: item async for item in reader.session("robot", session).records()}
        picture = items["depth"]
        assert (picture["kind"], picture["metadata"]["role"], picture["metadata"]["width"]) == ("images", "depth", 60)
        original = await reader.frame(picture["record_id"])
        assert original == await reader.content(picture["record_id"])
        assert original.startswith(b"\x89PNG")
        assert items["files"]["name"] == "notes.txt"
        assert await reader.content(items["files"]["record_id"]) == b"\x00anything\xff"
        assert items["log"]["kind"] == "log"


async def test_a_refused_message_is_told_and_the_rest_goes_on(server: str, session: str) -> None:
    told: list[Reject] = []
    async with AsyncRobot(server, "robot", session, settings=QUICK, on_reject=told.append) as robot:
        robot.stream("pose").log(1, {"x": 1.0})
        await robot.flush(20)
        robot.stream("pose").log_text(2, "a log line in a stream of samples")
        robot.stream("pose").log(3, {"x": 3.0})
        await robot.flush(20)
        assert [(reject.stream, reject.seq, reject.code) for reject in told] == [("pose", 1, "kind_mismatch")]
        assert robot.rejects == told
        assert (robot.stats.rejected, robot.stats.pending) == (1, 0)
    assert (await read(server, session, "pose"))["t_ns"].tolist() == [1, 3]


async def test_what_its_own_code_raises_on_a_reject_does_not_end_the_connection(server: str, session: str) -> None:
    def fail(reject: Reject) -> None:
        raise RuntimeError(reject.code)

    async with AsyncRobot(server, "robot", session, settings=QUICK, on_reject=fail) as robot:
        robot.stream("pose").log(1, {"x": 1.0})
        await robot.flush(20)
        robot.stream("pose").log_text(2, "a log line in a stream of samples")
        robot.stream("pose").log(3, {"x": 3.0})
        await robot.flush(20)
        assert robot.stats.reconnects == 0


async def test_closing_ends_the_session_unless_told_otherwise(server: str, session: str) -> None:
    async with AsyncReader(server) as reader:
        for bye, status in ((False, "recording"), (True, "ended")):
            robot = AsyncRobot(server, "robot", session, settings=QUICK, config={"speed": 2}, metadata={"by": "test"})
            await robot.start()
            robot.stream("pose").log(None, {"x": 1.0})
            await robot.close(bye=bye)
            assert robot.stats.pending == 0
            info = await reader.session("robot", session).info()
            assert (info["status"], info["config"]) == (status, {"speed": 2})


async def test_a_closed_robot_takes_nothing(server: str, session: str) -> None:
    robot = AsyncRobot(server, "robot", session)
    with pytest.raises(ClientClosed):
        robot.stream("pose").log(None, {"x": 1.0})
    async with robot:
        pass
    with pytest.raises(ClientClosed):
        robot.stream("pose").log(None, {"x": 1.0})
    await robot.close()


async def test_a_newer_process_of_the_same_producer_takes_over_and_the_older_is_told(server: str, session: str) -> None:
    older = AsyncRobot(server, "robot", session, producer="arm", settings=QUICK)
    await older.start()
    older.stream("pose").log(1, {"x": 1.0})
    await older.flush(20)
    async with AsyncRobot(server, "robot", session, producer="arm", settings=QUICK) as newer:
        newer.stream("pose").log(2, {"x": 2.0})
        await newer.flush(20)
        await eventually(lambda: _raises(Superseded, lambda: older.stream("pose").log(3, {"x": 3.0})))
    await older.close(timeout_s=0)
    assert (await read(server, session, "pose"))["x"].tolist() == [1.0, 2.0]


async def test_a_robot_that_starts_again_under_its_name_numbers_on(server: str, session: str) -> None:
    for life in range(3):
        robot = AsyncRobot(server, "robot", session, producer="arm", settings=QUICK)
        await robot.start()
        robot.stream("pose").log(life, {"life": life})  # before any welcome
        await robot.flush(20)
        await robot.close(bye=life == 1)
        assert robot.rejects == []
    assert (await read(server, session, "pose"))["life"].tolist() == [0, 1, 2]


async def test_without_a_server_logging_returns_at_once_and_drops_the_newest_when_memory_is_full() -> None:
    settings = ClientSettings(memory_bytes=100_000, linger_s=0.01)
    async with AsyncRobot(NOWHERE, "robot", "away", settings=settings) as robot:
        taken = [robot.stream("x").log_record(n, bytes(1000)) for n in range(200)]
        assert taken == [True] * taken.count(True) + [False] * taken.count(False)
        await asyncio.sleep(0.05)
        assert 80 < taken.count(True) < 100
        assert (robot.stats.pending, robot.stats.dropped) == (taken.count(True), taken.count(False))
        with pytest.raises(TimeoutError):
            await robot.flush(0.1)
        await robot.close(timeout_s=0.1)
        assert robot.stats.failures > 0


async def test_a_full_spool_keeps_the_oldest_and_sends_them_once_there_is_a_server(
    server: str, session: str, tmp_path: Path
) -> None:
    settings = ClientSettings(spool_bytes=200_000, memory_bytes=160_000, linger_s=0.01)
    async with AsyncRobot(NOWHERE, "robot", session, spool_dir=tmp_path, settings=settings) as robot:
        taken = []
        for n in range(300):
            taken.append(robot.stream("x").log_batch([n], {"id": [n], "bulk": ["x" * 900]}))
            await asyncio.sleep(0.002)
        assert taken == [True] * taken.count(True) + [False] * taken.count(False)
        assert 100 < taken.count(True) < 250
        assert robot.stats.spooled > 50
        assert robot.stats.spool_bytes <= 210_000
        await robot.close(timeout_s=0)
    async with AsyncRobot(server, "robot", session, spool_dir=tmp_path, settings=settings) as robot:
        await robot.flush(30)
        assert robot.stats.acked == taken.count(True)
        assert robot.stream("x").log_batch([1000], {"id": [1000], "bulk": ["x"]})
        await robot.flush(30)
        assert robot.stats.spool_bytes < 50_000
    assert (await read(server, session, "x"))["id"].tolist() == [*range(taken.count(True)), 1000]


async def test_what_is_left_of_other_sessions_is_sent_beside_and_removed(
    server: str, session: str, tmp_path: Path
) -> None:
    async with AsyncRobot(NOWHERE, "robot", f"{session}-old", spool_dir=tmp_path, config={"old": 1}) as robot:
        for n in range(10):
            robot.stream("x").log(n, {"id": n})
        await robot.close(timeout_s=0)
    async with AsyncRobot(server, "robot", session, spool_dir=tmp_path, settings=QUICK) as robot:
        robot.stream("x").log(1, {"id": 100})
        await eventually(lambda: _is((tmp_path / "robot" / f"{session}-old").exists() or robot.stats.leftovers, 0))
        await robot.flush(30)
    assert (await read(server, f"{session}-old", "x"))["id"].tolist() == list(range(10))
    assert (await read(server, session, "x"))["id"].tolist() == [100]
    async with AsyncReader(server) as reader:
        info = await reader.session("robot", f"{session}-old").info()
        assert (info["status"], info["config"]) == ("ended", {"old": 1})


async def test_a_defect_inside_is_told_to_who_logs_and_not_swallowed() -> None:
    robot = AsyncRobot(NOWHERE, "robot", "broken", settings=QUICK)
    await robot.start()
    robot._sender.holder = None
    robot.stream("x").log(1, {"x": 1})
    await eventually(lambda: _raises(ClientError, lambda: robot.stream("x").log(2, {"x": 2})))


async def test_waiting_for_room_lets_more_through_than_memory_holds(server: str, session: str) -> None:
    settings = ClientSettings(memory_bytes=200_000)
    async with AsyncRobot(server, "robot", session, settings=settings) as robot:
        for n in range(100):
            await robot.wait_for_room(30)
            assert robot.stream("x").log_batch(np.arange(1000) + n * 1000, {"x": np.full(1000, n)})
        await robot.flush(30)
        assert (robot.stats.dropped, robot.stats.samples) == (0, 100_000)
    assert len((await read(server, session, "x"))["t_ns"]) == 100_000


async def test_a_bad_argument_is_refused_before_anything_is_sent(server: str, session: str) -> None:
    with pytest.raises(Refused):
        AsyncRobot(server, "no/id", session)
    with pytest.raises(ValueError, match="no address"):
        AsyncRobot("nowhere", "robot", session)
    async with AsyncRobot(server, "robot", session) as robot:
        with pytest.raises(Refused):
            robot.stream("a//b")
        with pytest.raises(Refused):
            robot.stream("x").log_record(1, b"", kind="nothing")
        with pytest.raises(Refused):
            robot.stream("x").log_record(1, object())
        assert robot.stats.samples == 0


def test_a_program_without_an_event_loop_logs_from_many_threads(server: str, session: str) -> None:
    with Robot(server, "robot", session, settings=QUICK) as robot:
        assert robot.producer.startswith("py-")

        def work(worker: int) -> None:
            for n in range(500):
                robot.stream(f"worker-{worker}").log(n, {"n": n})
                robot.stream("shared").log(worker * 1000 + n, {"n": n})

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        robot.flush(30)
        robot.wait_for_room(1)
        assert (robot.stats.samples, robot.stats.pending, robot.rejects) == (4000, 0, [])
    with pytest.raises(ClientClosed):
        robot.flush()
    found = asyncio.run(read(server, session, "shared"))
    assert found["t_ns"].tolist() == [worker * 1000 + n for worker in range(4) for n in range(500)]


def test_a_program_that_forgets_to_close_closes_at_its_exit(server: str, session: str, tmp_path: Path) -> None:
    code = "import sys; from datamanager.client import Robot; r = Robot(sys.argv[1], 'robot', sys.argv[2]); r.start();"
    code += "r.stream('x').log(5, {'x': 1.5})"
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code, server, session], check=False, timeout=30, cwd=tmp_path
    )
    assert done.returncode == 0
    assert asyncio.run(read(server, session, "x"))["x"].tolist() == [1.5]
