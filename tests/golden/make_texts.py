"""Makes the golden files of the kinds of text anew: `python tests/golden/make_texts.py`, from the repository's root.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from datamanager.kinds.csv import examine as examine_csv
from datamanager.kinds.csv.pages import read_page
from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.log import encode as encode_log
from datamanager.kinds.log import examine as examine_log
from datamanager.kinds.log_entries import LogFilter, find_entries
from datamanager.kinds.markdown import examine as examine_markdown
from datamanager.kinds.markdown.html import render_markdown
from datamanager.kinds.parameters import encode as encode_parameters
from datamanager.kinds.parameters import examine as examine_parameters
from datamanager.kinds.parameters.replay import apply_all
from datamanager.kinds.source import BytesSource

FOLDER = Path(__file__).parent
LIMITS = KindLimits()

NOTES = """\
# Shift 1, grüße

Arm **7**, see [the plan](https://example.com/plan "plan") or <javascript:alert(1)>.

Findings
--------

| joint | torque |
|:------|-------:|
| 1     | 3.2    |

- [x] done <script>alert(1)</script>
  > quoted

```python
print(1 < 2)
```
"""


def markdown(data: bytes) -> dict[str, Any]:
    """What is pinned of Markdown."""
    source = BytesSource(data)
    return {
        "metadata": examine_markdown(source, Hints(), LIMITS).metadata,
        "html": render_markdown(source, LIMITS).html,
    }


SEMICOLONS = (
    "Zeit;Größe;n;ok;name\r\n"
    '2026-11-20T10:00:00Z;1,5;1;true;"a; ""b""\r\nc"\r\n'
    "2026-11-20T10:00:01Z;2,5;;false;007\r\n"
    "2026-11-20T10:00:02Z;NaN;3\r\n"
)
TABS = "x\ty\tname\n1.5\t9007199254740993\tä\n-inf\t2\t日本\n\t\t\n"


def table(data: bytes) -> dict[str, Any]:
    """What is pinned of a table."""
    found = examine_csv(BytesSource(data), Hints(), LIMITS)
    rows = read_page(BytesSource(data), found.fields["table"], None, 0, 100, []).rows
    return {"metadata": found.metadata, "rows": rows}


PATCH = {
    "mode": "merge",
    "values": {"arm": {"speed": 0.5, "gains": [1, 2.5], "tool": None}, "name": "größe", "on": True},
}
NAV = """\
controller:
  ros__parameters: &common
    rate: 20.0
    plugins: [spin, "back up"]
planner:
  ros__parameters:
    <<: *common
    tolerance: 1.0e-1
    goal: ~
"""


def parameters(data: bytes) -> dict[str, Any]:
    """What is pinned of parameters."""
    found = examine_parameters(BytesSource(data), Hints(), LIMITS)
    return {"metadata": found.metadata, "values": json.loads(apply_all(b"{}", [("merge", BytesSource(data))]))}


LINES = {
    "level": "info", "logger": "nav",
    "lines": ["grüße", "12:00:01 [WARN] low battery", {"message": "stop", "level": 40, "volts": 10.5}],
}  # fmt: skip
SYSLOG = "Nov 20 10:00:01 robot kernel: INFO up\nE/Motor: stalled\r\nplain\n"


def log(data: bytes) -> dict[str, Any]:
    """What is pinned of a log."""
    found = examine_log(BytesSource(data), Hints(), LIMITS)
    [entries] = find_entries([(BytesSource(data), 0)], LogFilter(), 100).found
    return {"metadata": found.metadata, "entries": msgspec.to_builtins(entries)}


def keep(files: dict[str, bytes], describe: Callable[[bytes], dict[str, Any]], folder: str) -> None:
    """Writes what is missing, and what is found in each as `expected.json`."""
    (FOLDER / folder).mkdir(exist_ok=True)
    expected = {}
    for name, data in files.items():
        path = FOLDER / folder / name
        if not path.exists():
            path.write_bytes(data)
        expected[name] = describe(path.read_bytes())
    told = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False)
    (FOLDER / folder / "expected.json").write_text(told + "\n")


if __name__ == "__main__":
    keep({"notes.md": NOTES.encode()}, markdown, "markdown")
    keep({"semicolons.csv": SEMICOLONS.encode("cp1252"), "utf16.tsv": TABS.encode("utf-16")}, table, "csv")
    patch = encode_parameters(PATCH, LIMITS)
    keep({"patch.json": patch, "nav.yaml": NAV.encode()}, parameters, "parameters")
    keep({"lines.json": encode_log(LINES, LIMITS), "syslog.log": SYSLOG.encode()}, log, "log")
