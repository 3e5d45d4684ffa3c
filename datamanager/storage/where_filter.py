"""A `where` as a MongoDB filter on `results`: by `facts` wherever an index is to help (see `storage.facts`)."""

from collections.abc import Sequence
from typing import Any

from datamanager.storage.facts import BEST, STATUS, channel_name
from datamanager.storage.where import And, Comparison, Expression, Not, Operator, Or

__all__ = ["mongo_filter"]

Filter = dict[str, Any]

_COUNTS = "counts."  # names of values that are 0 where a detector saw none of that class
_OPERATORS: dict[Operator, str] = {"==": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_CORNERS = {"x1": "box.0", "y1": "box.1", "x2": "box.2", "y2": "box.3"}


def mongo_filter(where: Expression) -> Filter:
    """The filter. What it matches is what `Comparison`, `And`, `Or` and `Not` say."""
    match where:
        case Comparison():
            return _box_group([where]) if where.subject.of == "box" else _comparison(where)
        case Not(part):
            return {"$nor": [mongo_filter(part)]}
        case Or(parts):
            return {"$or": [mongo_filter(part) for part in parts]}
        case And(parts):
            return _all_of(parts)


def _all_of(parts: Sequence[Expression]) -> Filter:
    """What speaks of boxes speaks of the same one."""
    of_box = [part for part in parts if _is_of_box(part)]
    clauses = [mongo_filter(part) for part in parts if not _is_of_box(part)]
    return {"$and": [*clauses, _box_group(of_box)] if of_box else clauses}


def _box_group(parts: Sequence[Expression]) -> Filter:
    """There is a box of which all of them are true. The fact that must then be there too leads through the index."""
    clauses: list[Filter] = [{"detections": {"$elemMatch": {"$and": [_of_box(part) for part in parts]}}}]
    alone = [(p.subject.name, p.operator, p.literal) for p in parts if isinstance(p, Comparison)]
    least = [score for name, operator, score in alone if name == "score" and operator in (">", ">=", "==")]
    best = {"$gte": least[0]} if least else {"$exists": True}
    clauses += [
        {"facts": {"$elemMatch": {"k": f"{BEST}{literal}", "v": best}}}
        for name, operator, literal in alone
        if name == "class" and operator == "=="
    ]
    return {"$and": clauses}


def _is_of_box(where: Expression) -> bool:
    """Whether it is about one box and nothing else."""
    if isinstance(where, Comparison):
        return where.subject.of == "box"
    return isinstance(where, And | Or) and all(_is_of_box(part) for part in where.parts)


def _of_box(where: Expression) -> Filter:
    match where:
        case Comparison(subject, operator, literal):
            return {_CORNERS.get(subject.name, subject.name): _test(operator, literal)}
        case And(parts):
            return {"$and": [_of_box(part) for part in parts]}
        case Or(parts):
            return {"$or": [_of_box(part) for part in parts]}
        case Not():
            raise AssertionError("`_is_of_box` lets no `not` through")


def _comparison(where: Comparison) -> Filter:
    name, test = where.subject.name, _test(where.operator, where.literal)
    if where.subject.of == "field":
        if name == "status" and where.operator == "==" and where.literal != "ok":
            return {"status": test, "facts": {"$elemMatch": {"k": STATUS, "v": test}}}
        return {name: test}
    name = channel_name(name)
    found = {"facts": {"$elemMatch": {"k": name, "v": test}}}
    if name.startswith(_COUNTS) and _holds_for_none(where):
        # What a detector did not see it does not list.
        return {"$or": [found, {"task": "detect", "status": "ok", "facts.k": {"$ne": name}}]}
    return found


def _test(operator: Operator, literal: float | str) -> Filter:
    # `$ne` alone would match what is not there at all.
    return {"$nin": [literal, None]} if operator == "!=" else {_OPERATORS[operator]: literal}


def _holds_for_none(where: Comparison) -> bool:
    literal = where.literal
    if isinstance(literal, str):
        return where.operator == "!="
    holds: dict[Operator, bool] = {
        "==": literal == 0,
        "!=": literal != 0,
        "<": literal > 0,
        "<=": literal >= 0,
        ">": literal < 0,
        ">=": literal <= 0,
    }
    return holds[where.operator]
