import io
import os

from datamanager.local.console import Console


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_line_bears_the_childs_name() -> None:
    stream = io.StringIO()
    Console(stream)("serve", "ready")
    assert stream.getvalue() == "serve        | ready\n"


def test_names_are_coloured_on_a_terminal_only() -> None:
    stream = Tty()
    console = Console(stream)
    console("worker", "one")
    console("worker-2", "two")
    assert stream.getvalue() == "\x1b[35mworker      \x1b[0m | one\n\x1b[35mworker-2    \x1b[0m | two\n"


def test_a_reader_that_goes_away_does_not_stop_us() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(os.dup(write_end), "w", buffering=1) as stream:
        console = Console(stream)
        console.say("one")
        console.say("two")
        assert not console._open
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # so that its last flush succeeds
    os.close(write_end)
