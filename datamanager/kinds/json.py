"""Kind `json`: one JSON text (RFC 8259) in UTF-8, kept as it is.

Stricter than most parsers, since what is kept is to be read by any: no NaN, no comments, nothing behind the text. What
the grammar allows is taken: duplicate keys (they are counted), numbers of any size, escapes of lone surrogates. A byte
order mark is ignored, as section 8.1 allows.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from datamanager.errors import Refused
from datamanager.kinds.documents.json_scan import scan_json, top_keys
from datamanager.kinds.documents.json_value import encode_json_value
from datamanager.kinds.documents.mismatch import naming_others
from datamanager.kinds.documents.shape import MAX_KEYS, shape
from datamanager.kinds.documents.whole import BOM, check_utf8, read_document
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["encode", "examine"]

_DUPLICATES_UP_TO_BYTES = 1 << 20
_GRAMMAR = msgspec.json.Decoder(msgspec.Raw)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_PLAIN_ESCAPE = rb"\\u0041"
_PLACE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", re.DOTALL)
_NOT_NUMBERS = re.compile(rb"-?(?:NaN|Infinity|nan|inf)")
_TYPES = {b"{": "object", b"[": "array", b'"': "string", b"t": "boolean", b"f": "boolean", b"n": "null"}


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks JSON text.

    Raises:
        Refused: `bad_payload` with the offset of what is no JSON, `too_deep`, `too_large`, `kind_mismatch`.
    """
    data = read_document(source, hints, limits.max_document_bytes)
    with naming_others(data):
        return Found("application/json", "json", _check(data, limits))


def encode(payload: Mapping[str, Any], limits: KindLimits) -> bytes:
    """The payload's `value` as compact JSON in UTF-8: the same bytes whether it came over JSON or MessagePack.

    See `datamanager.kinds.documents.json_value` for what JSON has no form for.

    Raises:
        Refused: `missing_field`; `bad_payload` for what JSON cannot hold; `too_deep`.
    """
    if "value" not in payload:
        raise Refused("missing_field", "the payload has neither data nor value")
    return encode_json_value(payload["value"], limits.max_depth)


def _check(data: bytes, limits: KindLimits) -> dict[str, Any]:
    has_bom = data.startswith(BOM)
    shift = len(BOM) if has_bom else 0
    body = data[shift:]
    check_utf8(body)
    scan = scan_json(body, limits.max_depth, MAX_KEYS)
    if scan.deep_at is not None:
        raise Refused("too_deep", f"it nests deeper than {limits.max_depth} levels", offset=scan.deep_at + shift)
    _check_grammar(body, shift)
    type_ = _TYPES.get(scan.first, "number")
    entries = scan.entries if type_ in ("object", "array") else None
    keys = [json.loads(key) for key in top_keys(body, scan)] if type_ == "object" else None
    found: dict[str, Any] = {"shape": shape(type_, entries=entries, keys=keys, depth=scan.depth)}
    doubled = _duplicates(body)
    if doubled:
        found["duplicate_keys"] = doubled
    if has_bom:
        found["bom"] = True
    return found


def _check_grammar(body: bytes, shift: int) -> None:
    failure = _grammar_failure(body)
    if failure is not None:
        # msgspec wants surrogates in pairs, the grammar does not care: another escape of the same length in their place.
        mended = _SURROGATE.sub(_PLAIN_ESCAPE, body)
        failure = failure if mended == body else _grammar_failure(mended)
    if failure is not None:
        raise _refusal(failure, body, shift)


def _grammar_failure(body: bytes) -> Exception | None:
    try:
        _GRAMMAR.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        return exc
    return None


def _refusal(failure: Exception, body: bytes, shift: int) -> Refused:
    if isinstance(failure, RecursionError):
        return Refused("too_deep", "it nests deeper than can be read")
    match = _PLACE.fullmatch(str(failure))
    if match is None:
        return Refused("bad_payload", "it ends within a value", offset=len(body) + shift)
    at = int(match[2])
    if match[1].startswith("trailing characters"):
        at -= 1  # it counts those differently
    for start in (max(0, at - 1), at):
        word = _NOT_NUMBERS.match(body, start)
        if word is not None:
            said = f"{word[0].decode()} is no number in JSON (RFC 8259, section 6)"
            return Refused("bad_payload", f'{said}; write null, or the text "NaN"', offset=start + shift)
    return Refused("bad_payload", match[1], offset=min(at, len(body)) + shift)


def _duplicates(body: bytes) -> int:
    """How many keys stand in an object more than once, of text that is not too large for the question."""
    if len(body) > _DUPLICATES_UP_TO_BYTES or b"{" not in body:
        return 0
    found = 0

    def count(pairs: list[tuple[str, object]]) -> None:
        nonlocal found
        found += len(pairs) - len(dict(pairs))

    json.loads(
        body, object_pairs_hook=count, parse_int=len, parse_float=len
    )  # numbers do not count, whatever their size
    return found
