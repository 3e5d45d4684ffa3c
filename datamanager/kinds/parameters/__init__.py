"""Kind `parameters`: a robot's settings, as nested maps that replace those before or are merged into them."""

import json
from collections.abc import Mapping
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.documents.json_value import encode_json_value
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.parameters.keys import list_keys
from datamanager.kinds.parameters.reading import MODES, parse_parameters
from datamanager.kinds.source import Source
from datamanager.kinds.text import check_is_text, check_size

__all__ = ["encode", "examine"]

_SHOWN = 200


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks parameters: what `encode` made, or a document in JSON or YAML whose top level is a map.

    The payload of a document may say `mode` beside it; without it a document is merged.

    Raises:
        Refused: `kind_mismatch` for what is no text, `bad_payload` with the offset for what is neither JSON nor YAML or no
            map, `too_deep`, `too_large`, `unsafe_content` for aliases that come to too much.
    """
    check_size(source, "parameters", limits.max_document_bytes)
    data = source.read(0, source.size)
    check_is_text(data, "parameters")
    read = parse_parameters(data, limits.max_depth)
    mode = read.mode or _mode(hints.payload)
    keys, count = list_keys(read.values, _SHOWN)
    metadata = {"mode": mode, "keys": keys, "key_count": count}
    if read.form == "yaml":
        return Found("application/yaml", "yaml", metadata, {"parameters": {"mode": mode}})
    return Found("application/json", "parameters.json", metadata, {"parameters": {"mode": mode}})


def encode(payload: Mapping[str, Any], limits: KindLimits) -> bytes:
    """`{"values": {…}, "mode": "merge" | "replace"}` as JSON with its keys in order: the same values are the same bytes.

    Raises:
        Refused: `missing_field` without values, `wrong_type` where they are no map, `bad_payload`, `too_deep`.
    """
    values = payload.get("values")
    if values is None:
        raise Refused("missing_field", "parameters have values, or data")
    if not isinstance(values, dict):
        raise Refused("wrong_type", f"values must be a map, not {type(values).__name__}")
    made = encode_json_value({"mode": _mode(payload), "values": values}, limits.max_depth + 1)
    ordered = json.dumps(json.loads(made), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return ordered.encode("utf-8", "backslashreplace")


def _mode(payload: Mapping[str, Any]) -> str:
    mode = payload.get("mode", "merge")
    if not isinstance(mode, str):
        raise Refused("wrong_type", f"mode must be a string, not {type(mode).__name__}")
    if mode not in MODES:
        raise Refused("bad_payload", f"mode {mode[:32]!r} is none of {', '.join(MODES)}")
    return mode
