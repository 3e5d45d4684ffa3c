"""A little fuzzing of every target, the same each time; `make fuzz` does more, and other."""

import pytest
from fuzz.run import fuzz
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_changed_golden_files_are_refused_or_taken_in(name: str) -> None:
    runs, failure = fuzz(TARGETS[name], f"smoke {name}", seconds=0.1)
    assert failure is None, f"{failure.what}\n{failure.data[:400]!r}"
    assert runs > 1
