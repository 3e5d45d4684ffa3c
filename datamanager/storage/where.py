r"""The language of `where`: which results are asked for, by their values, their fields and their boxes.

    or         = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | "(" or ")" | comparison
    comparison = name op literal | literal op name
    op         = "==" | "!=" | "<" | "<=" | ">" | ">="
    name       = word { "." ( word | string ) }     sharpness, counts.car, counts.'traffic light', detections.class
    literal    = number | string                    2, -0.5, 1e3, 'car', "car"; in strings \\ \' \" are escapes

Words are letters, digits, `_` and `-`, and a name begins with a letter or `_`. `and`, `or` and `not` are no names.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn, cast

from datamanager.errors import Refused

__all__ = [
    "BOX_NAMES",
    "FIELD_NAMES",
    "And",
    "Comparison",
    "Expression",
    "Not",
    "Operator",
    "Or",
    "Subject",
    "parse_where",
]

MAX_CHARS = 2000
MAX_DEPTH = 16
MAX_COMPARISONS = 64
_MOST_INT64 = 2**63 - 1

Operator = Literal["==", "!=", "<", "<=", ">", ">="]

FIELD_NAMES = frozenset(
    "status model version task enrichment stream output frame_id reason latency_ms total_ms".split()
)
"""Fields of a result itself; any other name is that of a value, and so is what stands behind `values.`."""
BOX_NAMES = frozenset("class class_id score track_id x1 y1 x2 y2".split())
"""What a box of `detections.` has."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is compared: a field of the result, one of its values, or something of one of its boxes."""

    of: Literal["field", "value", "box"]
    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """True where there is such a thing, of any type for `!=` and of the literal's type else, and it compares so."""

    subject: Subject
    operator: Operator
    literal: float | int | str


@dataclass(frozen=True, slots=True)
class And:
    """All of them; those that speak of boxes, of one and the same box."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """What is true where the part is false: of boxes, where there is no such box."""

    part: "Expression"


Expression = Comparison | And | Or | Not


def parse_where(text: str) -> Expression:
    """Reads a filter.

    Raises:
        Refused: `malformed`, with the place as a number of characters before it; `too_large` above 2000 characters or 64
            comparisons; `too_deep` above 16 parentheses or `not` inside each other.
    """
    if len(text) > MAX_CHARS:
        raise Refused("too_large", f"where has {len(text)} characters, {MAX_CHARS} are allowed")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Refused("malformed", "where is not UTF-8")
    return _Parser(text).whole()


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<name>[^\W\d][\w-]*(?:\.(?:[\w-]+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))*)
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<operator>==|!=|<=|>=|<|>)
      | (?P<parenthesis>[()])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r"""[\w-]+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TURNED: dict[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KEYWORDS = frozenset({"and", "or", "not"})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent, one token ahead. Depth is bounded, and so is what it recurses."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = self._comparisons = 0
        self._next = self._scan(0)

    def whole(self) -> Expression:
        found = self._chain("or")
        if self._next.kind != "end":
            self._fail(self._next, "`and`, `or` or the end")
        return found

    def _chain(self, word: Literal["and", "or"]) -> Expression:
        part: Callable[[], Expression] = self._not if word == "and" else lambda: self._chain("and")
        parts = [part()]
        while self._is_word(word):
            self._take()
            parts.append(part())
        made = And if word == "and" else Or
        # Chains are flat, also through parentheses, so that `a and (b and c)` speaks of one box as `a and b and c` does.
        flat = [inner for p in parts for inner in (p.parts if isinstance(p, made) else (p,))]
        return made(tuple(flat)) if len(flat) > 1 else flat[0]

    def _not(self) -> Expression:
        is_not = self._is_word("not")
        if not is_not and self._next.text != "(":
            return self._comparison()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Refused("too_deep", f"where, at character {self._next.at}: more than {MAX_DEPTH} deep")
        self._take()
        found: Expression = Not(self._not()) if is_not else self._chain("or")
        if not is_not:
            if self._next.text != ")":
                self._fail(self._next, "`)`")
            self._take()
        self._depth -= 1
        return found

    def _comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise Refused("too_large", f"where has more than {MAX_COMPARISONS} comparisons")
        left = self._take("name", "number", "string", wanted="a name")
        operator = cast("Operator", self._take("operator", wanted="a comparison (==, !=, <, <=, >, >=)").text)
        if left.kind == "name":
            right = self._take("number", "string", wanted="a number or a string in quotes")
            return Comparison(_subject(left), operator, _literal(right))
        name = self._take("name", wanted="a name")
        return Comparison(_subject(name), _TURNED[operator], _literal(left))

    def _is_word(self, word: str) -> bool:
        return self._next.kind == "keyword" and self._next.text.lower() == word

    def _take(self, *kinds: str, wanted: str = "") -> _Token:
        token = self._next
        if kinds and token.kind not in kinds:
            self._fail(token, wanted)
        self._next = self._scan(token.at + len(token.text))
        return token

    def _scan(self, at: int) -> _Token:
        match = _TOKEN.match(self._text, at)
        if match is None:
            rest = self._text[at:]
            begin = at + len(rest) - len(rest.lstrip())
            self._fail(_Token("unknown", self._text[begin : begin + 1], begin), _wanted_at(self._text[begin:]))
        kind = str(match.lastgroup)
        if kind == "name" and match[kind].lower() in _KEYWORDS:
            return _Token("keyword", match[kind], match.start(kind))
        return _Token(kind, match[kind], match.start(kind))

    def _fail(self, token: _Token, wanted: str) -> NoReturn:
        found = f"`{token.text[:40]}`" if token.text else "the end"
        raise Refused("malformed", f"where, at character {token.at}: here stands {found}, and not {wanted}")


def _wanted_at(rest: str) -> str:
    """What may have been meant by what is no token."""
    if rest[0] == "=":
        return "`==`"
    if rest[0] in "'\"":
        return "a string that ends"
    return "a name, a number, a string, a comparison or a parenthesis"


def _subject(token: _Token) -> Subject:
    head, *parts = [_unquoted(part) if part[0] in "'\"" else part for part in _PART.findall(token.text)]
    if head == "detections":
        if len(parts) != 1 or parts[0] not in BOX_NAMES:
            known = ", ".join(sorted(BOX_NAMES))
            raise Refused("malformed", f"where, at character {token.at}: a box of `detections.` has {known}")
        return Subject("box", parts[0])
    if head == "values" and parts:
        return Subject("value", ".".join(parts))
    if head in FIELD_NAMES and not parts:
        return Subject("field", head)
    return Subject("value", ".".join([head, *parts]))


def _literal(token: _Token) -> float | int | str:
    if token.kind == "string":
        return _unquoted(token.text)
    if token.text.lstrip("+-").isdecimal() and abs(int(token.text)) <= _MOST_INT64:
        return int(token.text)
    value = float(token.text)
    if not math.isfinite(value):
        raise Refused("malformed", f"where, at character {token.at}: {token.text[:40]} is beyond every number")
    return value


def _unquoted(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1])
