"""`…/playlist.m3u8`, and `/records/{record_id}/thumbnails`."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.status_codes import HTTP_202_ACCEPTED

from datamanager.playback.derived import StillPending
from datamanager.playback.params import parse_int
from datamanager.playback.playlists import PlaylistReader
from datamanager.playback.routes.parameters import RobotId, SessionId, Time
from datamanager.playback.routes.records import thumbnail_answer
from datamanager.playback.routes.sounds import pending_answer
from datamanager.playback.video_thumbnails import VideoThumbnailReader

__all__ = ["VIDEO_HANDLERS"]

_PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
_MOST_NUMBER = 100_000


@get(
    "/sessions/{robot_id:str}/{session_id:str}/playlist.m3u8",
    summary="A stream of video as HLS",
    tags=["playback"],
    media_type=_PLAYLIST_TYPE,
)
async def get_playlist(
    playlists: NamedDependency[PlaylistReader],
    robot_id: RobotId,
    session_id: SessionId,
    stream: Annotated[str | None, QueryParameter(description="which; of a session that has one, that one")] = None,
    start: Time = None,
    end: Time = None,
) -> Response[Any]:
    """The 640 x 360 preview, or a live stream's own chunks, as fragments of MP4 with pre-signed addresses.

    While the session records, and while workers are still at it, the playlist grows at its end.
    """
    found = await playlists.read(robot_id, session_id, stream, start, end)
    if isinstance(found, StillPending):
        headers = {"Retry-After": str(found.retry_after_s), "Cache-Control": "no-store"}
        body = {"status": "pending", "session_id": session_id}
        return Response(body, status_code=HTTP_202_ACCEPTED, media_type="application/json", headers=headers)
    return Response(found.encode(), media_type=_PLAYLIST_TYPE, headers={"Cache-Control": "no-store"})


@get("/records/{record_id:str}/thumbnails", summary="Small pictures of a video", tags=["playback"])
async def list_thumbnails(
    video_thumbnails: NamedDependency[VideoThumbnailReader], record_id: FromPath[str]
) -> Response[Any]:
    """Keyframes of at most 120 x 68 pixels, spread over the video. 202 while they are being made."""
    found = await video_thumbnails.all(record_id)
    if isinstance(found, StillPending):
        return pending_answer(found, record_id)
    return Response(found, media_type="application/json")


@get("/records/{record_id:str}/thumbnails/{number:str}", summary="One small picture of a video", tags=["playback"])
async def get_thumbnail(
    request: Request[Any, Any, Any],
    video_thumbnails: NamedDependency[VideoThumbnailReader],
    record_id: FromPath[str],
    number: FromPath[str],
) -> Response[bytes]:
    """One of those that the list names, as JPEG."""
    index = parse_int(number, "number", default=0, most=_MOST_NUMBER, least=0)
    return thumbnail_answer(await video_thumbnails.one(record_id, index), request.headers.get("if-none-match"))


VIDEO_HANDLERS = [get_playlist, list_thumbnails, get_thumbnail]
