"""Which lines of a child's output a person should see at once; all of them are in its log file."""

import json
import re
from collections.abc import Callable

__all__ = ["LineFilter", "error_lines_of_mongod", "error_lines_of_weed", "no_lines", "warning_lines_of_python"]

LineFilter = Callable[[str], str | None]
"""Takes one line of output and gives what to show of it, or None."""

_LEVEL = re.compile(
    r'\[(?P<a>debug|info|warning|error|critical)\s*\]|"level":\s*"(?P<b>[a-z]+)"|^(?P<c>[A-Z]+)(?::\s| - )', re.ASCII
)
_LOUD = {"warning", "error", "critical"}


def no_lines(_line: str) -> str | None:
    """Shows nothing: for a server whose warnings are about the machine and come at each start."""
    return None


def error_lines_of_mongod(line: str) -> str | None:
    """Shows errors and fatal errors of mongod's JSON log, as sentences."""
    if '"s":"E"' not in line[:80] and '"s":"F"' not in line[:80]:
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    attributes = f" {json.dumps(entry['attr'])}" if entry.get("attr") else ""
    return " ".join(str(entry.get("msg")).split()) + attributes


def error_lines_of_weed(line: str) -> str | None:
    """Shows errors and fatal errors of a glog log: `E1120 11:04:50.543769 file.go:400 message`."""
    return line if re.match(r"[EF]\d{4} ", line) else None


def warning_lines_of_python() -> LineFilter:
    """Shows warnings and worse of our own processes, with the lines that belong to them (a traceback).

    Returns:
        A filter that remembers whether the last line was shown: one for each child.
    """
    loud = True  # what comes before the first log line is Python itself, failing

    def show(line: str) -> str | None:
        nonlocal loud
        found = _LEVEL.search(line)
        if found:
            loud = (found["a"] or found["b"] or found["c"]).lower() in _LOUD
        return line if loud else None

    return show
