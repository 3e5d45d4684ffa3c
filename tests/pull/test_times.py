"""When a picture was taken: even where arrivals jitter, ascending whatever happens, and never in the future."""

import itertools
import random
from collections.abc import Iterator

import pytest

from datamanager.pull.arrivals import settled
from datamanager.pull.sources import Coded
from datamanager.pull.times import FileTimes, LiveTimes, SegmentTimes

S = 10**9
NOW = 1_700_000_000 * S


def test_jitter_does_not_move_the_times_of_a_live_source() -> None:
    rng = random.Random(7)  # noqa: S311  # no secret
    times = LiveTimes()
    step = S // 30
    found = []
    for n in range(3000):
        late = 0 if n % 50 == 0 else rng.randrange(80_000_000)
        arrived = NOW + n * step + late
        t_ns = times.ascending(times.of(n * step, arrived))
        assert t_ns <= arrived
        found.append(t_ns)
    apart = [b - a for a, b in itertools.pairwise(found[60:])]
    assert max(abs(gap - step) for gap in apart) < 1_000_000
    assert abs(found[-1] - (NOW + 2999 * step)) < 1_000_000


def test_a_clock_that_drifts_is_followed_without_jumps() -> None:
    times = LiveTimes()
    found = [times.of(n * S // 10, NOW + int(n * S // 10 * 1.001)) for n in range(6000)]  # 0.1 % slow, for ten minutes
    assert all(0 < b - a < int(S / 10 * 1.01) for a, b in itertools.pairwise(found))
    assert abs(found[-1] - (NOW + int(5999 * S // 10 * 1.001))) < 50_000_000


@pytest.mark.parametrize("jump_s", [-3600, -11, 11, 90_000])
def test_a_clock_that_jumps_is_anchored_anew(jump_s: int) -> None:
    times = LiveTimes()
    found = []
    for n in range(20):
        pts = n * S + (jump_s * S if n >= 10 else 0)
        found.append(times.ascending(times.of(pts, NOW + n * S)))
    assert found == [NOW + n * S for n in range(20)]


def test_what_has_no_clock_has_the_time_at_which_it_came_and_still_ascends() -> None:
    times = LiveTimes()
    assert [times.ascending(times.of(None, NOW + late)) for late in (0, 0, 5000, 4000)] == [
        NOW,
        NOW + 1000,
        NOW + 5000,
        NOW + 6000,
    ]


def coded(pts_ns: int | None) -> Coded:
    return Coded(b"x", pts_ns, None, is_key=True)


def test_what_comes_at_once_when_a_source_is_opened_has_the_times_at_which_it_was_taken() -> None:
    times = LiveTimes()
    pictures = iter([coded(None), *(coded(n * S // 50) for n in range(1, 40))])

    def slowly() -> Iterator[Coded]:
        from time import sleep  # noqa: PLC0415  # for this alone

        for n, picture in enumerate(pictures):
            sleep(0.02 if n > 30 else 0)  # the first thirty were held back
            yield picture

    arrived = list(settled(slowly(), times))
    assert len(arrived) == 40
    assert arrived[0].coded.pts_ns == 0
    found = [times.of(one.coded.pts_ns, one.ns) for one in arrived]
    assert max(abs(b - a - S // 50) for a, b in itertools.pairwise(found[:32])) == 0
    assert found[0] < arrived[0].ns - 500_000_000


def test_what_came_before_a_source_broke_while_it_was_looked_at_is_kept() -> None:
    def breaks() -> Iterator[Coded]:
        yield coded(0)
        raise ConnectionError

    pictures = settled(breaks(), LiveTimes())
    assert next(pictures).coded.pts_ns == 0
    with pytest.raises(ConnectionError):
        next(pictures)


def test_a_file_has_its_own_times_and_its_rounds_follow_each_other() -> None:
    times = FileTimes(NOW)
    first = [times.of(pts, 0) for pts in (2 * S, 2 * S + 40_000_000, 2 * S + 80_000_000)]
    times.begin_again()
    second = [times.of(pts, 0) for pts in (2 * S, 2 * S + 40_000_000)]
    assert first == [NOW, NOW + 40_000_000, NOW + 80_000_000]
    assert second == [NOW + 120_000_000, NOW + 160_000_000]
    assert times.of(None, 0) == NOW + 200_000_000


def test_segments_keep_their_clock_over_a_break_and_lose_it_when_it_begins_anew() -> None:
    times = SegmentTimes()
    assert times.of(100 * S, NOW) == NOW
    assert times.of(104 * S, NOW + 1) == NOW + 4 * S  # a segment comes at once
    times.reconnected()
    assert times.of(110 * S, NOW + 30 * S) == NOW + 10 * S  # what was missed
    assert times.of(0, NOW + 40 * S) == NOW + 40 * S
