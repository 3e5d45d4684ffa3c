"""Windows hang on the samples' times alone, not on how the samples came."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamanager.errors import Refused
from datamanager.inference.online.functions import FUNCTIONS, function_named
from datamanager.inference.online.spec import WindowSpec, read_spec
from datamanager.inference.online.windows import Window, Windower

S = 1_000_000_000


def windower(**spec: float) -> Windower:
    return Windower(msgspec.convert({"lateness_s": 0, **spec}, WindowSpec))


def add(into: Windower, *t_s: float) -> None:
    t = np.array([round(t * S) for t in t_s], np.int64)
    into.add(t, {"a": t / S})


def told(windows: list[Window]) -> list[tuple[float, list[float]]]:
    return [(w.end_ns / S, (w.t_ns / S).tolist()) for w in windows]


def test_windows_are_half_open_and_end_at_multiples() -> None:
    w = windower(seconds=1)
    add(w, 0.0, 0.5, 1.0, 1.9, 2.0)
    assert told(w.advance(2 * S)) == [(1.0, [0.0, 0.5]), (2.0, [1.0, 1.9])]
    assert told(w.advance(3 * S - 1)) == []
    assert told(w.advance(3 * S)) == [(3.0, [2.0])]


def test_windows_may_overlap() -> None:
    w = windower(seconds=1, every_s=0.5)
    add(w, 0.1, 0.6, 1.1)
    assert told(w.advance(10 * S)) == [(0.5, [0.1]), (1.0, [0.1, 0.6]), (1.5, [0.6, 1.1]), (2.0, [1.1])]


def test_where_there_are_no_samples_there_is_no_window_but_the_next_one_knows_the_gap() -> None:
    w = windower(seconds=1)
    add(w, 0.5, 7.25)
    first, second = w.advance(20 * S)
    assert (first.end_ns, first.gap_s) == (1 * S, 0.0)
    assert (second.end_ns, second.gap_s) == (8 * S, 6.75)


def test_by_samples_a_window_ends_with_its_last_one() -> None:
    w = windower(samples=3, every=2)
    add(w, 1, 2, 3, 4, 5, 6, 7)
    assert told(w.advance(100 * S)) == [(3.0, [1, 2, 3]), (5.0, [3, 4, 5]), (7.0, [5, 6, 7])]


def test_windows_that_end_with_samples_of_one_time_have_names_of_their_own() -> None:
    w = windower(samples=2)
    add(w, 1, 1, 1, 1, 1, 1)
    ends = [window.end_ns for window in w.advance(100 * S)]
    assert ends == [S, S + 1, S + 2]


def test_late_samples_are_left_out_and_counted() -> None:
    w = windower(seconds=1)
    add(w, 0.5, 1.5)
    w.advance(1 * S)
    add(w, 0.9, 1.0)
    assert (told(w.advance(2 * S)), w.late) == ([(2.0, [1.0, 1.5])], 1)


def test_a_channel_that_comes_later_was_missing_before() -> None:
    w = windower(seconds=1)
    add(w, 0.25)
    w.add(np.array([S // 2]), {"b": np.array([7.0])})
    (window,) = w.advance(S)
    assert window.channels == ("a", "b")
    np.testing.assert_array_equal(window.values, [[0.25, np.nan], [np.nan, 7.0]])


@pytest.mark.parametrize("t_ns", [0, 2**63 - 1])
def test_times_at_both_ends_of_all_time_are_taken(t_ns: int) -> None:
    w = windower(seconds=1)
    w.add(np.array([t_ns]), {"a": np.array([1.0])})
    assert len(w.advance(2**63 + S)) == 1


times = st.lists(st.integers(0, 40), min_size=1, max_size=60).map(sorted)
specs = st.sampled_from(
    [
        {"seconds": 1.0},
        {"seconds": 2.0, "every_s": 0.5},
        {"samples": 4},
        {"samples": 7, "every": 2},
        {"samples": 2, "every": 1},
    ]
)


@given(times, specs, st.lists(st.integers(1, 9), min_size=1, max_size=60))
def test_however_samples_are_cut_up_and_however_often_it_is_gone_on_with_the_windows_are_the_same(
    quarters: list[int], spec: dict[str, float], cuts: list[int]
) -> None:
    t = np.array(quarters) * (S // 4)
    values = np.arange(len(t), dtype=float)
    whole = windower(**spec)
    whole.add(t, {"a": values})
    want = whole.advance(int(t[-1]))
    cut, at, found = windower(**spec), 0, []
    for size in [*cuts, len(t)]:
        some = slice(at, at + size)
        if not len(t[some]):
            break
        cut.add(t[some], {"a": values[some]})
        found += cut.advance(int(t[some][-1]))
        at += size
        again = windower(**spec)
        again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(cut.state())))
        cut = again
    assert [(w.end_ns, w.values.tolist(), w.gap_s) for w in found] == [
        (w.end_ns, w.values.tolist(), w.gap_s) for w in want
    ]
    assert cut.late == 0


def test_every_function_gives_a_number_for_each_channel_or_nan() -> None:
    x = np.array([[1.0, np.nan, 5.0], [3.0, np.nan, np.nan], [2.0, np.nan, 1.0]])
    t = np.array([0.0, 1.0, 2.0])
    want = {
        "count": [3, 0, 2],
        "missing": [0, 3, 1],
        "mean": [2, np.nan, 3],
        "std": [np.sqrt(2 / 3), np.nan, 2],
        "min": [1, np.nan, 1],
        "max": [3, np.nan, 5],
        "sum": [6, 0, 6],
        "range": [2, np.nan, 4],
        "median": [2, np.nan, 3],
        "rms": [np.sqrt(14 / 3), np.nan, np.sqrt(13)],
        "first": [1, np.nan, 5],
        "last": [2, np.nan, 1],
        "rate": [0.5, np.nan, -2],
        "crossings": [2, 0, 1],
        "p50": [2, np.nan, 3],
    }
    assert set(want) == set(FUNCTIONS) | {"p50"}
    for name, numbers in want.items():
        function = function_named(name)
        assert function is not None
        np.testing.assert_allclose(function(t, x), numbers, err_msg=name)
    assert function_named("p100") is None
    assert function_named("eval") is None


@pytest.mark.parametrize(
    ("options", "is_good"),
    [
        ({"windows": {"seconds": 0.01}}, True),
        ({"windows": {"seconds": 0.009}}, False),
        ({"windows": {"seconds": 86_400}}, True),
        ({"windows": {"seconds": 86_401}}, False),
        ({"windows": {"seconds": 10, "every_s": 0.01}}, True),
        ({"windows": {"seconds": 10.01, "every_s": 0.01}}, False),
        ({"windows": {"seconds": 1, "every_s": 1.5}}, False),
        ({"windows": {"samples": 2}}, True),
        ({"windows": {"samples": 1}}, False),
        ({"windows": {"samples": 5, "every": 5}}, True),
        ({"windows": {"samples": 5, "every": 6}}, False),
        ({"windows": {"samples": 100_000}}, True),
        ({"windows": {"samples": 100_001}}, False),
        ({"windows": {"functions": ["mean"] * 16}}, True),
        ({"windows": {"functions": ["mean"] * 17}}, False),
        ({"anomaly": {"memory": 8}}, True),
        ({"anomaly": {"memory": 7}}, False),
        ({"drift": {"delta": 0}}, False),
        ({"learn": {"target": ""}}, False),
    ],
)
def test_limits_of_options(options: dict[str, object], is_good: bool) -> None:  # a column of the table
    if is_good:
        read_spec(options)
        return
    with pytest.raises(Refused) as refused:
        read_spec(options)
    assert refused.value.code == "bad_payload"


def test_without_a_word_there_are_windows_of_a_second_and_scores() -> None:
    spec = read_spec({})
    assert (spec.windows.seconds, spec.anomaly is not None) == (1.0, True)
    assert read_spec({"windows": {"samples": 5}}).anomaly is None
