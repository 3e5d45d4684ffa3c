"""What the commands of the robot's side share."""

import os
import signal

import pytest

from datamanager.client.console import stopped_by_signals, time_option
from datamanager.errors import ConfigError, Refused

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_a_first_signal_stops_and_a_second_ends_at_once(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with stopped_by_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert capsys.readouterr().out == f"stopping ({number.name}); again to end at once\n"


@BOTH
def test_signals_mean_what_they_meant_before(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopped_by_signals():
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("text", "t_ns"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.25", 1_700_000_000_250_000_000),
        (str(10**14), 10**14),
        (str(2**63 - 1), 2**63 - 1),
        ("2023-11-14T22:13:20+00:00", 1_700_000_000_000_000_000),
    ],
)
def test_a_time_is_read_as_the_api_reads_it(text: str, t_ns: int) -> None:
    assert time_option(text) == t_ns


@pytest.mark.parametrize("text", ["-1", "", "noon"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        time_option(text)


@pytest.mark.parametrize("text", [str(10**14 - 1), str(2**63), "2023-11-14T22:13:20"])
def test_a_time_beyond_int64_or_of_no_zone_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        time_option(text)
    assert refused.value.code == "bad_time"
