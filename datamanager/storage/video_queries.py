"""Reading what playlists are made of: the videos and chunks of one stream."""

from collections.abc import Sequence

from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["VideoQueries"]

_QUERY_MS = 30_000
_FIELDS = dict.fromkeys("t_ns arrived_ns hls derived keys.original metadata.duration_s metadata.part".split(), 1)
_ASCENDING = [("t_ns", 1), ("_id", 1)]


class VideoQueries:
    """The queries. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._frames = mongo.durable("frames_metadata")
        self._streams = mongo.durable("streams")

    async def streams(self, robot_id: str, session_id: str) -> Sequence[str]:
        """The names of a session's streams of video."""
        query = {"robot_id": robot_id, "session_id": session_id, "kind": "video"}
        with translated():
            found = await self._streams.find(query, {"stream": 1}, max_time_ms=_QUERY_MS).to_list()
        return sorted(document["stream"] for document in found)

    async def parts(
        self, robot_id: str, session_id: str, stream: str, start_ns: int, end_ns: int, limit: int
    ) -> list[Document]:
        """The records of a stream that begin in [start_ns, end_ns), and the last that begins before; ascending."""
        place = {"robot_id": robot_id, "session_id": session_id, "stream": stream, "derived": {"$exists": True}}
        inside = place | {"t_ns": {"$gte": start_ns, "$lte": end_ns - 1}}
        before = place | {"t_ns": {"$lt": start_ns}}
        with translated():
            first = await self._frames.find_one(
                before, _FIELDS, sort=[("t_ns", -1), ("_id", -1)], max_time_ms=_QUERY_MS
            )
            rest = self._frames.find(inside, _FIELDS, limit=limit, batch_size=limit + 1, max_time_ms=_QUERY_MS)
            return ([first] if first is not None else []) + await rest.sort(_ASCENDING).to_list()
