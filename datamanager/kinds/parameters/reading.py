"""The values in the bytes of parameters."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from datamanager.errors import Refused
from datamanager.kinds.documents.answer import Answer, to_json
from datamanager.kinds.documents.json_scan import scan_json
from datamanager.kinds.documents.yaml_value import yaml_value
from datamanager.kinds.documents.yaml_walk import walk_yaml
from datamanager.kinds.text import decode_utf8

__all__ = ["MODES", "Parameters", "parse_parameters"]

MODES = ("merge", "replace")
_MARK = b"\xef\xbb\xbf"
_JSON_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
_MOST_YAML_BYTES = 4 << 20
_MOST_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters.

    Attributes:
        mode: what the content itself says; None when it says nothing.
        form: what it is written in.
    """

    values: dict[str, Any]
    mode: str | None
    form: Literal["json", "yaml"]


def parse_parameters(data: bytes, max_depth: int) -> Parameters:
    """Reads a document whose top level is a map. One that is `{"mode", "values"}` and nothing else says both.

    Raises:
        Refused: it is none; see `examine`.
    """
    found = _json(data, max_depth) if _JSON_OBJECT.match(data) else None
    return Parameters(_yaml(data, max_depth), None, "yaml") if found is None else found


def _json(data: bytes, max_depth: int) -> Parameters | None:
    """What an object says; None for what may be YAML in braces."""
    text = decode_utf8(data, "parameters")
    scan = scan_json(data.removeprefix(_MARK), max_depth, 0)
    if scan.depth > max_depth + 1:
        raise Refused("too_deep", f"parameters nest more than {max_depth} deep", offset=scan.deep_at)
    try:
        value = json.loads(text, parse_constant=_constant)
    except (ValueError, RecursionError) as exc:
        if len(data) <= _MOST_YAML_BYTES and _is_yaml(data, max_depth):
            return None
        at = getattr(exc, "pos", None)
        offset = None if at is None else len(text[:at].encode("utf-8", "replace"))
        raise Refused("bad_payload", f"the parameters are no JSON: {exc}"[:300], offset=offset) from exc
    if value.keys() == {"mode", "values"} and value["mode"] in MODES and isinstance(value["values"], dict):
        return Parameters(value["values"], value["mode"], "json")
    if scan.depth > max_depth:
        raise Refused("too_deep", f"parameters nest more than {max_depth} deep", offset=scan.deep_at)
    return Parameters(value, None, "json")


def _constant(name: str) -> str:
    return name  # NaN, Infinity and -Infinity are the wire's own words


def _is_yaml(data: bytes, max_depth: int) -> bool:
    try:
        walk_yaml(data, max_depth)
    except Refused:
        return False
    return True


def _yaml(data: bytes, max_depth: int) -> dict[str, Any]:
    decode_utf8(data, "parameters")
    if len(data) > _MOST_YAML_BYTES:
        detail = f"parameters of {len(data)} bytes in YAML; at most {_MOST_YAML_BYTES} are taken"
        raise Refused("too_large", detail, offset=_MOST_YAML_BYTES)
    walk = walk_yaml(data, max_depth)
    if walk.type != "object" or walk.documents != 1 or not walk.is_whole:
        what = f"{walk.documents} documents" if walk.documents != 1 else f"a YAML {walk.type}"
        raise Refused("bad_payload", f"parameters are one map, not {what}", offset=0)
    plain = Answer(len(data) * 100 + (1 << 20), _MOST_VALUES).plain(yaml_value(data), "")
    values: dict[str, Any] = json.loads(to_json(plain))
    return values
