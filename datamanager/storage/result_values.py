"""Values of results that became records, in the order in which they did."""

from datamanager.clock import Clock
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["ResultValues"]

_FIELDS = {"_id": 0, "t_ns": 1, "status": 1, "values": 1, "feed.seq": 1, "at_ns": 1}
_GAP_NS = 30_000_000_000  # numbers are given in bulk: one that is not there by then was lost with whoever gave it


class ResultValues:
    """The collection `results`, as those see it who follow a stream of them.

    Args:
        mongo: where results are.
        clock: tells how long a number has been missing.
    """

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._results = mongo.durable("results")
        self._clock = clock

    async def after(self, place: tuple[str, str, str], seq: int | None, since_ns: int, limit: int) -> list[Document]:
        """The results behind a number; one whose number is not to be seen yet holds back those behind it.

        Args:
            place: robot_id, session_id and result stream.
            seq: number of the last one; None: from the first one on that was written at `since_ns` or later.
            since_ns: the server's clock, Unix nanoseconds.
            limit: most of them.

        Raises:
            MongoUnavailable: MongoDB does not answer.
        """
        robot_id, session_id, output = place
        query: Document = {"robot_id": robot_id, "session_id": session_id, "output": output}
        with translated():
            if seq is None:
                first = await self._results.find_one(
                    query | {"feed.seq": {"$exists": True}, "at_ns": {"$gte": since_ns}},
                    {"feed.seq": 1},
                    sort=[("feed.seq", 1)],
                )
                if first is None:
                    return []
                seq = int(first["feed"]["seq"]) - 1
            query["feed.seq"] = {"$gt": seq}
            found = await self._results.find(query, _FIELDS, limit=limit).sort("feed.seq", 1).to_list()
        old_ns = self._clock.now_ns() - _GAP_NS
        for at, document in enumerate(found):
            if document["feed"]["seq"] != seq + 1 and document["at_ns"] > old_ns:
                return found[:at]
            seq = int(document["feed"]["seq"])
        return found
