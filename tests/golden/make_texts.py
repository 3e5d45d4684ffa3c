"""Makes the golden files of the kinds of text anew: `python tests/golden/make_texts.py`, from the repository's root.

What exists is kept as it is, so that old bytes stay pinned; only what is missing is made. `expected.json` is written
whole: look at its difference before it is committed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamanager.kinds.kind import Hints, KindLimits
from datamanager.kinds.markdown import examine as examine_markdown
from datamanager.kinds.markdown.html import render_markdown
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


def keep(name: str, data: bytes, describe: Callable[[bytes], dict[str, Any]]) -> None:
    """Writes what is missing, and `expected.json`."""
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(data)
    expected = describe(path.read_bytes())
    path.with_name("expected.json").write_text(
        json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    )


if __name__ == "__main__":
    keep("markdown/notes.md", NOTES.encode(), markdown)
