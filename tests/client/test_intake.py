"""The intake: by count, by bytes, by age, and never more than there is room for."""

from collections.abc import Callable

import msgspec
import pytest

from datamanager.client.errors import ClientClosed
from datamanager.client.flatten import flatten
from datamanager.client.intake import Intake
from datamanager.client.settings import ClientSettings
from datamanager.client.spool import Draft
from datamanager.errors import Refused

NAMES, VALUES = flatten({"x": 1.0})


class Bench:
    """An intake with a clock and a bound that the test sets."""

    def __init__(self, **settings: float) -> None:
        self.now_s = 0.0
        self.most = 10**9
        self.woken = 0
        self.intake = Intake(ClientSettings(**settings), lambda n: n <= self.most, self.wake, lambda: self.now_s)

    def wake(self) -> None:
        self.woken += 1

    def log(self, count: int = 1, stream: str = "s") -> list[bool]:
        return [self.intake.sample(stream, n, NAMES, VALUES, None) for n in range(count)]

    def take(self, **how: bool) -> list[tuple[str, int]]:
        return [(draft.stream, draft.samples) for draft in self.intake.take(**how)[0]]


def test_samples_wait_for_others_until_they_are_old_enough() -> None:
    bench = Bench(linger_s=0.05)
    bench.log(3)
    assert bench.take() == []
    assert bench.intake.take()[1] == pytest.approx(0.05)
    bench.now_s = 0.05
    assert bench.take() == [("s", 3)]
    assert bench.intake.take() == ([], None)


def test_a_message_goes_when_it_bears_enough_samples() -> None:
    bench = Bench(batch_samples=4)
    bench.log(9)
    assert bench.take() == [("s", 4), ("s", 4)]
    assert bench.take(everything=True) == [("s", 1)]


def test_a_message_goes_when_it_is_large_enough() -> None:
    bench = Bench(batch_bytes=100)
    bench.log(6)
    assert bench.take() == [("s", 6)]


def test_a_whole_message_goes_behind_what_its_stream_gathered() -> None:
    bench = Bench()
    bench.log(2)
    bench.log(1, "other")
    bench.intake.message(Draft("s", b"whole", 7))
    assert bench.take() == [("s", 2), ("s", 7)]
    assert bench.take(everything=True) == [("other", 1)]


def test_the_pump_is_woken_when_something_begins_to_wait_and_when_something_is_ready() -> None:
    bench = Bench(batch_samples=5)
    bench.log(4)
    assert bench.woken == 1
    bench.log(1)
    assert bench.woken == 2
    bench.log(20)
    assert bench.woken == 2
    bench.take()
    bench.log(1)
    assert bench.woken == 3


def test_without_room_the_newest_is_dropped_and_counted() -> None:
    bench = Bench()
    bench.most = 40
    assert bench.log(4) == [True, True, False, False]
    assert not bench.intake.message(Draft("t", bytes(10), 5))
    assert (bench.intake.samples, bench.intake.dropped) == (2, 7)
    assert bench.take(everything=True) == [("s", 2)]
    assert bench.log() == [True]


def test_a_closed_intake_takes_nothing_but_gives_what_it_has() -> None:
    bench = Bench()
    bench.log()
    bench.intake.close()
    with pytest.raises(ClientClosed):
        bench.log()
    assert bench.take(everything=True) == [("s", 1)]


@pytest.mark.parametrize("linger_s", [0.05, 0.0])
def test_every_sample_is_in_one_message_with_its_time(linger_s: float) -> None:
    bench = Bench(linger_s=linger_s, batch_samples=3)
    times: list[int] = []
    decode: Callable[[bytes], dict] = msgspec.msgpack.decode
    for _ in range(4):
        bench.log(2)
        bench.now_s += 0.03
        for draft in bench.intake.take()[0]:
            raw = decode(draft.body)["payload"]["t_ns"]
            times += [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
    rest = bench.intake.take(everything=True)[0]
    assert len(times) // 1 + sum(draft.samples for draft in rest) == 8


@pytest.mark.parametrize("name", ["\ud800"])
def test_names_that_are_no_text_are_refused_at_once(name: str) -> None:
    bench = Bench()
    with pytest.raises(Refused, match="cannot be sent"):
        bench.intake.sample("s", 0, (name,), (1.0,), None)
    with pytest.raises(Refused, match="cannot be sent"):
        bench.intake.sample("s", 0, ("x",), (1.0,), {"a": object()})
    assert bench.take(everything=True) == []
