"""`…/results`, `/results`, `/frames/{frame_id}/results`, `/frames/{frame_id}/similar` and `…/near-duplicates`."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, QueryParameter

from datamanager.playback.near_duplicates import NearDuplicates, NearDuplicatesPage
from datamanager.playback.pages import Page
from datamanager.playback.result_pages import FrameResults, ResultItem, ResultPages, ResultsAsked
from datamanager.playback.routes.parameters import Cursor, Limit, RobotId, SessionId, StreamNames, Time
from datamanager.playback.similar import SimilarFrames, SimilarReader

__all__ = ["RESULT_HANDLERS"]

Where = Annotated[
    str | None,
    QueryParameter(
        description="of which this is true: `counts.car >= 2`, `sharpness < 100 and not status == 'failed'`, "
        "`detections.class == 'car' and detections.score > 0.8` (one and the same box)"
    ),
]
Order = Annotated[str | None, QueryParameter(description="by time: `asc` or `desc`")]
TierNames = Annotated[list[str] | None, QueryParameter(description="give addresses of these tiers only")]
Outputs = Annotated[list[str] | None, QueryParameter(description="result streams: `front/detections`; all when none")]


def _asked(
    stream: Outputs = None,
    start: Time = None,
    end: Time = None,
    where: Where = None,
    order: Order = None,
    tier: TierNames = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> ResultsAsked:
    return ResultsAsked(
        streams=stream, start=start, end=end, where=where, order=order, tiers=tier, limit=limit, cursor=cursor
    )


_ASKED = {"asked": Provide(_asked, sync_to_thread=False)}


@get(
    "/sessions/{robot_id:str}/{session_id:str}/results",
    summary="Results of models",
    tags=["enrichment"],
    dependencies=_ASKED,
)
async def list_session_results(
    result_pages: NamedDependency[ResultPages],
    robot_id: RobotId,
    session_id: SessionId,
    asked: NamedDependency[ResultsAsked],
) -> Page[ResultItem]:
    """What models said of the frames and samples of [start, end) of a session."""
    return await result_pages.page(robot_id, session_id, asked)


@get("/results", summary="Results of models, of all sessions", tags=["enrichment"], dependencies=_ASKED)
async def list_results(
    result_pages: NamedDependency[ResultPages],
    asked: NamedDependency[ResultsAsked],
    robot_id: FromQuery[str | None] = None,
    session_id: FromQuery[str | None] = None,
) -> Page[ResultItem]:
    """What models said of the frames and samples of [start, end), whoever recorded them."""
    return await result_pages.page(robot_id, session_id, asked)


@get("/frames/{frame_id:str}/results", summary="All results of a frame", tags=["enrichment"])
async def get_frame_results(result_pages: NamedDependency[ResultPages], frame_id: FromPath[str]) -> FrameResults:
    """What every model said of one frame."""
    return await result_pages.of_frame(frame_id)


@get("/frames/{frame_id:str}/similar", summary="Frames like this one", tags=["enrichment"])
async def list_similar(
    similar_reader: NamedDependency[SimilarReader],
    frame_id: FromPath[str],
    among: Annotated[  # `scope` itself is a word of the framework
        str | None, QueryParameter(name="scope", description="look in its `session`, its `robot`, or `all`")
    ] = None,
    stream: StreamNames = None,
    min_score: Annotated[str | None, QueryParameter(description="least cosine similarity, -1 to 1")] = None,
    limit: Limit = None,
) -> SimilarFrames:
    """The frames whose embeddings point the same way, the most similar first. 409 while the frame has none."""
    return await similar_reader.similar(frame_id, scope=among, streams=stream, min_score=min_score, limit=limit)


@get("/sessions/{robot_id:str}/{session_id:str}/near-duplicates", summary="Runs of like frames", tags=["enrichment"])
async def list_near_duplicates(
    near_duplicates: NamedDependency[NearDuplicates],
    robot_id: RobotId,
    session_id: SessionId,
    stream: Annotated[str | None, QueryParameter(description="whose frames; must be given")] = None,
    threshold: Annotated[
        str | None, QueryParameter(description="least cosine similarity to the first; the model's own when not given")
    ] = None,
    start: Time = None,
    end: Time = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> NearDuplicatesPage:
    """Runs of frames of a stream that are all like the first of their run: that one is enough of them."""
    return await near_duplicates.page(
        robot_id, session_id, stream=stream, threshold=threshold, start=start, end=end, limit=limit, cursor=cursor
    )


RESULT_HANDLERS = [list_session_results, list_results, get_frame_results, list_similar, list_near_duplicates]
