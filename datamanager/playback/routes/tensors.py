"""`/records/{record_id}/tensors`."""

import hashlib
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, PathParameter, QueryParameter

from datamanager.playback.pages import Page
from datamanager.playback.routes.bytes_answer import bytes_answer, path_after
from datamanager.playback.routes.parameters import Cursor, Limit
from datamanager.playback.tensors import TensorItem, TensorReader

__all__ = ["TENSOR_HANDLERS"]

_BYTES = "application/octet-stream"


@get("/records/{record_id:str}/tensors", summary="The tensors of a safetensors record", tags=["tensors"])
async def list_tensors(
    tensors: NamedDependency[TensorReader],
    record_id: FromPath[str],
    limit: Limit = None,
    cursor: Cursor = None,
) -> Page[TensorItem]:
    """Names, types, shapes, and where the bytes are, in the order of the bytes."""
    return await tensors.page(record_id, limit=limit, cursor=cursor)


@get(
    "/records/{record_id:str}/tensors/{name:path}",
    summary="One tensor of a safetensors record",
    tags=["tensors"],
    media_type=_BYTES,
)
async def get_tensor(
    request: Request[Any, Any, Any],
    tensors: NamedDependency[TensorReader],
    record_id: FromPath[str],
    name: Annotated[str, PathParameter(description="the tensor's name")],  # noqa: ARG001  # as the address has it; see path_after
    format_: Annotated[
        str,
        QueryParameter(name="format", description="raw (C order, little-endian) or npy, which has no BF16 and no F8"),
    ] = "raw",
) -> Response[Any]:
    """The bytes of one tensor, or of a `Range` of them, read by range and streamed."""
    wanted = path_after(request, "tensors")
    found = await tensors.open(record_id, wanted, format_)
    etag = f'"{found.checksum[:32]}.{hashlib.sha256(f"{format_}:{wanted}".encode()).hexdigest()[:16]}"'
    ending = "npy" if format_ == "npy" else "bin"
    return await bytes_answer(request, f"{wanted}.{ending}", etag, found.size, found.pieces)


TENSOR_HANDLERS = [list_tensors, get_tensor]
