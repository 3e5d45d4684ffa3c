"""`where` is read as it is written, refused where it is wrong, and means on a real MongoDB what it means on paper."""

import contextlib
import dataclasses
import math
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.browse_server import Recorder
from support.results import box, detections, put_results, quality

from datamanager.errors import RangeTooLarge, Refused
from datamanager.storage.facts import values_of
from datamanager.storage.result_queries import ResultQueries, ResultQuery, _in_time
from datamanager.storage.results import Result
from datamanager.storage.where import And, Comparison, Expression, Not, Or, Subject, parse_where

CAR = Comparison(Subject("box", "class"), "==", "car")
MANY = Comparison(Subject("value", "count"), ">=", 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count >= 2", MANY),
        (" count>=2 ", MANY),
        ("2 <= count", MANY),
        ("values.count >= 2", MANY),
        ("(((count >= 2)))", MANY),
        ("count >= 2.0", Comparison(Subject("value", "count"), ">=", 2.0)),
        ("count >= -.5e-3", Comparison(Subject("value", "count"), ">=", -0.0005)),
        ("status != 'ok'", Comparison(Subject("field", "status"), "!=", "ok")),
        ("values.status != 'ok'", Comparison(Subject("value", "status"), "!=", "ok")),
        ("counts.'traffic light' == 1", Comparison(Subject("value", "counts.traffic light"), "==", 1)),
        ('counts."and" == 1', Comparison(Subject("value", "counts.and"), "==", 1)),
        ("embedding.0 < 1", Comparison(Subject("value", "embedding.0"), "<", 1)),
        (r"label == 'it\'s \\ \"'", Comparison(Subject("value", "label"), "==", "it's \\ \"")),
        ("größe > 1", Comparison(Subject("value", "größe"), ">", 1)),
        ("detections.class == 'car'", CAR),
        ("NOT count >= 2", Not(MANY)),
        ("not not count >= 2", Not(Not(MANY))),
        ("count >= 2 and (count >= 2 and detections.class == 'car')", And((MANY, MANY, CAR))),
        ("count >= 2 or count >= 2 and detections.class == 'car'", Or((MANY, And((MANY, CAR))))),
        ("(count >= 2 or count >= 2) and not detections.class == 'car'", And((Or((MANY, MANY)), Not(CAR)))),
        (f"count == {2**63 - 1}", Comparison(Subject("value", "count"), "==", 2**63 - 1)),
        (f"count == {2**63}", Comparison(Subject("value", "count"), "==", float(2**63))),
    ],
)
def test_a_filter_is_read_as_it_is_written(text: str, expected: Expression) -> None:
    assert parse_where(text) == expected


@pytest.mark.parametrize(
    ("text", "at", "about"),
    [
        ("", 0, "the end"),
        ("count", 5, "the end"),
        ("count >=", 8, "the end"),
        ("count >= 2 and", 14, "the end"),
        ("count = 2", 6, "`==`"),
        ("count >= 2 sharpness < 1", 11, "`sharpness`"),
        ("count >= 2) ", 10, "`)`"),
        ("(count >= 2", 11, "the end"),
        ("count >= other", 9, "`other`"),
        ("1 < 2", 4, "`2`"),
        ("count >= 'two", 9, "a string that ends"),
        ("count >= 2 && x > 1", 11, "`&`"),
        ("count >= 12abc", 9, "`1`"),
        ("a.$where == 1", 1, "`.`"),
        ("count >= 1e999", 9, "beyond"),
        ("count >= " + "9" * 400, 9, "beyond"),
        ("detections.colour == 'red'", 0, "track_id"),
        ("detections == 'car'", 0, "track_id"),
        ("x == 1 and and", 11, "`and`"),
        ("x . y == 1", 2, "`.`"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, at: int, about: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_where(text)
    assert refused.value.code == "malformed"
    assert f"character {at}:" in refused.value.detail
    assert about in refused.value.detail


def test_a_filter_is_bounded() -> None:
    parse_where("x == 1".ljust(2000))
    parse_where("(" * 16 + "x == 1" + ")" * 16)
    parse_where("not " * 16 + "x == 1")
    parse_where(" or ".join(["x == 1"] * 64))
    for text, code in [
        ("x == 1".ljust(2001), "too_large"),
        ("(" * 17 + "x == 1" + ")" * 17, "too_deep"),
        ("not " * 17 + "x == 1", "too_deep"),
        ("not (" * 9 + "x == 1" + ")" * 9, "too_deep"),
        (" or ".join(["x == 1"] * 65), "too_large"),
    ]:
        with pytest.raises(Refused) as refused:
            parse_where(text)
        assert refused.value.code == code


@given(st.text(max_size=200) | st.text(alphabet="()'\"\\ .<>=!andortcu01-e", max_size=80))
@settings(max_examples=200)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Refused):  # anything else that it raises is a failure
        parse_where(text)


# The same meaning on paper and in MongoDB.

NAMES = ["count", "counts.car", "counts.traffic light", "sharpness", "label", "odd.$na me.0", "ünï"]
CLASSES = ["car", "dog", "traffic light", ""]
NUMBERS = [0, 1, 2, 3, 2**53, -1, 0.5, 1e300, math.inf, -math.inf, math.nan, 0.9, 0.8]
WORDS = ["car", "dog", "ok", "failed", "traffic light", "", "é", "it's \\", "z"]


def made_results() -> list[Result]:
    """Results of all sorts."""
    chance = random.Random(4)  # noqa: S311 - no secret
    made: list[Result] = []
    for n in range(160):
        frame_id = f"w{n}"
        status = chance.choice(["ok", "ok", "ok", "failed", "skipped"])
        if n % 2:
            boxes = [
                box(chance.choice(CLASSES), chance.choice([0.5, 0.8, 0.9, 1]), [chance.randrange(9) for _ in range(4)])
                for _ in range(chance.randrange(4))
            ]
            for found in boxes:
                if chance.random() < 0.5:
                    found["track_id"] = chance.randrange(3)
            made.append(detections("where", "s", frame_id, n, boxes if status == "ok" else [], status=status))
        else:
            names = chance.sample(NAMES, chance.randrange(len(NAMES)))
            values = {name: chance.choice(NUMBERS + (["car", "é", ""] if name == "label" else [])) for name in names}
            made.append(quality("where", "s", frame_id, n, status=status, values=values))
    return made


def holds(where: Expression, result: Result) -> bool:
    """What `where` means, naively."""
    match where:
        case Comparison(subject, operator, literal):
            if subject.of == "box":
                return any(box_holds(where, found) for found in result.boxes or [])
            if subject.of == "field":
                return compares(getattr(result, subject.name), operator, literal)
            value = result.values.get(subject.name)
            if (
                value is None
                and subject.name.startswith("counts.")
                and (result.task, result.status) == ("detect", "ok")
            ):
                value = 0
            return compares(value, operator, literal)
        case Not(part):
            return not holds(part, result)
        case Or(parts):
            return any(holds(part, result) for part in parts)
        case And():
            parts = flat(where)
            of_box = [part for part in parts if speaks_of_box(part)]
            of_one = any(all(box_holds(part, found) for part in of_box) for found in result.boxes or [])
            return (not of_box or of_one) and all(holds(part, result) for part in parts if not speaks_of_box(part))


def flat(where: Expression) -> list[Expression]:
    return [inner for part in where.parts for inner in flat(part)] if isinstance(where, And) else [where]


def speaks_of_box(where: Expression) -> bool:
    if isinstance(where, Comparison):
        return where.subject.of == "box"
    return not isinstance(where, Not) and all(speaks_of_box(part) for part in where.parts)


def box_holds(where: Expression, found: dict[str, Any]) -> bool:
    match where:
        case Comparison(subject, operator, literal):
            corners = dict(zip(("x1", "y1", "x2", "y2"), found["box"], strict=True))
            return compares({**found, **corners}.get(subject.name), operator, literal)
        case And(parts):
            return all(box_holds(part, found) for part in parts)
        case Or(parts):
            return any(box_holds(part, found) for part in parts)
        case Not():
            raise AssertionError("no `not` speaks of one box")


def compares(value: Any, operator: str, literal: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, str) != isinstance(literal, str):
        return operator == "!="
    tests = {
        "==": value == literal,
        "!=": value != literal,
        "<": value < literal,
        "<=": value <= literal,
        ">": value > literal,
        ">=": value >= literal,
    }
    return bool(tests[operator])


def written(where: Expression) -> str:
    """The expression as text, every part in parentheses."""
    match where:
        case Comparison(subject, operator, literal):
            of = {"field": "", "value": "values.", "box": "detections."}[subject.of]
            name = of + (
                ".".join(quoted(part) for part in subject.name.split(".")) if subject.of == "value" else subject.name
            )
            return f"{name} {operator} {quoted(literal) if isinstance(literal, str) else repr(literal)}"
        case Not(part):
            return f"not ({written(part)})"
        case And(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " or ".join(f"({written(part)})" for part in parts)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


FINITE = [number for number in NUMBERS if math.isfinite(number)]
SUBJECTS = (
    [Subject("value", name) for name in [*NAMES, "nothing", "counts.dog", "counts.cat"]]
    + [Subject("field", name) for name in ("status", "task", "frame_id", "latency_ms", "output")]
    + [Subject("box", name) for name in ("class", "score", "track_id", "x1", "y2", "class_id")] * 2
)
COMPARISONS = st.builds(
    Comparison,
    st.sampled_from(SUBJECTS),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.sampled_from(FINITE) | st.sampled_from([*WORDS, "detect", "front/quality"]),
)
EXPRESSIONS = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def known() -> list[Result]:
    return made_results()


@pytest.fixture
async def stored(recorder: Recorder, known: list[Result]) -> ResultQueries:
    if not await recorder.mongo.durable("results").find_one({"robot_id": "where"}):
        await put_results(recorder.mongo, known)
    return ResultQueries(recorder.mongo)


def query(where: Expression) -> ResultQuery:
    return ResultQuery(robot_id="where", session_id="s", outputs=[], start_ns=0, end_ns=2**63, where=where, limit=1000)


async def test_filters_of_each_sort_find_some_and_not_all(stored: ResultQueries, known: list[Result]) -> None:
    for text in [
        "counts.car >= 2",
        "counts.car == 0",
        "counts.'traffic light' >= 1 and count < 3",
        "label == 'é'",
        "status == 'failed' or status == 'skipped'",
        "detections.class == 'car' and detections.score > 0.8",
        "detections.class == 'car' and (detections.score > 0.8 or detections.track_id == 1)",
        "not detections.class == 'car' and output == 'front/detections'",
        "detections.x1 < 2 and detections.y2 > 4",
        "values.odd.'$na me'.0 >= 1",
    ]:
        where = parse_where(text)
        expected = [result.id for result in known if holds(where, result)]
        assert 0 < len(expected) < len(known), text
        assert [found["_id"] for found in await stored.page(query(where))] == expected, text


@given(EXPRESSIONS)
@example(And((CAR, Comparison(Subject("box", "score"), ">", 0.8))))
@example(And((CAR, Comparison(Subject("box", "class"), "==", "dog"))))
@example(And((CAR, Comparison(Subject("box", "score"), ">", "x"))))
@example(Comparison(Subject("field", "status"), "==", 0))
@example(Comparison(Subject("value", "counts.cat"), "!=", 1))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_mongodb_finds_what_is_meant(stored: ResultQueries, known: list[Result], where: Expression) -> None:
    found = await stored.page(query(parse_where(written(where))))
    assert [document["_id"] for document in found] == [result.id for result in known if holds(where, result)]


async def test_values_are_searched_up_to_their_number(stored: ResultQueries, recorder: Recorder) -> None:
    some = {f"n.{i}.mean": float(i) for i in range(256)}
    await put_results(
        recorder.mongo,
        [
            quality("where", "many", "at", 1, values=some),
            quality("where", "many", "over", 2, values={**some, "m": 1.0}),
        ],
    )
    everything = ResultQuery(robot_id="where", session_id="many", outputs=[], start_ns=0, end_ns=9, where=None, limit=9)
    assert [values_of(found["values"])["n.7_mean"] for found in await stored.page(everything)] == [7.0, 7.0]
    for text in ("n.7.mean == 7", "n.7_mean == 7", "values.n.'7.mean' == 7"):
        found = await stored.page(dataclasses.replace(everything, where=parse_where(text)))
        assert [document["frame_id"] for document in found] == ["at"]


async def test_a_search_that_takes_too_long_is_not_tried_again(stored: ResultQueries) -> None:
    slowly = stored._results.find({"robot_id": "where", "$where": "sleep(20) || true"}, max_time_ms=50)
    with pytest.raises(RangeTooLarge, match="20 s"), _in_time():
        await slowly.to_list()
