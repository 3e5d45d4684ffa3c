"""Fuzzes the parsers: `python tests/fuzz/run.py [--seconds 20] [--seed N] [TARGET…]`, from the repository's root.

Each target is given changed golden files for so long. What raises anything but a refusal, or takes longer than
`MAX_S`, is written to `.fuzz/` and ends the target; the exit status is 1 then. The seed that is printed makes the same
run again.
"""

import argparse
import hashlib
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tests import what they share from there

from fuzz.mutate import mutate
from fuzz.targets import ALLOWED, TARGETS, Target, seeds_of

__all__ = ["Failure", "fuzz"]

MAX_S = 2.0
_HUNG_S = 20
_POOL = 200  # inputs that were taken in are changed further
_FOLDER = Path(".fuzz")


class _Hung(BaseException):
    """Not an Exception: no parser may swallow it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that did what none may, and what that was."""

    data: bytes
    what: str


def fuzz(target: Target, seed: str, seconds: float) -> tuple[int, Failure | None]:
    """Runs a target for so long; how many inputs it was given, and the first that failed."""
    signal.signal(signal.SIGPROF, _hang)  # the alarm is pytest's
    random = Random(seed)  # noqa: S311 - nothing secret, and the same each time
    pool = seeds_of(target)
    end_s = time.monotonic() + seconds
    runs = 0
    for data in [b"", *pool]:
        runs += 1
        failure, _ = _try(target, data)
        if failure:
            return runs, failure
    while time.monotonic() < end_s:
        data = mutate(random, random.choice(pool), random.choice(pool))
        runs += 1
        failure, is_taken = _try(target, data)
        if failure:
            return runs, failure
        if is_taken and len(pool) < _POOL:
            pool.append(data)
    return runs, None


def _try(target: Target, data: bytes) -> tuple[Failure | None, bool]:
    begin_s = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, _HUNG_S)
    is_taken = False
    try:
        target.run(data)
        is_taken = True
    except ALLOWED:
        is_taken = False
    except _Hung:
        return Failure(data, f"did not end within {_HUNG_S} s of computing"), False
    except Exception:  # noqa: BLE001 - any other is what we look for
        return Failure(data, traceback.format_exc()), False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    took_s = time.process_time() - begin_s
    return (Failure(data, f"took {took_s:.1f} s"), False) if took_s > MAX_S else (None, is_taken)


def _hang(_number: int, _frame: object) -> None:
    raise _Hung


def main() -> int:
    """Fuzzes the targets that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for each target")
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    print(f"seed {seed}")  # noqa: T201 - a command prints
    failed = 0
    for name in asked.targets or TARGETS:
        runs, failure = fuzz(TARGETS[name], f"{seed} {name}", asked.seconds)
        print(f"{'FAILED' if failure else 'ok':6} {name}: {runs:,} inputs", flush=True)  # noqa: T201 - as above
        if failure:
            failed += 1
            _FOLDER.mkdir(exist_ok=True)
            path = _FOLDER / f"{name.replace(' ', '_')}-{hashlib.sha256(failure.data).hexdigest()[:12]}"
            path.write_bytes(failure.data)
            print(f"{failure.what}\n{len(failure.data)} bytes in {path}")  # noqa: T201 - as above
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
