"""What a benchmark found: a table to read, and one JSON object to keep."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine, describe_versions, load_average

__all__ = ["Goal", "Measure", "Result", "number"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure, once for each round.

    Attributes:
        name: what was measured.
        unit: of the values.
        values: one a round.
    """

    name: str
    unit: str
    values: list[float]

    @property
    def median(self) -> float:
        """The middle one of the rounds."""
        return median(self.values)


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be reached, and what was.

    Attributes:
        at_most: whether less is better.
    """

    name: str
    unit: str
    reach: float
    reached: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.reached <= self.reach if self.at_most else self.reached >= self.reach


@dataclass
class Result:
    """One run of one benchmark."""

    benchmark: str
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=describe_versions)
    measures: dict[str, Measure] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load_before: float = field(default_factory=load_average)

    def add(self, name: str, unit: str, *values: float) -> None:
        """Adds the value of a further round, or several."""
        self.measures.setdefault(name, Measure(name, unit, [])).values.extend(values)

    def add_waits(self, waits_ms: Mapping[str, Sequence[float]]) -> None:
        """Adds, of what was waited for in a further round, by name, the median and the 95th percentile in milliseconds."""
        for name, waited_ms in waits_ms.items():
            self.add(f"{name}: p50", "ms", float(np.percentile(waited_ms, 50)))
            self.add(f"{name}: p95", "ms", float(np.percentile(waited_ms, 95)))

    def median(self, name: str) -> float:
        """The median of a measure."""
        return self.measures[name].median

    def goal(self, name: str, reach: float, *, measure: str, at_most: bool = False) -> None:
        """Holds the median of a measure against what was to be reached; not measured, it is no goal of this run."""
        if measure in self.measures:
            found = self.measures[measure]
            self.goals.append(Goal(name, found.unit, reach, found.median, at_most))

    def show(self, *, as_json: bool) -> None:
        """Prints machine, versions, the tables, and with `as_json` one JSON object as the last line."""
        told = self.told()
        print(f"\n{self.benchmark}, {told['at']}")
        print("  " + ", ".join(f"{name} {value}" for name, value in told["machine"].items()))
        print("  " + ", ".join(f"{name} {value}" for name, value in told["versions"].items()))
        print(f"  load average {self.load_before} before, {told['load_average'][1]} after")
        print("  " + ", ".join(f"{name} {value}" for name, value in self.settings.items()))
        print("\n" + "\n".join(self._rows()))
        for line in self._goal_rows():
            print(line)
        for note in self.notes:
            print(f"  {note}")
        if as_json:
            print(json.dumps(told))

    def told(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "benchmark": self.benchmark,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "versions": self.versions,
            "load_average": [self.load_before, load_average()],
            "settings": self.settings,
            "measures": [dataclasses.asdict(m) | {"median": m.median} for m in self.measures.values()],
            "goals": [dataclasses.asdict(g) | {"met": g.met} for g in self.goals],
            "notes": self.notes,
        }

    def _rows(self) -> list[str]:
        width = max(len(name) for name in self.measures)
        head = f"  {'':{width}}  {'median':>10} {'least':>10} {'most':>10}"
        return [
            head,
            *(
                f"  {m.name:{width}}  {number(m.median):>10} {number(min(m.values)):>10} {number(max(m.values)):>10}  {m.unit}"
                for m in self.measures.values()
            ),
        ]

    def _goal_rows(self) -> list[str]:
        return [
            f"  {'reached' if g.met else 'MISSED '}  {g.name}: {number(g.reached)} {g.unit}"
            f" ({'at most' if g.at_most else 'at least'} {number(g.reach)})"
            for g in self.goals
        ]


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
