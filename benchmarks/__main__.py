"""`python -m benchmarks`: every benchmark, one after the other, and then what was reached."""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.report import ALL, report

_KEPT = Path(".benchmarks")
_QUICK = ("--seconds", "3", "--rounds", "3")


def main() -> int:
    """Runs them; the last JSON line of each is kept in `.benchmarks/`, for `python -m benchmarks.report`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer phases, more rounds, and a day of telemetry")
    args = parser.parse_args()
    _KEPT.mkdir(exist_ok=True)
    failed = []
    for name in ALL:
        options = _full(name) if args.full else _QUICK
        command = (sys.executable, "-m", f"benchmarks.{name}", "--json", *options)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  # our own program
        *lines, last = done.stdout.splitlines() or [""]
        print("\n".join(lines), flush=True)
        if done.returncode == 0:
            (_KEPT / f"{name}.json").write_text(last + "\n", encoding="utf-8")
        else:
            failed.append(name)
    print("\n" + report(sorted(_KEPT.glob("*.json"))))
    for name in failed:
        print(f"benchmarks.{name} failed", file=sys.stderr)
    return 1 if failed else 0


def _full(name: str) -> tuple[str, ...]:
    more = {"range_query": ("--day",), "tensor_read": ("--gib", "5")}
    return ("--seconds", "10", "--rounds", "5", *more.get(name, ()))


if __name__ == "__main__":
    sys.exit(main())
