"""Events are held to their times, without drift, on a clock that the test moves."""

from datamanager.simulator.pacing import Pacer


class Waiter:
    """Waits by moving the clock; each wait takes `slow_s` more than asked."""

    def __init__(self, slow_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.slow_s = slow_s
        self.stopped = False

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds + self.slow_s
        return self.stopped

    def pacer(self) -> Pacer:
        return Pacer(lambda: self.now_s, self.wait)


def test_it_waits_until_an_event_is_due() -> None:
    waiter = Waiter()
    assert waiter.pacer().until(2_500_000_000)
    assert waiter.now_s == 1002.5


def test_waits_that_take_too_long_do_not_add_up() -> None:
    waiter = Waiter(slow_s=0.003)
    pacer = waiter.pacer()
    for k in range(1, 1001):
        pacer.until(k * 10_000_000)
    assert abs(pacer.elapsed_s() - 10.0) < 0.004


def test_what_is_late_is_not_waited_for_and_counted() -> None:
    waiter = Waiter()
    pacer = waiter.pacer()
    waiter.now_s += 3.0
    assert pacer.until(1_000_000_000)
    assert waiter.now_s == 1003.0
    assert pacer.worst_late_s() == 2.0
    assert pacer.worst_late_s() == 0.0


def test_it_says_when_all_shall_end() -> None:
    waiter = Waiter()
    pacer = waiter.pacer()
    waiter.stopped = True
    assert not pacer.until(1)
