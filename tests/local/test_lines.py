import pytest

from datamanager.local.lines import error_lines_of_mongod, error_lines_of_weed, no_lines, warning_lines_of_python


def test_an_error_of_mongod_is_shown_as_a_sentence() -> None:
    line = '{"t":{"$date":"2026-11-20T11:00:00.000+00:00"},"s":"E","c":"STORAGE","id":1,"ctx":"x","msg":"No disk","attr":{"free":0}}'
    assert error_lines_of_mongod(line) == 'No disk {"free": 0}'


def test_an_error_of_mongod_takes_one_line_whatever_is_in_it() -> None:
    assert error_lines_of_mongod('{"t":{},"s":"F","msg":"\\n\\n***aborting after fassert() failure\\n\\n"}') == (
        "***aborting after fassert() failure"
    )


@pytest.mark.parametrize("severity", ["I", "W", "D1"])
def test_what_mongod_says_at_each_start_is_not_shown(severity: str) -> None:
    assert error_lines_of_mongod(f'{{"t":{{"$date":"2026-11-20"}},"s":"{severity}","msg":"\\"s\\":\\"E\\""}}') is None


def test_a_torn_error_line_of_mongod_is_shown_as_it_is() -> None:
    assert error_lines_of_mongod('{"t":1,"s":"F","msg":"tor') == '{"t":1,"s":"F","msg":"tor'


@pytest.mark.parametrize(("line", "shown"), [("E1120 11:04:50 a.go:1] x", True), ("I1120 11:04:50 a.go:1] E", False)])
def test_only_errors_of_weed_are_shown(line: str, shown: bool) -> None:
    assert (error_lines_of_weed(line) is not None) == shown


def test_redis_is_not_quoted() -> None:
    assert no_lines("# Server initialized") is None


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("2026-11-20T11:00:00Z [warning  ] disk nearly full", True),
        ("2026-11-20T11:00:00Z [error    ] no", True),
        ("2026-11-20T11:00:00Z [info     ] started", False),
        ('{"level": "error", "event": "no"}', True),
        ('{"level": "info", "event": "an [error] inside"}', False),
        ("INFO:     Application startup complete.", False),
        ("INFO - 2026-11-20 11:30:55,516 - uvicorn.error - server - Started server process [1]", False),
        ("WARNING - 2026-11-20 11:30:55,516 - uvicorn.error - server - no", True),
        ("ERROR:    Exception in ASGI application", True),
    ],
)
def test_warnings_and_worse_of_our_own_processes_are_shown(line: str, shown: bool) -> None:
    assert (warning_lines_of_python()(line) is not None) == shown


def test_a_traceback_goes_with_the_line_before_it() -> None:
    show = warning_lines_of_python()
    lines = [
        "[info     ] one",
        "  of many lines",
        "[error    ] two",
        "Traceback (most recent call last):",
        "[info     ] three",
    ]
    assert [line for line in lines if show(line)] == lines[2:4]


def test_what_python_says_before_the_first_log_line_is_shown() -> None:
    assert warning_lines_of_python()("ModuleNotFoundError: no") is not None
