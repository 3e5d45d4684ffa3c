"""The readers against a running server: the same answers from both, and errors that say what is wrong."""

import asyncio
import datetime as dt
import inspect
import itertools
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from datamanager.client import (
    AsyncReader,
    AsyncSessionReader,
    Reader,
    ReaderError,
    Robot,
    SessionReader,
)
from datamanager.client.asks import time_text
from datamanager.errors import Refused

T0_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def session(server: str) -> str:
    """A session of 10 s at 100 Hz with 25 frames."""
    name = f"read-{time.time_ns()}"
    with Robot(server, "reader-robot", name) as robot:
        t_ns = T0_NS + np.arange(1000) * 10_000_000
        x = np.sin(np.arange(1000) / 50)
        x[500] = 7.5  # a spike
        robot.stream("pose").log_batch(t_ns, {"x": x, "n": np.arange(1000), "s": [f"{n}" for n in range(1000)]})
        for n in range(25):
            image = np.full((24, 32, 3), n * 10, np.uint8)
            robot.stream("cam").log_image(T0_NS + n * SECOND_NS // 5, image)
        robot.flush(30)
    return name


@pytest.fixture
def reader(server: str) -> Iterator[Reader]:
    with Reader(server) as reader:
        yield reader


def test_sessions_are_found_and_described(reader: Reader, session: str) -> None:
    assert session in [item["session_id"] for item in reader.sessions(robot_id="reader-robot")]
    assert [item["session_id"] for item in reader.sessions(q=session)] == [session]
    early = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert list(reader.sessions(robot_id="reader-robot", end=early)) == []
    info = reader.session("reader-robot", session).info()
    assert (info["robot_id"], info["status"]) == ("reader-robot", "ended")
    assert [item["stream"] for item in reader.session("reader-robot", session).streams()] == ["cam", "pose"]


def test_a_range_is_half_open_and_comes_as_arrays(reader: Reader, session: str) -> None:
    found = reader.session("reader-robot", session).range("pose", T0_NS + SECOND_NS, T0_NS + 2 * SECOND_NS)
    assert found["t_ns"].tolist() == [T0_NS + n * 10_000_000 for n in range(100, 200)]
    assert found["x"].tobytes() == np.sin(np.arange(100, 200) / 50).tobytes()
    assert (found["n"].dtype, found["n"].tolist()) == (np.int64, list(range(100, 200)))
    assert found["s"].tolist() == [f"{n}" for n in range(100, 200)]


def test_times_may_be_seconds_nanoseconds_or_dates(reader: Reader, session: str) -> None:
    of = reader.session("reader-robot", session)
    starts = [T0_NS + 9 * SECOND_NS, 1_700_000_009.0, dt.datetime.fromtimestamp(1_700_000_009, dt.UTC)]
    assert [len(of.range("pose", start, channels=["n"])["n"]) for start in starts] == [100] * 3


def test_few_points_keep_the_spike(reader: Reader, session: str) -> None:
    found = reader.session("reader-robot", session).range("pose", channels=["x"], max_points=20)
    assert set(found) == {"t_ns", "t_end_ns", "count", "min(x)", "max(x)", "mean(x)"}
    assert len(found["t_ns"]) <= 20
    assert (found["count"].sum(), found["max(x)"].max()) == (1000, 7.5)


def test_a_range_comes_as_an_arrow_table(reader: Reader, session: str) -> None:
    table = reader.session("reader-robot", session).range_arrow("pose", channels=["n", "x"])
    assert (table.column_names, table.num_rows) == (["t_ns", "n", "x"], 1000)


def test_without_pyarrow_a_table_is_an_error_that_says_so(
    reader: Reader, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pyarrow"):
        reader.session("reader-robot", session).range_arrow("pose")


def test_records_come_page_by_page_all_of_them(reader: Reader, session: str) -> None:
    of = reader.session("reader-robot", session)
    items = list(of.records("cam", page_limit=10))
    assert [int(item["t_ns"]) for item in items] == [T0_NS + n * SECOND_NS // 5 for n in range(25)]
    assert [item["record_id"] for item in of.records(["cam"])] == [item["record_id"] for item in items]
    second = list(of.records("cam", T0_NS + SECOND_NS, T0_NS + 2 * SECOND_NS, tier="original"))
    assert [item["record_id"] for item in second] == [item["record_id"] for item in items[5:10]]
    assert list(second[0]["urls"]) == ["original"]


def test_the_bytes_of_a_frame_come_in_any_tier(
    reader: Reader,
    session: str,
    worker: None,  # noqa: ARG001 - makes the tiers
) -> None:
    frame = next(iter(reader.session("reader-robot", session).records("cam")))
    original = reader.frame(frame["record_id"])
    assert (original[:4], len(original)) == (b"\x89PNG", frame["size_bytes"])
    assert reader.content(frame["record_id"]) == original
    assert len(reader.frame(frame["record_id"], "thumbnail")) > 0


def test_the_last_of_each_stream_at_a_time(reader: Reader, session: str) -> None:
    of = reader.session("reader-robot", session)
    items = {item["stream"]: item for item in of.at(T0_NS + SECOND_NS + 1)}
    assert items["pose"]["values"]["n"] == 100
    assert int(items["cam"]["t_ns"]) == T0_NS + SECOND_NS
    assert [item["stream"] for item in of.at(T0_NS + 1, streams=["pose"])] == ["pose"]


def test_errors_bear_the_server_s_code_and_words(reader: Reader, session: str) -> None:
    with pytest.raises(ReaderError) as missing:
        reader.session("reader-robot", "nowhere").info()
    assert (missing.value.code, missing.value.status) == ("not_found", 404)
    assert "nowhere" in missing.value.detail
    with pytest.raises(ReaderError) as wrong:
        reader.session("reader-robot", session).range("pose", 2.0, 1.0)
    assert (wrong.value.code, wrong.value.status) == ("bad_time", 400)
    with pytest.raises(ReaderError, match="not_found"):
        next(iter(reader.session("reader-robot", "nowhere").records()))
    with pytest.raises(Refused):
        reader.session("reader-robot", session).range("pose", -1)


def test_a_server_that_is_not_there_is_an_error(session: str) -> None:
    with Reader("http://127.0.0.1:9") as reader, pytest.raises(ReaderError) as away:
        reader.session("reader-robot", session).info()
    assert (away.value.code, away.value.status) == ("unreachable", 0)


def test_both_readers_answer_alike(server: str, session: str) -> None:
    async def ask() -> list[object]:
        async with AsyncReader(server) as reader:
            of = reader.session("reader-robot", session)
            found = await of.range("pose", channels=["n"])
            frames = [item["record_id"] async for item in of.records("cam", page_limit=7)]
            table = await of.range_arrow("pose", max_points=5)
            moment = await of.at(T0_NS, ["pose"])
            names = [item["session_id"] async for item in reader.sessions(q=session)]
            return [found["n"].tolist(), frames, table, moment, names, await reader.frame(frames[0]), await of.info()]

    with Reader(server) as reader:
        of = reader.session("reader-robot", session)
        frames = [item["record_id"] for item in of.records("cam", page_limit=7)]
        assert asyncio.run(ask()) == [
            of.range("pose", channels=["n"])["n"].tolist(),
            frames,
            of.range_arrow("pose", max_points=5),
            of.at(T0_NS, ["pose"]),
            [item["session_id"] for item in reader.sessions(q=session)],
            reader.frame(frames[0]),
            of.info(),
        ]


@pytest.mark.parametrize(("blocking", "asynchronous"), [(Reader, AsyncReader), (SessionReader, AsyncSessionReader)])
def test_both_readers_have_the_same_methods(blocking: type, asynchronous: type) -> None:
    def methods(of: type) -> dict[str, list[str]]:
        public = {name: member for name, member in vars(of).items() if not name.startswith("_")}
        return {name: list(inspect.signature(member).parameters) for name, member in public.items()}

    assert methods(blocking) == methods(asynchronous)


@pytest.mark.parametrize("t_ns", [0, 1, 999_999_999, 10**14 - 1, 10**14, 2**63 - 1, 2**63])
def test_a_time_in_a_query_is_exact(t_ns: int) -> None:
    text = time_text(t_ns)
    seconds, _, fraction = text.partition(".")
    assert t_ns == (int(seconds) * SECOND_NS + int(fraction) if fraction else int(seconds))
    assert bool(fraction) is (t_ns < 10**14)


def test_the_end_of_all_time_may_end_a_range(reader: Reader, session: str) -> None:
    of = reader.session("reader-robot", session)
    lengths = [len(of.range("pose", *bounds, channels=["n"])["n"]) for bounds in itertools.product([0, None], [2**63])]
    assert lengths == [1000, 1000]
