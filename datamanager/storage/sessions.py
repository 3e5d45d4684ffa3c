"""Sessions and streams as ingest makes and widens them."""

from collections.abc import Iterable
from typing import Any

from datamanager.storage.mongo import Document, Mongo, UpdateOne, find_or_make, translated
from datamanager.storage.telemetry import as_date

__all__ = ["Sessions", "Streams"]

_RECORDING = {"status": "recording", "end_time": None}


class Sessions:
    """The collection `sessions`."""

    def __init__(self, mongo: Mongo) -> None:
        self._sessions = mongo.durable("sessions")

    async def open(
        self,
        robot_id: str,
        session_id: str,
        now_ns: int,
        *,
        fresh: dict[str, Any] | None = None,
        reopens: bool = True,
    ) -> Document:
        """A session, made when it is not there, and its status set to `recording`.

        Args:
            robot_id: who records.
            session_id: the recording run.
            now_ns: the server's clock.
            fresh: fields to set besides, such as the `config` and `metadata` that the robot said in its `hello`.
            reopens: whether one that has ended is recording again; else it stays as it is.
        """
        made: dict[str, Any] = {
            "robot_id": robot_id,
            "session_id": session_id,
            "created_ns": now_ns,
            "first_t_ns": None,
            "last_t_ns": None,
            "start_time": None,
            "config": {},
            "metadata": {},
            "tags": [],
            "notes": "",
            "flags": [],
            **_RECORDING,
        }
        values = {**(_RECORDING if reopens else {}), **(fresh or {})}
        made = {name: value for name, value in made.items() if name not in values}
        return await find_or_make(self._sessions, f"{robot_id}/{session_id}", made, values)

    async def widen(self, spans: Iterable[tuple[str, int, int, bool]]) -> None:
        """Widens what sessions span.

        Args:
            spans: `(_id, first_t_ns, last_t_ns, clock_ahead)` of each session, times inclusive.
        """
        updates = [_widening(*span) for span in spans]
        if updates:
            with translated():
                await self._sessions.bulk_write(updates, ordered=False)

    async def end(self, robot_id: str, session_id: str, now_ns: int) -> None:
        """Marks a session as ended; its end is that of its data, or now when it has none."""
        end: Document = {"$ifNull": ["$last_t_ns", now_ns]}
        update: Document = {
            "status": "ended",
            "end_time": {"$toDate": {"$toLong": {"$divide": [end, 1_000_000]}}},
        }
        with translated():
            await self._sessions.update_one({"_id": f"{robot_id}/{session_id}"}, [{"$set": update}])


def _widening(_id: str, first_ns: int, last_ns: int, clock_ahead: bool) -> UpdateOne:  # one of a tuple's fields
    # Null sorts below every number, so $min would keep it: the pipeline form treats it as absent.
    stages: list[Document] = [
        {
            "$set": {
                "first_t_ns": {"$min": [{"$ifNull": ["$first_t_ns", first_ns]}, first_ns]},
                "last_t_ns": {"$max": ["$last_t_ns", last_ns]},
                "start_time": {"$min": [{"$ifNull": ["$start_time", as_date(first_ns)]}, as_date(first_ns)]},
            }
        }
    ]
    if clock_ahead:
        stages.append({"$set": {"flags": {"$setUnion": ["$flags", ["clock_ahead"]]}}})
    return UpdateOne({"_id": _id}, stages)


class Streams:
    """The collection `streams`."""

    def __init__(self, mongo: Mongo) -> None:
        self._streams = mongo.durable("streams")

    async def all_of(self, robot_id: str, session_id: str) -> list[Document]:
        """Every stream of a session."""
        with translated():
            return (
                await self._streams.find({"robot_id": robot_id, "session_id": session_id}).sort("stream", 1).to_list()
            )

    async def get(self, robot_id: str, session_id: str, stream: str) -> Document | None:
        """One stream; None when there is none."""
        with translated():
            return await self._streams.find_one({"_id": f"{robot_id}/{session_id}/{stream}"})

    async def ensure(self, robot_id: str, session_id: str, stream: str, kind: str, now_ns: int) -> Document:
        """A stream, made when it is not there. Its kind may be another one: that is for the caller to refuse."""
        made = {
            "robot_id": robot_id,
            "session_id": session_id,
            "stream": stream,
            "kind": kind,
            "channels": [],
            "schemas": [],
            "max_span_ns": 0,
            "metadata": {},
            "version": 0,
            "created_ns": now_ns,
        }
        return await find_or_make(self._streams, f"{robot_id}/{session_id}/{stream}", made)

    async def replace(self, stream: Document, changes: dict[str, Any]) -> bool:
        """Changes a stream that nobody changed since it was read.

        Returns:
            False when somebody did: read it again.
        """
        with translated():
            result = await self._streams.update_one(
                {"_id": stream["_id"], "version": stream["version"]}, {"$set": changes, "$inc": {"version": 1}}
            )
        return result.matched_count == 1
