"""`/records/{record_id}/members`."""

import hashlib
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, PathParameter

from datamanager.playback.members import MemberPage, MemberReader
from datamanager.playback.routes.bytes_answer import bytes_answer, path_after
from datamanager.playback.routes.parameters import Cursor, Limit

__all__ = ["MEMBER_HANDLERS"]

_BYTES = "application/octet-stream"


@get("/records/{record_id:str}/members", summary="The members of a zip or tar record", tags=["members"])
async def list_members(
    members: NamedDependency[MemberReader],
    record_id: FromPath[str],
    limit: Limit = None,
    cursor: Cursor = None,
) -> MemberPage:
    """Names, types and sizes, in the archive's order."""
    return await members.page(record_id, limit=limit, cursor=cursor)


@get(
    "/records/{record_id:str}/members/{name:path}",
    summary="One member of a zip or tar record",
    tags=["members"],
    media_type=_BYTES,
)
async def get_member(
    request: Request[Any, Any, Any],
    members: NamedDependency[MemberReader],
    record_id: FromPath[str],
    name: Annotated[str, PathParameter(description="the member's name")],  # noqa: ARG001  # as the address has it; see path_after
) -> Response[Any]:
    """What one member unpacks to; the rest is not unpacked. What does not fit its checksum breaks off before its end."""
    found = await members.open(record_id, path_after(request, "members"))
    etag = f'"{found.checksum[:32]}.{hashlib.sha256(found.name.encode()).hexdigest()[:16]}"'
    file_name = found.name.rstrip("/").rpartition("/")[2]
    return await bytes_answer(request, file_name, etag, found.size, found.pieces, by_range=found.by_range)


MEMBER_HANDLERS = [list_members, get_member]
