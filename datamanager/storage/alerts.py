"""Alerts: one document for each time that a rule fired, which is its history and the outbox of its webhook.

alerts: _id, rule, robot_id, session_id, stream, channel, condition {op, threshold, ...}, severity, state (`firing`,
        `cleared`), since_ns, fired_ns, value, cleared_ns, cleared_value, reason, at_ns (when it was recorded, by the
        server's clock), webhook {url, headers}, outbox {fired, cleared: {state: waiting | sent | failed, tries, error,
        status, at_ns}}, outbox_due_ns (when the outbox is to be looked at; absent when all is said)
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal

from datamanager.storage.alert_rules import AlertRule
from datamanager.storage.alert_states import Place
from datamanager.storage.events import Event
from datamanager.storage.mongo import Document, DuplicateKey, Mongo, translated

__all__ = ["Alerts", "Said", "alert_event", "alert_id_of", "ending_of", "told_turn", "turn_of"]

Said = Literal["fired", "cleared"]
_ID_BYTES = 12
_NEWEST_FIRST = -1
_QUERY_MS = 20_000
_WAITING: Document = {"state": "waiting", "tries": 0}
_KEPT = "rule robot_id session_id stream channel condition severity since_ns webhook".split()
_LEFT_OUT = {"webhook.headers": 0, "outbox_due_ns": 0}


def alert_id_of(rule: AlertRule, place: Place, fired_ns: int) -> str:
    """The id of the alert that a rule's firing is: the same, however often it is found."""
    name = "\0".join((rule.name, rule.condition, *place, str(fired_ns))).encode()
    return blake2b(name, digest_size=_ID_BYTES).hexdigest()


def turn_of(
    rule: AlertRule,
    place: Place,
    said: Said,
    *,
    alert_id: str,
    t_ns: int,
    since_ns: int,
    value: float | None,
    at_ns: int,
) -> Document:
    """A turn as a state owes it: all that is needed to tell it, whatever becomes of the rule.

    Args:
        rule: whose.
        place: of which stream.
        said: what it did.
        alert_id: which alert this begins or ends.
        t_ns: when, by the data's own time.
        since_ns: when the limit was broken first.
        value: that made it so; None where there was none.
        at_ns: now, by the server's clock.
    """
    robot_id, session_id, stream = place
    limits = {"op": rule.op, "threshold": rule.threshold, "low": rule.low, "high": rule.high, "for_s": rule.for_s}
    hook = rule.webhook
    return {
        "said": said,
        "alert_id": alert_id,
        "rule": rule.name,
        "robot_id": robot_id,
        "session_id": session_id,
        "stream": stream,
        "channel": rule.channel,
        "condition": {name: limit for name, limit in limits.items() if limit is not None},
        "severity": rule.severity,
        "t_ns": t_ns,
        "since_ns": since_ns,
        "value": value,
        "at_ns": at_ns,
        "reason": "",
        "webhook": None if hook is None else {"url": hook.url, "headers": dict(hook.headers)},
    }


def ending_of(alert: Mapping[str, Any], *, t_ns: int, at_ns: int, reason: str) -> Document:
    """The turn by which an alert clears for another reason than a value: `rule_changed`, `rule_gone`, `session_ended`.

    Args:
        alert: its document.
        t_ns: the time of the last value.
        at_ns: now, by the server's clock.
        reason: why.
    """
    kept = {name: alert[name] for name in _KEPT}
    said = {"said": "cleared", "alert_id": alert["_id"], "t_ns": t_ns, "at_ns": at_ns, "value": None, "reason": reason}
    return kept | said


def told_turn(alert: Mapping[str, Any], said: Said) -> Document:
    """The turn that an alert's document tells of, as it was recorded."""
    kept: Document = {name: alert[name] for name in _KEPT} | {"said": said, "alert_id": alert["_id"]}
    if said == "fired":
        return kept | {"t_ns": alert["fired_ns"], "value": alert["value"], "reason": ""}
    return kept | {"t_ns": alert["cleared_ns"], "value": alert["cleared_value"], "reason": alert["reason"]}


def alert_event(turn: Mapping[str, Any]) -> Event:
    """The event of a turn, published once however often it is told."""
    names = ("rule", "severity", "channel", "condition", "value")
    data = {name: turn[name] for name in names} | {
        "alert_id": turn["alert_id"],
        "state": "firing" if turn["said"] == "fired" else "cleared",
        "since_ns": str(int(turn["since_ns"])),
    }
    return Event(
        topic="alert_events",
        event_type=f"alert_{turn['said']}",
        t_ns=int(turn["t_ns"]),
        camera_id=turn["stream"],
        robot_id=turn["robot_id"],
        session_id=turn["session_id"],
        data=data | ({"reason": turn["reason"]} if turn["reason"] else {}),
        once=f"{turn['alert_id']}:{turn['said']}",
    )


class Alerts:
    """The collection. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo) -> None:
        self._alerts = mongo.durable("alerts")

    async def record(self, turn: Mapping[str, Any]) -> None:
        """Notes that a rule fired or cleared. Noted again it is noted already."""
        with translated():
            if turn["said"] == "cleared":
                await self._clear(turn)
                return
        try:
            with translated():
                await self._alerts.update_one({"_id": turn["alert_id"]}, {"$setOnInsert": _fired(turn)}, upsert=True)
        except DuplicateKey:  # two noted it in the same moment
            return

    async def _clear(self, turn: Mapping[str, Any]) -> None:
        fields: Document = {
            "state": "cleared",
            "cleared_ns": turn["t_ns"],
            "cleared_value": turn["value"],
            "cleared_at_ns": turn["at_ns"],
            "reason": turn["reason"],
        }
        hooked: Document = {
            "outbox.cleared": _WAITING,
            # What is being sent now is not to be sent by a second one: who is at it looks again.
            "outbox_due_ns": {"$ifNull": ["$outbox_due_ns", turn["at_ns"]]},
        }
        query = {"_id": turn["alert_id"], "state": "firing"}
        literal = {name: {"$literal": value} for name, value in fields.items()}
        await self._alerts.update_one(query | {"webhook": None}, [{"$set": literal}])
        await self._alerts.update_one(query | {"webhook": {"$ne": None}}, [{"$set": literal | hooked}])

    async def get(self, alert_id: str) -> Document | None:
        """One alert; None when there is none."""
        with translated():
            return await self._alerts.find_one({"_id": alert_id})

    async def page(self, wanted: Mapping[str, str], limit: int, after: tuple[int, str] | None) -> list[Document]:
        """Up to `limit` alerts, the youngest first, without what is secret in them.

        Args:
            wanted: field to value, of `state`, `rule`, `robot_id`, `session_id`, `stream`, `severity`.
            limit: how many at most.
            after: `at_ns` and id of the last one of the page before.
        """
        query: Document = dict(wanted)
        if after is not None:
            at_ns, alert_id = after
            query["$or"] = [{"at_ns": {"$lt": at_ns}}, {"at_ns": at_ns, "_id": {"$lt": alert_id}}]
            query["at_ns"] = {"$lte": at_ns}
        with translated():
            found = self._alerts.find(query, _LEFT_OUT, limit=limit, max_time_ms=_QUERY_MS)
            return await found.sort([("at_ns", _NEWEST_FIRST), ("_id", _NEWEST_FIRST)]).to_list()

    # The outbox.

    async def due(self, now_ns: int, limit: int) -> list[str]:
        """Ids of alerts whose outbox is to be looked at, those that wait longest first."""
        with translated():
            found = self._alerts.find({"outbox_due_ns": {"$gt": 0, "$lte": now_ns}}, {"_id": 1})
            return [d["_id"] async for d in found.sort("outbox_due_ns", 1).limit(limit)]

    async def take(self, alert_id: str, now_ns: int, until_ns: int) -> Document | None:
        """An alert whose outbox is due, for the caller alone until then; None when it isn't due, or another one has it."""
        query = {"_id": alert_id, "outbox_due_ns": {"$gt": 0, "$lte": now_ns}}
        with translated():
            return await self._alerts.find_one_and_update(
                query, {"$set": {"outbox_due_ns": until_ns}}, return_document=True
            )

    async def tried(self, alert_id: str, said: Said, outcome: Document, due_ns: int) -> None:
        """Notes what came of a try, and when the outbox is to be looked at again."""
        fields = {f"outbox.{said}.{name}": value for name, value in outcome.items()}
        with translated():
            await self._alerts.update_one({"_id": alert_id}, {"$set": {**fields, "outbox_due_ns": due_ns}})

    async def emptied(self, alert_id: str) -> None:
        """Notes that nothing waits in the outbox, if that is so."""
        nothing = {f"outbox.{said}.state": {"$ne": "waiting"} for said in ("fired", "cleared")}
        with translated():
            await self._alerts.update_one({"_id": alert_id, **nothing}, {"$unset": {"outbox_due_ns": 1}})


def _fired(turn: Mapping[str, Any]) -> Document:
    document: Document = {name: turn[name] for name in (*_KEPT, "value", "at_ns")}
    document |= {"state": "firing", "fired_ns": turn["t_ns"]}
    if turn["webhook"] is not None:
        document |= {"outbox": {"fired": _WAITING}, "outbox_due_ns": turn["at_ns"]}
    return document
