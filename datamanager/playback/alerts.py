"""Alert rules and the history of alerts, for people."""

from typing import Any

import msgspec

from datamanager.errors import Refused
from datamanager.playback.pages import DEFAULT_LIMIT, Page, next_cursor
from datamanager.playback.params import parse_int, parse_place
from datamanager.playback.plain_json import plain, timestamp_s
from datamanager.storage.alert_rules import AlertRule, AlertRules, check_rule
from datamanager.storage.alerts import Alerts
from datamanager.storage.mongo import Document

__all__ = ["AlertItem", "AlertPages", "AlertRuleDesk"]

_STATES = ("firing", "cleared")
_MOST_CHARS = 512


class AlertItem(msgspec.Struct, frozen=True, kw_only=True):
    """A time that a rule fired. Times are by the data's own, but for `recorded_ns`; as text, Unix nanoseconds.

    Attributes:
        since_ns: when the limit was broken first.
        fired_ns, cleared_ns: when it fired, and cleared; null while it is firing.
        value, cleared_value: what made it so; null where no value did.
        reason: why it cleared, where no value did: `rule_changed`, `rule_gone`, `session_ended`.
        timestamp: `fired_ns` in seconds.
        recorded_ns: when it was found, by the server's clock.
        condition: what the rule asked for then.
        deliveries: of `fired` and `cleared`, how the call of the webhook goes: {state: waiting | sent | failed, tries, status, error}.
    """

    alert_id: str
    rule: str
    severity: str
    state: str
    robot_id: str
    session_id: str
    stream: str
    channel: str
    condition: dict[str, Any]
    since_ns: str
    fired_ns: str
    timestamp: float
    value: Any
    cleared_ns: str | None
    cleared_value: Any
    reason: str
    recorded_ns: str
    webhook: str | None
    deliveries: dict[str, Any]


class AlertRuleDesk:
    """Answers `/alerts/rules`. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, rules: AlertRules) -> None:
        self._rules = rules

    async def all(self) -> Page[AlertRule]:
        """Every rule, by name, without what is secret in it."""
        return Page(items=[rule.shown() for rule in await self._rules.all()])

    async def one(self, name: str) -> AlertRule:
        """One rule.

        Raises:
            NotFound: there is none of that name.
        """
        return (await self._rules.get(name)).shown()

    async def put(self, name: str, asked: AlertRule) -> AlertRule:
        """Keeps a rule under its name.

        Raises:
            Refused: it makes no sense; the detail names the field.
            Conflict: there are too many.
        """
        if asked.name not in ("", name):
            raise Refused("bad_payload", f"name {asked.name[:64]!r} is not the one in the address, {name[:64]!r}")
        rule = check_rule(msgspec.structs.replace(asked, name=name))
        await self._rules.put(rule)
        return rule.shown()

    async def delete(self, name: str) -> None:
        """Takes a rule away.

        Raises:
            NotFound: there is none of that name.
        """
        await self._rules.delete(name)


class AlertPages:
    """Answers `/alerts`."""

    def __init__(self, alerts: Alerts, *, page_limit: int) -> None:
        self._alerts = alerts
        self._page_limit = page_limit

    async def page(self, *, wanted: dict[str, str | None], limit: str | None, cursor: str | None) -> Page[AlertItem]:
        """A page of alerts, the one that was found last first.

        Args:
            wanted: field to value, of `state`, `rule`, `robot_id`, `session_id`, `stream`, `severity`; None does not filter.
            limit: how many at most.
            cursor: of the page before.

        Raises:
            Refused: a parameter cannot be read.
            MongoUnavailable: MongoDB does not answer.
        """
        fields = {name: value for name, value in wanted.items() if value is not None}
        if fields.get("state", "firing") not in _STATES:
            raise Refused("wrong_type", f"state {fields['state'][:32]!r} is none of {', '.join(_STATES)}")
        for name, value in fields.items():
            if len(value) > _MOST_CHARS:
                raise Refused("wrong_type", f"{name} has more than {_MOST_CHARS} characters")
        count = parse_int(limit, "limit", default=DEFAULT_LIMIT, most=self._page_limit)
        after = parse_place(cursor)
        found = await self._alerts.page(fields, count + 1, after)
        following = next_cursor(found, count, lambda d: (int(d["at_ns"]), d["_id"]))
        return Page(items=[_item(d) for d in found[:count]], next_cursor=following)


def _item(document: Document) -> AlertItem:
    cleared_ns = document.get("cleared_ns")
    hook = document["webhook"]
    return AlertItem(
        alert_id=document["_id"],
        rule=document["rule"],
        severity=document["severity"],
        state=document["state"],
        robot_id=document["robot_id"],
        session_id=document["session_id"],
        stream=document["stream"],
        channel=document["channel"],
        condition=plain(document["condition"]),
        since_ns=str(int(document["since_ns"])),
        fired_ns=str(int(document["fired_ns"])),
        timestamp=timestamp_s(int(document["fired_ns"])),
        value=plain(document["value"]),
        cleared_ns=None if cleared_ns is None else str(int(cleared_ns)),
        cleared_value=plain(document.get("cleared_value")),
        reason=document.get("reason", ""),
        recorded_ns=str(int(document["at_ns"])),
        webhook=None if hook is None else hook["url"],
        deliveries=plain({said: _delivery(told) for said, told in document.get("outbox", {}).items()}),
    )


def _delivery(told: Document) -> Document:
    return {name: value for name, value in told.items() if name != "at_ns"}
