"""What the commands of the robot's side share: a line for whoever looks on, leaving at Ctrl-C, and a time as an option."""

import datetime as dt
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from datamanager.client.times import to_ns
from datamanager.errors import ConfigError
from datamanager.kinds.names import check_t_ns, seconds_to_ns

__all__ = ["say", "stopped_by_signals", "time_option"]

_NS_FROM = 10**14  # smaller integers are seconds, as everywhere in the API


def say(line: str) -> None:
    """Writes one line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """An event that Ctrl-C or SIGTERM sets; a second one ends everything at once."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        say(f"stopping ({signal.Signals(number).name}); again to end at once")
        stop.set()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def time_option(text: str) -> int:
    """What `--time` gives, as the API reads a time, as Unix nanoseconds.

    Raises:
        ConfigError: it is no time.
        Refused: `bad_time`, before 1970, beyond int64, or a datetime that names no time zone.
    """
    try:
        if re.fullmatch(r"\d+", text):
            return check_t_ns(int(text)) if int(text) >= _NS_FROM else seconds_to_ns(int(text))
        if re.fullmatch(r"\d*\.\d+(e\d+)?", text):
            return seconds_to_ns(float(text))
        return to_ns(dt.datetime.fromisoformat(text))
    except ValueError as error:
        raise ConfigError(f"--time {text!r} is no time: {error}") from error
