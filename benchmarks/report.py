"""`python -m benchmarks.report [FILE ...] [--write]`: what was reached, as a page has it.

The files hold the last lines of benchmarks run with `--json`; without any, those that `python -m benchmarks` kept. With
`--write` the tables go into docs/benchmarks.md, in place of the ones that are there.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.result import number

__all__ = ["ALL", "report"]

ALL = (
    "telemetry_ingest",
    "frame_ingest",
    "range_query",
    "live_latency",
    "frame_urls",
    "frame_tiers",
    "rpc_round_trip",
    "tensor_read",
    "enrichment",
    "model_batches",
    "result_queries",
)
"""Every benchmark, in the order in which they are run and shown."""

_KEPT = Path(".benchmarks")
_PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
_FROM, _TO = "<!-- reached: written by `python -m benchmarks.report --write` -->", "<!-- end of reached -->"


def report(files: Iterable[Path]) -> str:
    """The tables, as Markdown: goals first, then machine and versions, then every measure.

    Args:
        files: of one JSON object each.
    """
    found = [json.loads(path.read_text(encoding="utf-8").splitlines()[-1]) for path in files]
    found.sort(key=lambda told: ALL.index(told["benchmark"]) if told["benchmark"] in ALL else len(ALL))
    if not found:
        return "No benchmark was run yet."
    return "\n\n".join([_goals(found), _where(found), *(_measures(told) for told in found)])


def _goals(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"`{told['benchmark']}`",
            goal["name"],
            f"{'≤' if goal['at_most'] else '≥'} {number(goal['reach'])} {goal['unit']}",
            f"{number(goal['reached'])} {goal['unit']}",
            "yes" if goal["met"] else "**no**",
        )
        for told in found
        for goal in told["goals"]
    ]
    return _table(("benchmark", "what", "to reach", "reached (median)", "met"), rows)


def _where(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"`{told['benchmark']}`",
            told["at"],
            told["versions"]["commit"],
            f"{told['machine']['processor']}, {told['machine']['cores']} cores, {told['machine']['memory_gib']} GiB",
            " → ".join(str(load) for load in told["load_average"]),
        )
        for told in found
    ]
    versions = ", ".join(f"{name} {value}" for name, value in found[0]["versions"].items() if name != "commit")
    table = _table(("benchmark", "at", "commit", "machine", "load average, before → after"), rows)
    return f"{table}\n\n{found[0]['machine']['kernel']}; {versions}."


def _measures(told: dict[str, Any]) -> str:
    rows = [
        (m["name"], number(m["median"]), number(min(m["values"])), number(max(m["values"])), m["unit"])
        for m in told["measures"]
    ]
    notes = "".join(f"\n\n{note[0].upper()}{note[1:]}." for note in told["notes"])
    return f"### {told['benchmark']}\n\n{_table(('measure', 'median', 'least', 'most', 'unit'), rows)}{notes}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def main() -> None:
    """Prints the tables, or writes them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="JSON results (default: those in .benchmarks/)")
    parser.add_argument("--write", action="store_true", help="write them into docs/benchmarks.md")
    args = parser.parse_args()
    text = report(args.files or sorted(_KEPT.glob("*.json")))
    if not args.write:
        print(text)
        return
    page = _PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(_FROM)
    _PAGE.write_text(f"{before}{_FROM}\n\n{text}\n\n{_TO}{rest.partition(_TO)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
