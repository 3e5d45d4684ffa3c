"""Kind `toml`: a TOML document (toml.io, v1.1.0), kept as it is."""

from datamanager.errors import Refused
from datamanager.kinds.documents.mismatch import naming_others
from datamanager.kinds.documents.shape import shape
from datamanager.kinds.documents.toml_text import depth_of, toml_value
from datamanager.kinds.documents.whole import read_document
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["examine"]


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a TOML document. One without a single key is TOML too, as long as it has a byte.

    Raises:
        Refused: `bad_payload` with the offset, `too_deep`, `too_large`, `kind_mismatch`.
    """
    data = read_document(source, hints, limits.max_toml_bytes, may_be_empty=True)
    with naming_others(data):
        table = toml_value(data)
    depth = depth_of(table, limits.max_depth)
    if depth > limits.max_depth:
        raise Refused("too_deep", f"it nests deeper than {limits.max_depth} levels")
    found = shape("object", entries=len(table), keys=list(table), depth=depth)
    return Found("application/toml", "toml", {"shape": found})
