"""Rules are held against samples as their words say: the same as one sample after the other, however samples are cut."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.kinds.names import MAX_T_NS
from datamanager.storage.alert_rules import AlertRule
from datamanager.worker.alerts.evaluate import Turn, Watch, evaluate

S = 1_000_000_000
NAN = math.nan
MOST = 10_000


def rule(op: str = ">", **more: Any) -> AlertRule:
    limits = {"low": -1.0, "high": 1.0} if op == "outside" else {} if op == "absent" else {"threshold": 1.0}
    return AlertRule(**({"name": "r", "channel": "x", "op": op} | limits | more))


def judge(found: AlertRule, times_s: list[float], values: list[float], watch: Watch | None = None) -> Any:
    t_ns = np.array([round(t * S) for t in times_s], np.int64)
    return evaluate(found, watch or Watch(), t_ns, np.array(values, np.float64), MOST)


def told(turns: list[Turn]) -> list[tuple[str, float, float | None]]:
    return [(turn.state, turn.t_ns / S, turn.value) for turn in turns]


def naive(found: AlertRule, watch: Watch, samples: list[tuple[int, float]]) -> tuple[Watch, list[Turn]]:
    """What the module's words say, one sample after the other."""
    phase, since, last, turns = watch.phase, watch.since_ns, watch.last_ns, []
    for t, v in samples:
        if math.isnan(v) or t <= last:
            continue
        last = t
        if phase == "firing":
            if _is_back(found, v):
                turns.append(Turn("cleared", t, v, since))
                phase, since = "ok", 0
            continue
        if not _breaks(found, v):
            phase, since = "ok", 0
            continue
        if phase == "ok":
            phase, since = "pending", t
        if t - since >= found.for_ns:
            turns.append(Turn("fired", t, v, since))
            phase = "firing"
    return Watch(phase, since, last), turns


def _breaks(r: AlertRule, v: float) -> bool:
    ops = {">": v > 1, ">=": v >= 1, "<": v < 1, "<=": v <= 1, "==": v == 1, "!=": v != 1}
    return ops.get(r.op, r.op == "outside" and not -1 <= v <= 1)


def _is_back(r: AlertRule, v: float) -> bool:
    h = r.hysteresis
    ops = {">": v <= 1 - h, ">=": v < 1 - h, "<": v >= 1 + h, "<=": v > 1 + h, "==": v != 1, "!=": v == 1}
    return ops[r.op] if r.op in ops else r.op == "absent" or -1 + h <= v <= 1 - h


rules = st.builds(
    rule,
    st.sampled_from([">", ">=", "<", "<=", "outside"]),
    for_s=st.sampled_from([0.0, 1e-9, 3e-9, 10e-9]),
    hysteresis=st.sampled_from([0.0, 0.25, 0.5]),
) | st.builds(rule, st.sampled_from(["==", "!=", "absent"]), for_s=st.sampled_from([0.0, 2e-9]))
levels = st.sampled_from([NAN, -math.inf, -1.5, -1.0, 0.0, 0.4, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, math.inf])
runs = st.lists(st.tuples(st.integers(0, 40), levels), max_size=60)


@given(rules, runs, st.sampled_from(["ok", "pending", "firing"]))
def test_at_once_is_the_same_as_one_after_the_other(found: AlertRule, run: list[tuple[int, float]], phase: Any) -> None:
    watch = Watch(phase, 0, -1)
    ascending = sorted(run, key=lambda sample: sample[0])
    t_ns, values = np.array([t for t, _ in run], np.int64), np.array([v for _, v in run], np.float64)
    assert evaluate(found, watch, t_ns, values, MOST) == naive(found, watch, ascending)


@given(rules, st.lists(levels, max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 3))
def test_it_is_the_same_however_samples_are_cut(
    found: AlertRule, values: list[float], cuts: list[int], most: int
) -> None:
    t_ns, whole = np.arange(len(values), dtype=np.int64), np.array(values, np.float64)
    watch, turns = Watch(), []
    for first, last in zip([0, *sorted(cuts)], [*sorted(cuts), len(values)], strict=True):
        while True:  # with few turns at a time, of the same samples again
            watch, some = evaluate(found, watch, t_ns[first:last], whole[first:last], most)
            turns += some
            if len(some) < most:
                break
    assert (watch, turns) == evaluate(found, Watch(), t_ns, whole, MOST)


def test_it_fires_with_the_first_value_that_lasts_long_enough_and_clears_once() -> None:
    times = [0, 1, 2, 2.9, 3, 4, 5, 6]
    _, turns = judge(rule(for_s=2), times, [0, 2, 2, 2, 3, 9, 0, 0])
    assert told(turns) == [("fired", 3, 3.0), ("cleared", 5, 0.0)]
    assert {turn.since_ns for turn in turns} == {1 * S}


def test_one_value_within_the_limit_begins_the_wait_anew() -> None:
    _, turns = judge(rule(for_s=2), [0, 1, 1.5, 2, 3, 3.9, 4], [2, 2, 1, 2, 2, 2, 2])
    assert told(turns) == [("fired", 4, 2.0)]


def test_between_the_limit_and_its_hysteresis_all_stays_as_it_is() -> None:
    found = rule(hysteresis=0.5)
    watch, turns = judge(found, range(6), [0.8, 1.1, 0.8, 0.6, 0.51, 1.2])
    assert told(turns) == [("fired", 1, 1.1)]
    _, turns = judge(found, [7, 8], [0.5, 0.9], watch)
    assert told(turns) == [("cleared", 7, 0.5)]


def test_what_is_missing_neither_breaks_a_wait_nor_clears() -> None:
    _, turns = judge(rule(for_s=2), range(6), [2, NAN, 2, NAN, NAN, 0])
    assert told(turns) == [("fired", 2, 2.0), ("cleared", 5, 0.0)]
    assert judge(rule("!="), [0, 1], [NAN, NAN])[1] == []


def test_what_comes_late_is_not_judged() -> None:
    watch, _ = judge(rule(), [0, 10], [0, 0])
    same, turns = judge(rule(), [3, 10], [99, 99], watch)
    assert (same, turns) == (watch, [])


def test_an_absence_ends_with_any_value_but_nan() -> None:
    watch = Watch("firing", 1 * S, 1 * S)
    assert judge(rule("absent", for_s=5), [9], [NAN], watch) == (watch, [])
    assert told(judge(rule("absent", for_s=5), [9, 10], [NAN, 0], watch)[1]) == [("cleared", 10, 0.0)]


def test_the_last_nanosecond_is_judged_too() -> None:
    t_ns = np.array([MAX_T_NS - 5, MAX_T_NS], np.int64)
    _, turns = evaluate(rule(for_s=1e-9), Watch(), t_ns, np.array([2.0, 2.0]), MOST)
    assert [turn.t_ns for turn in turns] == [MAX_T_NS]


def test_minutes_at_a_kilohertz_are_judged_as_one_after_the_other() -> None:
    t_ns = np.arange(200_000, dtype=np.int64) * 1_000_000
    values = np.sin(np.arange(200_000) / 5_000) * 2
    _, turns = evaluate(rule(for_s=2, hysteresis=0.2), Watch(), t_ns, values, MOST)
    _, expected = naive(rule(for_s=2, hysteresis=0.2), Watch(), list(zip(t_ns.tolist(), values.tolist(), strict=True)))
    assert turns == expected
    assert len(turns) >= 5


@pytest.mark.parametrize("n", [0, 1])
def test_few_samples_are_no_special_case(n: int) -> None:
    watch, turns = judge(rule(), [1][:n], [2][:n])
    assert (watch.last_ns, len(turns)) == ((1 * S, 1) if n else (-1, 0))
