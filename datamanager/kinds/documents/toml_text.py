"""TOML by tomli, which reads version 1.1 as Python's own parser does not yet, and what it says of an error."""

import re
from typing import Any

import tomli

from datamanager.errors import Refused
from datamanager.kinds.documents.whole import BOM, check_utf8, offset_of_line

__all__ = ["depth_of", "toml_value"]

_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def toml_value(data: bytes) -> dict[str, Any]:
    """The document's table.

    Raises:
        Refused: `bad_payload`, with the offset; `too_deep`.
    """
    shift = len(BOM) if data.startswith(BOM) else 0
    text = check_utf8(data[shift:])
    try:
        return tomli.loads(text)
    except RecursionError as exc:
        raise Refused("too_deep", "it nests deeper than can be read") from exc
    except ValueError as exc:  # also a number of more digits than Python reads, or a date that is none
        raise _refusal(exc, text, len(data), shift) from exc


def depth_of(table: dict[str, Any], most: int) -> int:
    """How deep tables and arrays nest; `most` + 1 where they nest deeper."""
    level: list[Any] = [table]
    depth = 0
    while level and depth <= most:
        depth += 1
        inner = (item for node in level for item in (node.values() if isinstance(node, dict) else node))
        level = [item for item in inner if isinstance(item, dict | list)]
    return depth


def _refusal(error: ValueError, text: str, size: int, shift: int) -> Refused:
    match = _PLACE.fullmatch(str(error))
    if match is None:
        return Refused("bad_payload", "it holds a number of more digits than can be read")
    if match[2] is None:
        return Refused("bad_payload", match[1][:200], offset=size)
    # The parser counts lines as they are once each end of a line is one character.
    offset = offset_of_line(text, int(match[2]) - 1, int(match[3]) - 1)
    return Refused("bad_payload", match[1][:200], offset=offset + shift)
