import pytest
from support.manual_clock import ManualClock

from datamanager.ingest import policy
from datamanager.ingest.policy import ThumbnailPolicy


def allowed(rate: float, every_s: float, count: int, stream: str = "s") -> int:
    clock, chosen = ManualClock(), ThumbnailPolicy(rate)
    total = 0
    for _ in range(count):
        total += chosen.allow(stream, clock.monotonic_s())
        clock.advance(every_s)
    return total


def test_of_a_fast_stream_one_frame_a_second_is_chosen() -> None:
    assert allowed(1, 1 / 30, 300) == 10


def test_of_a_slow_stream_every_frame_is_chosen() -> None:
    assert allowed(1, 1.5, 20) == 20


def test_the_rate_is_kept_above_one_a_second() -> None:
    assert allowed(5, 0.01, 200) == 10


def test_a_rate_of_zero_chooses_none_and_an_infinite_one_all() -> None:
    assert allowed(0, 1, 10) == 0
    assert allowed(float("inf"), 0.001, 10) == 10


def test_streams_do_not_share_their_rate() -> None:
    chosen = ThumbnailPolicy(1)
    assert [chosen.allow(stream, 5.0) for stream in ("a", "b", "a", "b")] == [True, True, False, False]


def test_memory_is_bounded_and_the_streams_seen_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_MAX_STREAMS", 3)
    chosen = ThumbnailPolicy(1)
    for n in range(10):
        chosen.allow(str(n), 5.0)
    assert list(chosen._last_s) == ["7", "8", "9"]
