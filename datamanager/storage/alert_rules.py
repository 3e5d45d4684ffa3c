"""Alert rules: a condition on one channel of streams, and whom to tell when it begins to hold and ceases."""

import ipaddress
import math
import re
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from datamanager.clock import Clock
from datamanager.errors import Conflict, NotFound, Refused
from datamanager.storage.mongo import Document, Mongo, translated

__all__ = ["AlertRule", "AlertRules", "Op", "Severity", "Webhook", "check_rule", "check_url"]

Op = Literal[">", ">=", "<", "<=", "==", "!=", "outside", "absent"]
Severity = Literal["info", "warning", "critical"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,1024}")
_OURS = frozenset("host content-length content-type transfer-encoding connection idempotency-key".split())
_MOST_RULES = 1000
_MOST_HEADERS = 32
_MOST_CHARS = 512
_MOST_FOR_S = 7 * 86400.0
_SHOWN_HEADER = "***"


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is called: `POST` of the event as JSON.

    Attributes:
        url: http or https.
        headers: sent along, for a token; they are never shown again.
    """

    url: str
    headers: dict[str, str] = {}


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule.

    Attributes:
        name: unique; `[A-Za-z0-9._-]{1,64}`.
        robot_id, session_id, stream: shell patterns (`*`, `front/*`).
        channel: of a time_series stream; of a stream of detections `count` or `counts.car`.
        op: how a value is compared with `threshold`; `outside`: it is below `low` or above `high`; `absent`: no value
            arrived for `for_s` seconds while the session was being recorded.
        for_s: how long, by the data's own time, every value must be so until it fires.
        hysteresis: how far back beyond the threshold a value must go until it clears.
        severity: for people.
        webhook: who is called when it fires and when it clears.
        enabled: whether it holds.
        about: one line for people.
    """

    name: str = ""
    robot_id: str = "*"
    session_id: str = "*"
    stream: str = "*"
    channel: str
    op: Op
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    for_s: float = 0.0
    hysteresis: float = 0.0
    severity: Severity = "warning"
    webhook: Webhook | None = None
    enabled: bool = True
    about: str = ""

    @property
    def for_ns(self) -> int:
        """`for_s` in nanoseconds."""
        return round(self.for_s * 1e9)

    @property
    def condition(self) -> str:
        """The same for rules that judge values alike: when it changes, what was judged before counts no more."""
        judged = (self.channel, self.op, self.threshold, self.low, self.high, self.for_s, self.hysteresis)
        return blake2b(repr(judged).encode(), digest_size=8).hexdigest()

    def matches(self, robot_id: str, session_id: str, stream: str) -> bool:
        """Whether it holds for this stream."""
        return self.matches_session(robot_id, session_id) and fnmatchcase(stream, self.stream)

    def matches_session(self, robot_id: str, session_id: str) -> bool:
        """Whether it holds for any stream of this session."""
        return self.enabled and fnmatchcase(robot_id, self.robot_id) and fnmatchcase(session_id, self.session_id)

    def shown(self) -> "AlertRule":
        """The rule without what is secret in it."""
        if self.webhook is None:
            return self
        hidden = Webhook(url=self.webhook.url, headers=dict.fromkeys(self.webhook.headers, _SHOWN_HEADER))
        return msgspec.structs.replace(self, webhook=hidden)


def check_rule(rule: AlertRule) -> AlertRule:
    """The rule, if it makes sense.

    Raises:
        Refused: `bad_payload` or `bad_id`; the detail names the field.
    """
    if not _NAME.fullmatch(rule.name) or rule.name in (".", ".."):
        raise Refused("bad_id", "a rule's name has 1 to 64 letters, digits, dots, dashes and underscores")
    for name in ("robot_id", "session_id", "stream", "channel", "about"):
        if len(getattr(rule, name)) > _MOST_CHARS:
            raise _bad(f"{name} has more than {_MOST_CHARS} characters")
    if not rule.channel:
        raise _bad("channel is empty")
    _check_numbers(rule)
    if not 0 <= rule.for_s <= _MOST_FOR_S or (rule.op == "absent" and rule.for_s < 1):
        raise _bad(f"for_s is from {'1' if rule.op == 'absent' else '0'} to {_MOST_FOR_S:g} seconds")
    _check_hysteresis(rule)
    if rule.webhook is not None:
        _check_webhook(rule.webhook)
    return rule


def _check_numbers(rule: AlertRule) -> None:
    numbers = {name: getattr(rule, name) for name in ("threshold", "low", "high")}
    wanted = {"outside": {"low", "high"}, "absent": set()}.get(rule.op, {"threshold"})
    for name, value in numbers.items():
        if (value is not None) != (name in wanted):
            raise _bad(f"{name} {'is missing' if name in wanted else 'means nothing'} with op {rule.op!r}")
        if value is not None and not math.isfinite(value):
            raise _bad(f"{name} is no finite number")
    if rule.low is not None and rule.high is not None and rule.low > rule.high:
        raise _bad("low is above high")


def _check_hysteresis(rule: AlertRule) -> None:
    if not (rule.hysteresis >= 0 and math.isfinite(rule.hysteresis)):
        raise _bad("hysteresis is a number from 0 on")
    if rule.hysteresis and rule.op in ("==", "!=", "absent"):
        raise _bad(f"hysteresis means nothing with op {rule.op!r}")
    if rule.low is not None and rule.high is not None and 2 * rule.hysteresis > rule.high - rule.low:
        raise _bad("with so much hysteresis nothing between low and high would clear it")


def _check_webhook(webhook: Webhook) -> None:
    check_url(webhook.url)
    if len(webhook.headers) > _MOST_HEADERS:
        raise _bad(f"webhook has more than {_MOST_HEADERS} headers")
    for name, value in webhook.headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OURS:
            raise _bad(f"webhook cannot send a header {name[:64]!r}")
        if not _HEADER_VALUE.fullmatch(value):
            raise _bad(f"webhook cannot send such a value of {name!r}")


def check_url(url: str) -> SplitResult:
    """The parts of a webhook's address.

    Raises:
        Refused: `bad_payload` when it is none.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if ":" in host:
            ipaddress.IPv6Address(host.partition("%")[0])
        else:
            host.encode("idna")
    except (ValueError, UnicodeError) as exc:
        raise _bad(f"webhook.url is no address: {exc}") from exc
    if len(url) > 2 * _MOST_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise _bad("webhook.url has characters that an address cannot have, or too many")
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise _bad("webhook.url must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise _bad("webhook.url names a user: put what proves you into headers")
    return parts


def _bad(detail: str) -> Refused:
    return Refused("bad_payload", f"the rule: {detail}")


class AlertRules:
    """The collection `alert_rules`. Every method raises `MongoUnavailable` when MongoDB does not answer."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self._rules = mongo.durable("alert_rules")
        self._clock = clock

    async def all(self) -> list[AlertRule]:
        """Every rule, by name."""
        with translated():
            return [_rule(d) async for d in self._rules.find({}).sort("_id", 1)]

    async def enabled(self) -> list[tuple[AlertRule, int]]:
        """The rules that hold, and since when: Unix nanoseconds of when they were put last."""
        with translated():
            return [
                (_rule(d), int(d["since_ns"])) async for d in self._rules.find({"rule.enabled": True}).sort("_id", 1)
            ]

    async def get(self, name: str) -> AlertRule:
        """One rule.

        Raises:
            NotFound: there is none of that name.
        """
        with translated():
            found = await self._rules.find_one({"_id": name})
        if found is None:
            raise NotFound(f"there is no alert rule {name[:64]!r}")
        return _rule(found)

    async def put(self, rule: AlertRule) -> None:
        """Makes or replaces a rule; it holds for what comes in from now on.

        Raises:
            Conflict: there are too many rules.
        """
        with translated():
            known = await self._rules.find_one({"_id": rule.name}, {"_id": 1})
            if known is None and await self._rules.estimated_document_count() >= _MOST_RULES:
                raise Conflict(f"there are {_MOST_RULES} alert rules already")
            document = {"rule": msgspec.to_builtins(rule), "since_ns": self._clock.now_ns()}
            await self._rules.replace_one({"_id": rule.name}, document, upsert=True)

    async def delete(self, name: str) -> None:
        """Takes a rule away; what it has fired is cleared.

        Raises:
            NotFound: there is none of that name.
        """
        with translated():
            result = await self._rules.delete_one({"_id": name})
        if not result.deleted_count:
            raise NotFound(f"there is no alert rule {name[:64]!r}")


def _rule(document: Document) -> AlertRule:
    return msgspec.convert(document["rule"], AlertRule)
