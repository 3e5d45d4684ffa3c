"""How each alert rule stands with each stream: changed by compare-and-set, so that two workers never both go on.

A state holds, in one document, how far the stream was judged, how the rule stands, and the turns (it fired, it cleared)
that are not told yet: what is told and what is judged can't part, whatever dies in between.

    alert_states: _id `rule/robot/session/stream`, rule, robot_id, session_id, stream, stamp (+1 with each change),
                  condition and put_ns (of the rule that judges), position (of the stream), phase, since_ns, last_ns, alert_id (while
                  firing), heard_ns (when values came last, by the server's clock), owed (turns to be told), owed_ns
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from datamanager.storage.alert_rules import AlertRule
from datamanager.storage.mongo import Document, DuplicateKey, Mongo, translated

__all__ = ["AlertState", "AlertStates", "Phase", "Place"]

Phase = Literal["ok", "pending", "firing"]
Place = tuple[str, str, str]
"""robot_id, session_id and stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """How a rule stands with a stream; fields as in the module's words.

    Attributes:
        stamp: 0 before it is written first.
        position: where the stream is read on, as its source has it; None before the first reading.
        owed: turns that are not told yet, in their order, as `storage.alerts` takes them.
    """

    rule: str
    place: Place
    condition: str
    put_ns: int
    stamp: int = 0
    position: Any = None
    phase: Phase = "ok"
    since_ns: int = 0
    last_ns: int = -1
    alert_id: str = ""
    heard_ns: int = 0
    owed: list[Document] = field(default_factory=list)

    @property
    def id(self) -> str:
        """`_id` of its document."""
        return "/".join((self.rule, *self.place))


class AlertStates:
    """The collection. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._states = mongo.durable("alert_states")

    async def of(self, place: Place) -> dict[str, AlertState]:
        """The states of a stream, by the rule's name."""
        query = dict(zip(("robot_id", "session_id", "stream"), place, strict=True))
        with translated():
            return {d["rule"]: _state(d) async for d in self._states.find(query)}

    async def swap(self, before: AlertState, after: AlertState, now_ns: int) -> AlertState | None:
        """Writes a state, if nobody has changed it since it was read.

        Returns:
            As it is written; None where somebody was quicker: it is to be read again.
        """
        after = replace(after, stamp=before.stamp + 1)
        document = _document(after, now_ns)
        try:
            with translated():
                if before.stamp:
                    result = await self._states.replace_one({"_id": before.id, "stamp": before.stamp}, document)
                    return after if result.matched_count else None
                await self._states.insert_one({"_id": before.id, **document})
        except DuplicateKey:
            return None
        return after

    async def owing(self, before_ns: int, limit: int) -> list[Place]:
        """Streams whose turns were not told by then, as they should have been."""
        query: Document = {"owed_ns": {"$gt": 0, "$lt": before_ns}}
        with translated():
            return [_place(d) async for d in self._states.find(query, _PLACE).sort("owed_ns", 1).limit(limit)]

    async def firing(self) -> AsyncIterator[AlertState]:
        """Every state that is firing."""
        with translated():
            async for document in self._states.find({"phase": "firing"}):
                yield _state(document)

    async def silent(self, rule: AlertRule, now_ns: int, limit: int) -> list[AlertState]:
        """States of a rule on absence with no value for longer than it allows, by the server's clock."""
        query = {"rule": rule.name, "phase": "ok", "heard_ns": {"$gt": 0, "$lte": now_ns - rule.for_ns}}
        with translated():
            return [_state(d) async for d in self._states.find(query).limit(limit)]


_PLACE = {"robot_id": 1, "session_id": 1, "stream": 1}


def _place(document: Document) -> Place:
    return document["robot_id"], document["session_id"], document["stream"]


def _document(state: AlertState, now_ns: int) -> Document:
    robot_id, session_id, stream = state.place
    return {
        "rule": state.rule,
        "robot_id": robot_id,
        "session_id": session_id,
        "stream": stream,
        "condition": state.condition,
        "put_ns": state.put_ns,
        "stamp": state.stamp,
        "position": state.position,
        "phase": state.phase,
        "since_ns": state.since_ns,
        "last_ns": state.last_ns,
        "alert_id": state.alert_id,
        "heard_ns": state.heard_ns,
        "owed": state.owed,
        "owed_ns": now_ns if state.owed else 0,
    }


def _state(document: Document) -> AlertState:
    return AlertState(
        rule=document["rule"],
        place=_place(document),
        condition=document["condition"],
        put_ns=int(document["put_ns"]),
        stamp=int(document["stamp"]),
        position=document["position"],
        phase=document["phase"],
        since_ns=int(document["since_ns"]),
        last_ns=int(document["last_ns"]),
        alert_id=document["alert_id"],
        heard_ns=int(document["heard_ns"]),
        owed=document["owed"],
    )
