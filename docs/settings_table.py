"""Writes the README's table of settings from `datamanager.config.SETTINGS`: `python docs/settings_table.py`."""

import sys
from collections.abc import Iterable
from pathlib import Path

from datamanager.config import SETTINGS, Setting

__all__ = ["BEGIN", "END", "settings_table", "with_settings"]

BEGIN = "<!-- settings: written by `make docs` from datamanager/config.py -->"
END = "<!-- /settings -->"
README = Path(__file__).resolve().parent.parent / "README.md"


def settings_table(settings: Iterable[Setting]) -> str:
    """The settings as a Markdown table, in the order in which `config.py` declares them."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    rows += [f"| `{s.variable}` | {_cell(s.default)} | {s.about.replace('|', chr(92) + '|')} |" for s in settings]
    return "\n".join(rows)


def _cell(default: object) -> str:
    return f"`{default}`" if str(default) else "none"


def with_settings(readme: str) -> str:
    """The README's text with the table between its two markers made anew.

    Raises:
        ValueError: the markers are not there, each once and in order.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in head + tail:
        raise ValueError(f"README.md needs {BEGIN!r} and {END!r}, each once and in this order")
    return f"{head}{BEGIN}\n\n{settings_table(SETTINGS)}\n\n{END}{tail}"


def main() -> int:
    """Rewrites README.md in place."""
    README.write_text(with_settings(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
