"""How many frames are made, how many wait, and what is counted."""

import threading
import time
from dataclasses import dataclass

import pytest

from datamanager.errors import ConfigError
from datamanager.pull.buffer import Buffer
from datamanager.pull.decoding import Decoding
from datamanager.pull.rates import AdaptiveRate, FrameGate
from datamanager.pull.settings import PullSettings
from datamanager.pull.sources import Coded, Source
from datamanager.pull.tally import Acks, Tally
from datamanager.pull.times import LiveTimes

S = 10**9


@pytest.mark.parametrize(("source", "wanted", "kept"), [(30, 10, 100), (25, 10, 100), (30, 12, 120), (10, 10, 100)])
def test_so_many_frames_a_second_remain(source: int, wanted: int, kept: int) -> None:
    gate = FrameGate(wanted)
    assert sum(gate.passes(n * S // source) for n in range(10 * source)) == pytest.approx(kept, abs=1)


def test_a_source_that_is_slower_loses_no_frame_by_its_jitter() -> None:
    gate = FrameGate(10)
    assert all(gate.passes(n * S // 10 + (-1) ** n * 10_000_000) for n in range(100))
    gate = FrameGate(10)
    assert all(gate.passes(n * S // 7) for n in range(100))


def test_a_gap_or_a_clock_set_back_begins_the_rhythm_anew() -> None:
    gate = FrameGate(10)
    assert [gate.passes(t) for t in (0, 50_000_000, 100_000_000)] == [True, False, True]
    assert [gate.passes(3600 * S + t) for t in (0, 50_000_000, 100_000_000)] == [True, False, True]
    assert [gate.passes(t) for t in (0, 50_000_000, 100_000_000)] == [True, False, True]


def test_the_rate_goes_down_at_once_and_up_again_when_all_is_calm() -> None:
    rate = AdaptiveRate(10, 2)
    assert rate.look(0, behind=False) == 10
    assert rate.look(1, behind=True) == pytest.approx(7)
    assert rate.look(1.5, behind=True) == pytest.approx(7)  # it had no time to help yet
    assert [rate.look(t, behind=True) for t in range(2, 12)][-1] == 2  # never below the least
    assert rate.look(12.9, behind=False) == 2
    assert rate.look(13.1, behind=False) == pytest.approx(2.6)
    assert rate.look(14, behind=False) == pytest.approx(2.6)
    for t in range(16, 60, 2):
        rate.look(t + 0.2, behind=False)
    assert rate.fps == 10


def test_frames_that_are_decoded_follow_the_rate_that_can_be_kept_up() -> None:
    behind = [False]
    tally = Tally()
    decoding = Decoding(PullSettings(fps=20, adaptive=True), tally, lambda: behind[0])
    jpeg = b"\xff\xd8\xff\xc4picture\xff\xd9"
    times = LiveTimes()

    def made(seconds: int, since: int) -> int:
        picture = Coded(jpeg, None, None, is_key=True)
        at = range(since * 20, (since + seconds) * 20)
        return sum(1 for n in at for _ in decoding.frames(picture, times, n * S // 20, float(n)))

    decoding.begin(Source("live", "mjpeg", iter(())), counts=True)
    assert made(5, 0) == 100
    behind[0] = True
    assert made(5, 5) == pytest.approx(70, abs=2)  # less by one step: it is looked at by a clock that hardly moved
    assert tally.fps == pytest.approx(14)
    assert tally.skipped == pytest.approx(30, abs=2)


@dataclass
class Item:
    nbytes: int
    name: int = 0


def test_the_oldest_goes_where_there_is_no_room() -> None:
    buffer: Buffer[Item] = Buffer(3, 100)
    for name in range(5):
        buffer.put(Item(10, name))
    assert (len(buffer), buffer.dropped, buffer.fill) == (3, 2, 1.0)
    assert [item.name for item in (buffer.take(0), buffer.take(0), buffer.take(0)) if item] == [2, 3, 4]
    assert buffer.take(0.01) is None
    buffer.put(Item(60))
    buffer.put(Item(41))  # one byte beyond
    assert (len(buffer), buffer.dropped) == (1, 3)
    buffer.put(Item(1000))  # one may always wait
    assert (len(buffer), buffer.dropped) == (1, 4)


def test_who_can_wait_waits_for_room_and_is_let_go_at_the_end() -> None:
    buffer: Buffer[Item] = Buffer(1, 100)
    assert buffer.put_when_room(Item(1), 0)
    assert not buffer.put_when_room(Item(2), 0.01)
    threading.Timer(0.05, buffer.take, (0,)).start()
    assert buffer.put_when_room(Item(3), 5)
    threading.Timer(0.05, buffer.close).start()
    began_s = time.monotonic()
    assert not buffer.put_when_room(Item(4), 5)
    assert time.monotonic() - began_s < 2
    assert not buffer.is_over
    assert buffer.take(0) == Item(3)
    assert buffer.is_over
    assert buffer.dropped == 0


def test_latency_is_counted_from_arrival_behind_what_a_former_process_left() -> None:
    acks = Acks(before=2)
    acks.handed(1.0, 1.1)
    acks.handed(2.0, 2.1)
    acks.settle(2, 2.2)
    assert not acks.to_ack_s
    acks.settle(3, 2.5)
    acks.settle(9, 3.5)
    assert list(acks.to_ack_s) == [1.5, 1.5]
    assert list(acks.to_client_s) == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(
    ("name", "under", "over"),
    [
        ("fps", 0.009, 1001),
        ("quality", 0, 96),
        ("timeout_s", 0.09, 3601),
        ("buffer_frames", 0, 10_001),
        ("duration_s", 0, None),
    ],
)
def test_settings_have_bounds(name: str, under: float, over: float | None) -> None:
    for value in (under, over):
        if value is not None:
            with pytest.raises(ConfigError):
                PullSettings(**{name: value})  # type: ignore[arg-type]
