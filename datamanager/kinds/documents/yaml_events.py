"""YAML as a stream of events, by libyaml's parser: structure alone, nothing made of it and no tag obeyed."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml._yaml import CParser

from datamanager.errors import Refused
from datamanager.kinds.documents.whole import offset_of_line

__all__ = ["Event", "check_yaml", "offset_in_yaml", "yaml_events"]

Event = Any  # the stubs take for optional what a parser's events always have
_ERRORS = (yaml.MarkedYAMLError, yaml.reader.ReaderError, UnicodeDecodeError, ValueError)

_MAX_DIRECTIVES = 16
_IGNORED = frozenset({"found unknown directive name", "found incompatible YAML document"})
# OpenCV begins its files with a directive that is none (`%YAML:1.0`); robots' calibrations are full of them.
_OPENCV = re.compile(rb"\A%YAML:(?=1\.[0-9])")


def yaml_events(data: bytes) -> Iterator[Event]:
    """The events of a YAML stream.

    Raises:
        Refused: `bad_payload`, with the offset.
    """
    text = _OPENCV.sub(b"#YAML:", data)
    given = 0
    for _ in range(_MAX_DIRECTIVES):
        try:
            for event in itertools.islice(_parse(text), given, None):
                given += 1
                yield event
        except _ERRORS as exc:
            text = _mended(text, exc, data)
        else:
            return
    raise Refused("bad_payload", f"it has more than {_MAX_DIRECTIVES} directives that are not known")


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
    raise Refused("bad_payload", f"it has more than {_MAX_DIRECTIVES} directives that are not known")


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
