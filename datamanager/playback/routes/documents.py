"""`/records/{record_id}/json` and `…/array`: documents as JSON, and the arrays of messages as bytes."""

from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from datamanager.errors import Refused
from datamanager.kinds.documents.look import ARRAY_KINDS, JSON_KINDS, read_array, read_json
from datamanager.playback.contents import Contents
from datamanager.playback.record_content import attachment_headers

__all__ = ["DOCUMENT_HANDLERS"]

_BYTES = "application/octet-stream"
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
_FORMS = ("npy", "raw")

Path = Annotated[str, QueryParameter(description="a JSON Pointer (RFC 6901): `/joints/0`; empty for the whole")]


@get("/records/{record_id:str}/json", summary="A document as JSON", tags=["documents"], media_type="application/json")
async def get_json(contents: NamedDependency[Contents], record_id: FromPath[str], path: Path = "") -> Response[bytes]:
    """What a record of kind json, yaml, toml, msgpack, vuer_msg or log holds, or what a path in it leads to, as JSON.

    JSON comes as it was written. Of the others: keys that are no text go by their text; bytes are
    `{"encoding": "base64", "data"}`, within a larger answer only to 16 KiB, then `data` is null and `path` says where to
    ask; NaN and infinities are `"NaN"`, `"Infinity"`, `"-Infinity"`; times RFC 3339; extension types `{"$ext": code, …}`;
    YAML's own tags `{"$tag", "value"}`, several YAML documents a list. Arrays of a vuer_msg are
    `{"$dtype", "dtype", "shape", "values", "array"}`: `values` is null for many, and `array` the address of the bytes.
    """
    arrays_at = f"/api/v1/records/{record_id}/array?path="
    body = await contents.read_as(record_id, JSON_KINDS, read_json, path, arrays_at, contents.limits.max_depth)
    return Response(body, media_type="application/json", headers=_HEADERS)


@get("/records/{record_id:str}/array", summary="An array of a message", tags=["documents"], media_type=_BYTES)
async def get_array(
    contents: NamedDependency[Contents],
    record_id: FromPath[str],
    path: Path = "",
    format_: Annotated[
        str,
        QueryParameter(name="format", description="npy, or raw (C order, little-endian; of an image the file)"),
    ] = "npy",
) -> Response[Any]:
    """One array of a vuer_msg, by the path of its tagged map."""
    if format_ not in _FORMS:
        raise Refused("malformed", f"format={format_[:40]!r} is neither npy nor raw")
    body = await contents.read(record_id, ARRAY_KINDS, read_array, path, format_)
    name = f"{path.strip('/').replace('/', '.') or record_id}.{'npy' if format_ == 'npy' else 'bin'}"
    return Response(body, media_type=_BYTES, headers=attachment_headers(name[-200:]) | _HEADERS)


DOCUMENT_HANDLERS = [get_json, get_array]
