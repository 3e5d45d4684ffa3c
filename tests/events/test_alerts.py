"""Rules fire and clear once, on real servers, and whom they name is told."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from support.processes import datamanager_worker, served
from support.webhooks import Target, webhook_target

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.storage.mongo import open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.results import Result, ResultStore

S = 1_000_000_000
START = 1_750_000_000


@pytest.fixture(scope="module")
def stage_config(new_config: Callable[[], Config]) -> Config:
    config = new_config()
    events = replace(config.events, webhook_private="allow", webhook_timeout_s=1.0, webhook_tries=3)
    return replace(config, events=events, worker=replace(config.worker, sweep_interval_s=1.0))


@pytest.fixture(scope="module")
def url(stage_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server and two workers."""
    logs = tmp_path_factory.mktemp("alerts")
    with ExitStack() as stack:
        found = stack.enter_context(served(stage_config, log=logs / "serve.log"))
        for n in range(2):
            stack.enter_context(datamanager_worker(stage_config, log=logs / f"worker{n}.log"))
        yield f"{found}/api/v1"


@pytest.fixture
async def redis(stage_config: Config) -> AsyncIterator[Redis]:
    async with open_redis(stage_config.redis) as opened:
        yield opened


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with webhook_target() as found:
        yield found


@dataclass
class Fleet:
    """One robot, its rules, and what came of them."""

    http: httpx.AsyncClient
    robot: str = field(default_factory=lambda: f"a{uuid.uuid4().hex[:8]}")
    seq: int = 0

    async def rule(self, name: str = "hot", **more: Any) -> str:
        """Puts a rule for this robot alone; gives its name."""
        body = {"robot_id": self.robot, "channel": "t", "op": ">", "threshold": 50} | more
        answer = await self.http.put(f"/alerts/rules/{self.robot}-{name}", json=body)
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(1.1)  # the server looks at its rules every second
        return f"{self.robot}-{name}"

    async def send(self, values: list[float | None], *, at_s: float, stream: str = "temp", **more: Any) -> None:
        """Sends samples of channel `t`, one a second; durable on return."""
        t_ns = [round((START + at_s + n) * S) for n in range(len(values))]
        message = {
            "data_type": "time_series",
            "stream": stream,
            "seq": self.seq,
            "payload": {"t_ns": t_ns, "channels": {"t": values}},
        } | more
        self.seq += 1
        hello = {"type": "hello", "robot_id": self.robot, "session_id": "s", "producer": "p"}
        body = "".join(json.dumps(line) + "\n" for line in (hello, message))
        headers = {"content-type": "application/x-ndjson"}
        answer = await self.http.post("/ingest", content=body, headers=headers)
        assert answer.json()["rejected"] == 0, answer.text

    async def alerts(self, **query: Any) -> list[Any]:
        answer = await self.http.get("/alerts", params={"robot_id": self.robot} | query)
        found: list[Any] = answer.json()["items"]
        return found

    async def until(self, count: int, timeout_s: float = 20, **query: Any) -> list[Any]:
        """The alerts, once there are so many."""
        give_up_s = time.monotonic() + timeout_s
        while len(found := await self.alerts(**query)) != count:
            assert time.monotonic() < give_up_s, found
            await asyncio.sleep(0.05)
        return found

    async def events(self, count: int, types: str = "alert_events") -> list[Any]:
        """The events, once there are so many: they are told after they are recorded."""
        give_up_s = time.monotonic() + 10
        while True:
            answer = await self.http.get("/events", params={"robot_id": self.robot, "types": types})
            found: list[Any] = answer.json()["items"]
            if len(found) == count or time.monotonic() > give_up_s:
                return found
            await asyncio.sleep(0.05)


@pytest.fixture
async def fleet(url: str) -> AsyncIterator[Fleet]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        yield Fleet(http)


async def test_a_rule_fires_and_clears_once_and_tells_of_it_everywhere(fleet: Fleet, target: Target) -> None:
    hook = {"url": f"{target.url}/hook", "headers": {"Authorization": "Bearer secret"}}
    name = await fleet.rule(for_s=2, hysteresis=5, severity="critical", webhook=hook)
    await fleet.send([20, 60, 61], at_s=0)
    await asyncio.sleep(0.5)
    assert await fleet.alerts() == []
    await fleet.send([62, 63, 48], at_s=3)
    [alert] = await fleet.until(1, state="firing")
    assert (alert["rule"], alert["severity"], alert["stream"], alert["channel"]) == (name, "critical", "temp", "t")
    assert (alert["since_ns"], alert["fired_ns"], alert["value"]) == (
        f"{START + 1}{'0' * 9}",
        f"{START + 3}{'0' * 9}",
        62.0,
    )
    await fleet.send([44, 44], at_s=6)
    [alert] = await fleet.until(1, state="cleared")
    assert (alert["cleared_ns"], alert["cleared_value"], alert["reason"]) == (f"{START + 6}{'0' * 9}", 44.0, "")
    first, second = await target.until("/hook", 2)
    assert [call.body["event_type"] for call in (first, second)] == ["alert_fired", "alert_cleared"]
    assert first.headers["authorization"] == "Bearer secret"
    assert first.headers["idempotency-key"] == f"{alert['alert_id']}:fired"
    body = first.body
    assert (body["robot_id"], body["camera_id"], body["timestamp"]) == (fleet.robot, "temp", START + 3.0)
    assert (body["data"]["state"], body["data"]["value"], body["data"]["rule"]) == ("firing", 62.0, name)
    told = await fleet.events(2)
    assert [event["event_type"] for event in told] == ["alert_fired", "alert_cleared"]
    assert told[0]["data"] == body["data"]
    assert "secret" not in json.dumps([await fleet.alerts(), told])
    assert len(target.calls) == 2


async def test_episodes_are_alerts_of_their_own_paged_with_the_youngest_first(fleet: Fleet) -> None:
    await fleet.rule()
    for n in range(5):
        await fleet.send([60, 20], at_s=10 * n)
    whole = await fleet.until(5, state="cleared")
    assert len({alert["alert_id"] for alert in whole}) == 5
    found, cursor = [], None
    while True:
        query = {"robot_id": fleet.robot, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await fleet.http.get("/alerts", params=query)).json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole
    assert len(await fleet.events(10)) == 10


async def test_more_turns_than_a_state_may_owe_are_all_told(fleet: Fleet) -> None:
    await fleet.rule()
    await fleet.send([60, 20] * 260, at_s=0)
    assert len(await fleet.until(260, state="cleared", limit=1000)) == 260


async def test_missing_values_and_other_streams_and_channels_fire_nothing(fleet: Fleet) -> None:
    await fleet.rule(stream="temp", for_s=1)
    await fleet.send([60, None, None], at_s=0)
    await fleet.send([99, 99, 99], at_s=0, stream="other")
    await fleet.send([60], at_s=3)
    [alert] = await fleet.until(1)
    assert (alert["stream"], alert["fired_ns"]) == ("temp", f"{START + 3}{'0' * 9}")


async def test_what_was_there_long_before_a_rule_fires_nothing_but_a_changed_rule_goes_on(fleet: Fleet) -> None:
    name = await fleet.rule(threshold=100)
    await fleet.send([60, 60], at_s=0)
    await asyncio.sleep(1)
    await fleet.rule(threshold=50)
    await fleet.send([70], at_s=2)
    [alert] = await fleet.until(1)
    assert alert["value"] == 70.0  # what the rule had judged before it was changed is not judged again
    await fleet.rule(threshold=65)
    await fleet.send([71], at_s=3)
    second, first = await fleet.until(2)
    assert (first["state"], first["reason"], first["rule"]) == ("cleared", "rule_changed", name)
    assert (second["state"], second["value"]) == ("firing", 71.0)


async def test_a_rule_that_is_taken_away_or_disabled_clears_what_it_has_fired(fleet: Fleet) -> None:
    one, other = await fleet.rule("one"), await fleet.rule("other")
    await fleet.send([60], at_s=0)
    await fleet.until(2, state="firing")
    assert (await fleet.http.delete(f"/alerts/rules/{one}")).status_code == 204
    await fleet.rule("other", enabled=False)
    ended = await fleet.until(2, state="cleared")
    assert {(alert["rule"], alert["reason"]) for alert in ended} == {(one, "rule_gone"), (other, "rule_gone")}
    assert (await fleet.http.get(f"/alerts/rules/{one}")).status_code == 404
    assert (await fleet.http.delete(f"/alerts/rules/{one}")).status_code == 404


async def test_silence_fires_by_the_servers_clock_and_any_value_or_the_end_clears(fleet: Fleet) -> None:
    await fleet.rule(op="absent", threshold=None, for_s=1)
    await fleet.send([1], at_s=0)
    [alert] = await fleet.until(1, state="firing")
    assert (alert["fired_ns"], alert["value"]) == (f"{START + 1}{'0' * 9}", None)
    await fleet.send([2], at_s=60)
    [alert] = await fleet.until(1, state="cleared")
    assert (alert["cleared_ns"], alert["reason"]) == (f"{START + 60}{'0' * 9}", "")
    await fleet.until(1, state="firing")
    hello = {"type": "hello", "robot_id": fleet.robot, "session_id": "s", "producer": "p"}
    body = "".join(json.dumps(line) + "\n" for line in (hello, {"type": "bye"}))
    await fleet.http.post("/ingest", content=body, headers={"content-type": "application/x-ndjson"})
    ended = await fleet.until(2, state="cleared")
    assert ended[0]["reason"] == "session_ended"


async def test_a_webhook_that_fails_is_tried_again_in_order_under_one_key(fleet: Fleet, target: Target) -> None:
    target.answers["/flaky"] = lambda n: 500 if n <= 2 else 200
    await fleet.rule(webhook={"url": f"{target.url}/flaky"})
    await fleet.send([60, 20], at_s=0)
    calls = await target.until("/flaky", 4)
    keys = [call.headers["idempotency-key"].partition(":")[2] for call in calls]
    assert keys == ["fired", "fired", "fired", "cleared"]
    assert len({call.headers["idempotency-key"] for call in calls}) == 2
    await asyncio.sleep(0.3)
    [alert] = await fleet.alerts()
    assert {said: (d["state"], d["tries"]) for said, d in alert["deliveries"].items()} == {
        "fired": ("sent", 3),
        "cleared": ("sent", 1),
    }


async def test_a_webhook_that_never_works_is_given_up_and_says_why(fleet: Fleet, target: Target) -> None:
    target.answers["/never"] = lambda _: 503
    await fleet.rule(webhook={"url": f"{target.url}/never"})
    await fleet.send([60], at_s=0)
    await target.until("/never", 3)
    await asyncio.sleep(0.5)
    [alert] = await fleet.alerts()
    assert alert["deliveries"]["fired"] == {"state": "failed", "tries": 3, "status": 503, "error": "the answer was 503"}
    assert len(target.calls) == 3


async def test_counts_of_detections_fire_rules_too(fleet: Fleet, stage_config: Config, redis: Redis) -> None:
    await fleet.rule("cars", stream="*/detections", channel="counts.car", op=">=", threshold=2, for_s=1)
    await fleet.send([1], at_s=0)  # makes the session
    counts = [0, 2, 3, 3, None, 0]
    async with open_mongo(stage_config.mongo) as mongo:
        store = ResultStore(mongo, redis, SystemClock())
        for n, cars in enumerate(counts):
            values: dict[str, float | int | str] = (
                {} if cars is None else {"count": cars} | ({"counts.car": cars} if cars else {})
            )
            result = Result(
                of=f"{fleet.robot}{n}",
                enrichment="boxes",
                robot_id=fleet.robot,
                session_id="s",
                stream="front",
                output="front/detections",
                t_ns=(START + n) * S,
                model="m",
                version="1",
                task="detect",
                status="failed" if cars is None else "ok",
                boxes=[{"class": "car", "class_id": 0, "score": 0.9, "box": [0, 0, 1, 1]}] * (cars or 0),
                values=values,
            )
            await store.write([result])
    [alert] = await fleet.until(1, state="cleared")
    assert (alert["since_ns"], alert["fired_ns"], alert["cleared_ns"]) == tuple(
        f"{START + n}{'0' * 9}" for n in (1, 2, 5)
    )
    assert (alert["value"], alert["cleared_value"], alert["stream"]) == (3.0, 0.0, "front/detections")
    told = await fleet.events(3, "detection")
    assert [event["data"]["count"] for event in told] == [2, 3, 3]
    assert {event["camera_id"] for event in told} == {"front"}


async def test_bad_rules_and_queries_are_refused_by_name(fleet: Fleet) -> None:
    for body in ({}, {"channel": "t", "op": "~"}, {"channel": "t", "op": ">"}, {"channel": "t", "op": ">", "x": 1}):
        answer = await fleet.http.put("/alerts/rules/bad", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    for query in ("state=x", "limit=0", "cursor=x", "rule=" + "x" * 513):
        assert (await fleet.http.get(f"/alerts?{query}")).status_code == 400
    listed = (await fleet.http.get("/alerts/rules")).json()["items"]
    assert "bad" not in [rule["name"] for rule in listed]


async def test_rules_outlive_a_wiped_redis(fleet: Fleet, redis: Redis) -> None:
    await fleet.rule()
    await fleet.send([20], at_s=0)
    await redis.client.flushdb()
    await fleet.send([60], at_s=1)
    await redis.client.flushdb()  # the job is gone, or is being done: the sweep finds what it was to do
    await fleet.until(1, state="firing", timeout_s=45)
