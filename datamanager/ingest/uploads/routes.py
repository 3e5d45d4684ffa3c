"""`/uploads`."""

from typing import Annotated

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED, HTTP_202_ACCEPTED, HTTP_204_NO_CONTENT

from datamanager.errors import Refused
from datamanager.ingest.uploads.desk import MAX_PAGE, UploadDesk
from datamanager.ingest.uploads.finish import UploadFinisher
from datamanager.ingest.uploads.parts import UploadParts
from datamanager.ingest.uploads.shapes import NewUpload, UploadItem

__all__ = ["upload_router"]

_RETRY_AFTER_S = 1
_MAX_AFTER = 10_000


@post("/uploads", summary="Begin an upload", tags=["ingest"], status_code=HTTP_201_CREATED)
async def begin_upload(upload_desk: NamedDependency[UploadDesk], data: JSONBody[NewUpload]) -> UploadItem:
    """Addresses to which the bytes are to be PUT: one, or those of the first parts."""
    return await upload_desk.begin(data)


@get("/uploads/{upload_id:str}", summary="How an upload stands", tags=["ingest"])
async def get_upload(
    upload_desk: NamedDependency[UploadDesk],
    upload_id: FromPath[str],
    after: Annotated[int, QueryParameter(description="the page begins behind this part", ge=0, le=_MAX_AFTER)] = 0,
    limit: Annotated[int, QueryParameter(description="parts of a page", ge=1, le=MAX_PAGE)] = MAX_PAGE,
) -> UploadItem:
    """What S3 has of it, with fresh addresses for the rest."""
    return await upload_desk.look(upload_id, after, limit)


@post("/uploads/{upload_id:str}/complete", summary="Complete an upload", tags=["ingest"], status_code=HTTP_200_OK)
async def complete_upload(
    upload_desk: NamedDependency[UploadDesk],
    upload_finisher: NamedDependency[UploadFinisher],
    upload_id: FromPath[str],
    checksum: Annotated[str | None, QueryParameter(description="`sha256:` and 64 hex digits")] = None,
) -> Response[UploadItem]:
    """Checks the bytes and makes the record. 202 while that goes on: ask again."""
    document = await upload_finisher.complete(upload_id, checksum)
    if document["state"] == "refused":
        raise Refused(document["code"], document["detail"])
    item = await upload_desk.view(document)
    if item.status == "completing":
        headers = {"Retry-After": str(_RETRY_AFTER_S), "Cache-Control": "no-store"}
        return Response(item, status_code=HTTP_202_ACCEPTED, headers=headers)
    return Response(item, status_code=HTTP_200_OK)


@delete("/uploads/{upload_id:str}", summary="Give an upload up", tags=["ingest"], status_code=HTTP_204_NO_CONTENT)
async def abort_upload(
    upload_desk: NamedDependency[UploadDesk],
    upload_finisher: NamedDependency[UploadFinisher],
    upload_id: FromPath[str],
) -> None:
    """Removes what came of it. What is complete stays."""
    await upload_desk.abort(upload_id)
    await upload_finisher.clean(upload_id)


def upload_router(parts: UploadParts) -> Router:
    """The routes, with what they need handed in."""
    return Router(
        "/api/v1",
        route_handlers=[begin_upload, get_upload, complete_upload, abort_upload],
        dependencies={
            "upload_desk": Provide(lambda: parts.upload_desk, sync_to_thread=False),
            "upload_finisher": Provide(lambda: parts.upload_finisher, sync_to_thread=False),
        },
    )
