"""Writes the README's tables anew from the code: `python docs/readme_tables.py`."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from datamanager.config import SETTINGS, Setting
from datamanager.kinds.kind import Kind
from datamanager.kinds.table import KIND_TABLE

__all__ = ["EXAMPLES", "TABLES", "kinds_table", "settings_table", "with_tables"]

README = Path(__file__).resolve().parent.parent / "README.md"

EXAMPLES = {
    "time_series": 'stream.log(None, {"position": {"x": 1.0}})',
    "parameters": 'stream.log_record(None, value={"gain": 0.5}, kind="parameters")',
    "images": 'stream.log_image(None, "frame.jpg")',
    "video": 'stream.log_record(None, Path("drive.mp4"), "video")',
    "audio": 'stream.log_record(None, Path("motor.wav"), "audio")',
    "log": 'stream.log_text(None, "gripper open", level="info")',
    "markdown": 'stream.log_record(None, "# Notes\\n\\nAll well.", "markdown")',
    "file": 'stream.log_record(None, b"anything", name="blob.bin")',
    "csv": 'stream.log_record(None, Path("table.csv"), "csv")',
    "safetensors": 'stream.log_record(None, Path("policy.safetensors"), "safetensors")',
    "json": 'stream.log_record(None, value={"goal": [1, 2]}, kind="json")',
    "yaml": 'stream.log_record(None, "goal: [1, 2]\\n", "yaml")',
    "toml": 'stream.log_record(None, "goal = [1, 2]\\n", "toml")',
    "msgpack": 'stream.log_record(None, value={"goal": b"raw"}, kind="msgpack")',
    "vuer_msg": 'stream.log_record(None, value={"joints": np.zeros(7)}, kind="vuer_msg")',
    "zip": 'stream.log_record(None, Path("run.zip"), "zip")',
    "tar": 'stream.log_record(None, Path("run.tar.gz"), "tar")',
}
"""One call of the client for each kind; a test runs them."""


def settings_table(settings: Iterable[Setting] = SETTINGS) -> str:
    """The settings as a Markdown table, in the order in which `config.py` declares them."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [f"| `{s.variable}` | {_cell(s.default)} | {_text(s.about)} |" for s in settings]
    return "\n".join(rows)


def kinds_table(kinds: Iterable[Kind] = tuple(KIND_TABLE.values())) -> str:
    """The kinds as a Markdown table, in the order of the table of kinds."""
    rows = ["| kind | accepts | extracted | kept in | derived | gives | for example |", "|---|---|---|---|---|---|---|"]
    for kind in kinds:
        cells = [f"`{kind.name}`", _text(kind.accepts), _text(kind.extracted), f"`{kind.kept}`"]
        cells += [", ".join(f"`{name}`" for name in names) for names in (kind.derived, kind.gives)]
        rows.append(f"| {' | '.join([*cells, f'`{_text(EXAMPLES[kind.name])}`'])} |")
    return "\n".join(rows)


def _cell(default: object) -> str:
    return f"`{default}`" if str(default) else "none"


def _text(text: str) -> str:
    return text.replace("|", "\\|")


TABLES: dict[tuple[str, str], Callable[[], str]] = {
    ("<!-- kinds: written by `make docs` from datamanager/kinds/table.py -->", "<!-- /kinds -->"): kinds_table,
    ("<!-- settings: written by `make docs` from datamanager/config.py -->", "<!-- /settings -->"): settings_table,
}
"""Where each table begins and ends, and what makes it."""


def with_tables(readme: str) -> str:
    """The README's text with the table between each two markers made anew.

    Raises:
        ValueError: markers are not there, each once and in order.
    """
    for (begin, end), table in TABLES.items():
        head, found, rest = readme.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed or begin in rest or end in head + tail:
            raise ValueError(f"README.md needs {begin!r} and {end!r}, each once and in this order")
        readme = f"{head}{begin}\n\n{table()}\n\n{end}{tail}"
    return readme


def main() -> int:
    """Rewrites README.md in place."""
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
