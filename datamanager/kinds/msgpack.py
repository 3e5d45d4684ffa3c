"""Kind `msgpack`: one MessagePack value, kept as it is.

Any value that the format allows is taken: extension types, timestamps, keys of any type, twice the same key, and `str`
that is no UTF-8, which the format leaves to the application: such texts are counted. One value is a document; bytes
behind it are refused.
"""

from collections.abc import Mapping
from typing import Any

from datamanager.errors import Refused
from datamanager.kinds.documents.base64_forms import with_bytes
from datamanager.kinds.documents.mismatch import naming_others
from datamanager.kinds.documents.pack_check import check_pack, encode_pack, is_costly_pack, pack_metadata
from datamanager.kinds.documents.whole import read_document
from datamanager.kinds.kind import Found, Hints, KindLimits
from datamanager.kinds.source import Source

__all__ = ["encode", "examine", "is_costly"]


def examine(source: Source, hints: Hints, limits: KindLimits) -> Found:
    """Checks a MessagePack value.

    Raises:
        Refused: `bad_payload` with the offset, `too_deep`, `too_large`, `kind_mismatch`.
    """
    data = read_document(source, hints, limits.max_document_bytes)
    with naming_others(data, text_is_other=True):
        walk = check_pack(data, limits.max_depth)
        return Found("application/msgpack", "msgpack", pack_metadata(data, walk))


def is_costly(data: bytes) -> bool:
    """Whether to look at it in a child process."""
    return is_costly_pack(data)


def encode(payload: Mapping[str, Any], limits: KindLimits) -> bytes:
    """The payload's `value` as MessagePack.

    Over JSON text a value has no bytes: with `"encoding": "base64"` beside `value`, each map
    `{"encoding": "base64", "data": text}` within it is those bytes, as reading back gives them. The wire's `"NaN"` stays a text.

    Raises:
        Refused: `missing_field`; `bad_payload` for what MessagePack cannot hold; `too_deep`.
    """
    if "value" not in payload:
        raise Refused("missing_field", "the payload has neither data nor value")
    return encode_pack(with_bytes(payload["value"], payload.get("encoding"), limits.max_depth))
