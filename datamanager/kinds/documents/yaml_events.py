"""YAML as a stream of events: structure alone, nothing made of it and no tag obeyed.

By libyaml's parser; a short stream is held to the specification's own grammar, which decides where the two differ.
"""

import codecs
import itertools
import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml
from yaml._yaml import CParser

from datamanager.errors import Refused
from datamanager.kinds.documents.whole import offset_of_line
from datamanager.kinds.documents.yaml_grammar import Grammar

__all__ = ["Event", "check_yaml", "offset_in_yaml", "yaml_events"]

Event = Any  # the stubs take for optional what a parser's events always have
_ERRORS = (yaml.MarkedYAMLError, yaml.reader.ReaderError, UnicodeDecodeError, ValueError)

_SHORT_BYTES = 16 * 1024
_NOT_PRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_FRAMES_A_LEVEL = 80
_MAX_DIRECTIVES = 16
_IGNORED = frozenset({"found unknown directive name", "found incompatible YAML document"})
# OpenCV begins its files with a directive that is none (`%YAML:1.0`); robots' calibrations are full of them.
_OPENCV = re.compile(rb"\A%YAML:(?=1\.[0-9])")


def yaml_events(data: bytes, max_depth: int, *, strict: bool) -> Iterator[Event]:
    """The events of a YAML stream; those of a short one have no marks where libyaml did not read it.

    Args:
        data: the stream.
        max_depth: how deep collections may nest, of what libyaml did not read.
        strict: whether a short stream that libyaml reads is held to the specification too.

    Raises:
        Refused: `bad_payload`, with the offset; `too_deep`.
    """
    if len(data) > _SHORT_BYTES:
        return _libyaml_events(data)
    try:
        events = list(_libyaml_events(data, directives=1))
    except Refused as refused:
        if isinstance(refused.__cause__, yaml.reader.ReaderError):
            raise
        return iter(_by_the_letter(data, max_depth, refused))
    if strict:
        _by_the_letter(data, max_depth, None)
    return iter(events)


def _by_the_letter(data: bytes, max_depth: int, refused: Refused | None) -> list[Event]:
    """The events by the specification's grammar.

    Args:
        data: the stream.
        max_depth: how deep collections may nest.
        refused: what libyaml said; None where it read it.

    Raises:
        Refused: `refused` or `bad_payload` when there are none; `too_deep`.
    """
    try:
        text = _text(_OPENCV.sub(b"#YAML:", data))
    except UnicodeDecodeError as exc:
        raise refused or Refused("bad_payload", f"it is no text: {exc.reason}", offset=exc.start) from exc
    if refused is not None and _NOT_PRINTABLE.search(text):  # libyaml did not read as far
        raise refused
    grammar = Grammar(text, 2 * max_depth + 2)  # it opens what may turn out not to be there; the walk counts what is
    frames = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + _FRAMES_A_LEVEL * max_depth)
    try:
        is_yaml = grammar.stream()
    except RecursionError as exc:
        offset = len(text[: grammar.at].encode())
        raise Refused("too_deep", f"it nests deeper than {max_depth} levels", offset=offset) from exc
    finally:
        sys.setrecursionlimit(frames)
    if not is_yaml:
        offset = len(text[: grammar.furthest].encode())
        said = "it is no YAML by the specification (1.2.2), though some parsers read it"
        raise refused or Refused("bad_payload", said, offset=offset)
    return grammar.events


def _text(data: bytes) -> str:
    is_utf16 = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return data.decode("utf-16" if is_utf16 else "utf-8-sig")


def _libyaml_events(data: bytes, directives: int = _MAX_DIRECTIVES) -> Iterator[Event]:
    """The events by libyaml; of the unknown directives that end it all but one of so many are passed over."""
    text = _OPENCV.sub(b"#YAML:", data)
    given = 0
    for _ in range(directives):
        try:
            for event in itertools.islice(_parse(text), given, None):
                given += 1
                yield event
        except _ERRORS as exc:
            text = _mended(text, exc, data)
        else:
            return
    raise Refused("bad_payload", "it has a directive that is not known, or too many", offset=_first_change(data, text))


def check_yaml(data: bytes) -> None:
    """Checks a YAML stream without making events: ten times as fast.

    Raises:
        Refused: `bad_payload`, with the offset.
    """
    text = _OPENCV.sub(b"#YAML:", data)
    for _ in range(_MAX_DIRECTIVES):
        parser: Any = CParser(text)
        try:
            parser.raw_parse()
        except _ERRORS as exc:
            text = _mended(text, exc, data)
        else:
            return
        finally:
            parser.dispose()
    raise Refused("bad_payload", "it has too many directives that are not known", offset=_first_change(data, text))


def _first_change(data: bytes, text: bytes) -> int:
    """Where the first directive stood that was made a comment."""
    return next((at for at, (was, is_) in enumerate(zip(data, text, strict=True)) if was != is_), 0)


def _parse(text: bytes) -> Iterator[Event]:
    parser = CParser(text)
    try:
        while (event := parser.get_event()) is not None:
            yield event
    finally:
        parser.dispose()


def _mended(text: bytes, error: Exception, data: bytes) -> bytes:
    """The text with a comment in place of a directive that libyaml does not know, which YAML says to ignore.

    Raises:
        Refused: `bad_payload`: something else is wrong with it.
    """
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        start = _line_start(text, mark.line) if mark else 0
        if error.problem in _IGNORED and text[start : start + 1] == b"%":
            return text[:start] + b"#" + text[start + 1 :]
        what = ": ".join(part for part in (error.context, error.problem) if part)
        offset = offset_in_yaml(data, mark) if mark else None
        raise Refused("bad_payload", what[:200] or "it is no YAML", offset=offset) from error
    if isinstance(error, yaml.reader.ReaderError):
        raise Refused("bad_payload", f"it is no YAML: {error.reason}", offset=error.position) from error
    raise Refused("bad_payload", f"it is no YAML: {error}"[:200]) from error


def _line_start(text: bytes, line: int) -> int:
    start = 0
    for _ in range(line):
        start = text.find(b"\n", start) + 1
    return start


def offset_in_yaml(data: bytes, mark: Event) -> int:
    """The byte at which a mark stands, which counts lines and characters; of UTF-16 about there."""
    return offset_of_line(data.decode("utf-8", "replace"), mark.line, mark.column)
