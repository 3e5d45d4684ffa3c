"""A judge that dies at any point, or is one of many, fires and clears what one that lives alone does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from support.blocks import Message, StreamOfBlocks, block_of
from support.manual_clock import ManualClock

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.storage.alert_jobs import alerts_job
from datamanager.storage.alert_rules import AlertRule, AlertRules, Webhook
from datamanager.storage.alert_states import AlertStates
from datamanager.storage.alerts import Alerts
from datamanager.storage.events import TOPICS, EventLog
from datamanager.storage.floors import Floors
from datamanager.storage.follow import Follower
from datamanager.storage.migrations import apply_migrations
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.result_values import ResultValues
from datamanager.storage.sessions import Streams
from datamanager.storage.telemetry import Telemetry
from datamanager.worker.alerts.judge import AlertJudge

S = 1_000_000_000
NOW_S = 1_800_000_000
GENERATION = NOW_S + 5


class Died(Exception):
    """Whoever did it is gone."""


class Mortal:
    """A store that dies before or after one of its writes, counted over all that share a fuse."""

    def __init__(self, inner: Any, fuse: "Fuse", deadly: tuple[str, ...]) -> None:
        self._inner = inner
        self._fuse = fuse
        self._deadly = deadly

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in self._deadly:
            return method

        async def called(*args: Any, **more: Any) -> Any:
            self._fuse.burn()
            answer = await method(*args, **more)
            self._fuse.burn()
            return answer

        return called


@dataclass
class Fuse:
    left: int

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Died


@dataclass
class Bench:
    mongo: Mongo
    redis: Redis
    clock: ManualClock

    def judge(self, fuse: Fuse | None = None) -> AlertJudge:
        fuse = fuse or Fuse(-1)
        states = Mortal(AlertStates(self.mongo), fuse, ("swap",))
        alerts = Mortal(Alerts(self.mongo), fuse, ("record",))
        events = Mortal(EventLog(self.redis, SystemClock(), kept=10_000), fuse, ("publish",))
        streams = Streams(self.mongo)
        follower = Follower(Telemetry(self.mongo), streams, Floors(self.mongo), self.clock)
        rules = AlertRules(self.mongo, self.clock)
        results = ResultValues(self.mongo, self.clock)
        parts: tuple[Any, ...] = (rules, states, alerts, events, streams, follower, results, self.clock)
        return AlertJudge(*parts)

    async def told(self, robot_id: str = "r") -> list[tuple[str, str]]:
        """(alert, what it did) of all events, in order."""
        await asyncio.sleep(0.003)
        found = await EventLog(self.redis, SystemClock(), kept=10_000).page(TOPICS, (0, 0, 0), 10_000)
        return [
            (msgspec.json.decode(e.data)["alert_id"], e.event_type) for _, e in found.events if e.robot_id == robot_id
        ]


@pytest.fixture
async def bench(new_config: Callable[[], Config]) -> AsyncIterator[Bench]:
    config = new_config()
    clock = ManualClock(NOW_S * S)
    async with open_mongo(config.mongo) as mongo, open_redis(config.redis) as redis:
        await apply_migrations(mongo)
        yield Bench(mongo, redis, clock)


async def put(bench: Bench, **more: Any) -> AlertRule:
    fields: dict[str, Any] = {"name": "hot", "channel": "v", "op": ">", "threshold": 1.0} | more
    rule = AlertRule(**fields)
    await AlertRules(bench.mongo, bench.clock).put(rule)
    return rule


async def write(stream: StreamOfBlocks, seq: int, values: list[float], start_s: float, **more: Any) -> None:
    times = [round((start_s + n) * S) for n in range(len(values))]
    message = Message(seq, times, {"v": values})
    await stream.write(block_of([message], stream.place, **({"generation": GENERATION} | more)))


async def test_a_judge_that_dies_anywhere_tells_of_each_turn_once(bench: Bench) -> None:
    await put(bench, webhook=Webhook(url="http://example.org/"))
    points = 0
    for n in range(1, 200):
        stream = StreamOfBlocks(bench.mongo)
        await write(stream, 0, [0, 2, 2, 0], 10)
        fuse, deaths = Fuse(n), 0
        for block in range(1, 3):  # a second one comes in while it is dead
            try:
                await bench.judge(fuse).judge(stream.place)
            except Died:
                deaths += 1
            await write(stream, block, [2, 0] if block == 1 else [0], 20 * block)
        await bench.judge().judge(stream.place)
        await bench.judge().judge(stream.place)
        found = await Alerts(bench.mongo).page({"session_id": stream.place[1]}, 10, None)
        assert sorted((d["state"], d["fired_ns"] // S, d["cleared_ns"] // S) for d in found) == [
            ("cleared", 11, 13),
            ("cleared", 20, 21),
        ], f"died at {n}"
        assert all(d["outbox"]["fired"]["state"] == d["outbox"]["cleared"]["state"] == "waiting" for d in found)
        if not deaths:
            break
        points += 1
    assert points >= 8
    told = await bench.told()
    assert len(told) == len(set(told)) == 4 * (points + 1)


async def test_many_judges_at_once_are_as_one(bench: Bench) -> None:
    await put(bench)
    stream = StreamOfBlocks(bench.mongo)
    for seq in range(40):
        await write(stream, seq, [2, 0], 10 * seq)
        if seq % 10 == 9:
            await asyncio.gather(*(bench.judge().judge(stream.place) for _ in range(6)))
    found = await Alerts(bench.mongo).page({"state": "cleared"}, 100, None)
    assert sorted(d["fired_ns"] // (10 * S) for d in found) == list(range(40))
    told = await bench.told()
    assert len(told) == len(set(told)) == 80


async def test_jobs_that_come_while_their_stream_is_being_judged_are_done_by_whoever_does_that(bench: Bench) -> None:
    await put(bench)
    stream, judge = StreamOfBlocks(bench.mongo), bench.judge()
    job = alerts_job(stream.place)

    jobs: list[asyncio.Task[None]] = []
    for seq in range(30):
        await write(stream, seq, [2, 0], 10 * seq)
        jobs.append(asyncio.create_task(judge(job)))
    await asyncio.gather(*jobs)
    assert len(await Alerts(bench.mongo).page({"state": "cleared"}, 100, None)) == 30
    dying = bench.judge(Fuse(1))
    await write(stream, 30, [2], 300)
    with pytest.raises(Died):
        await asyncio.gather(dying(job), dying(job))
    await dying(job)  # what failed leaves nothing behind that would keep it from being tried again
    assert len(await Alerts(bench.mongo).page({"state": "firing"}, 100, None)) == 1


async def test_late_blocks_are_not_judged_and_two_producers_of_one_reading_are_in_their_times_order(
    bench: Bench,
) -> None:
    await put(bench, for_s=3)
    stream = StreamOfBlocks(bench.mongo)
    await write(stream, 0, [2, 2], 10)
    await write(stream, 0, [0, 0], 10.5, producer="q")
    await bench.judge().judge(stream.place)
    await write(stream, 1, [2, 2, 2, 2], 0)  # older than what was judged
    await write(stream, 2, [2, 2, 2], 12)
    await bench.judge().judge(stream.place)
    assert await bench.told() == []
    await write(stream, 3, [2], 15)
    await bench.judge().judge(stream.place)
    assert [d["since_ns"] // S for d in await Alerts(bench.mongo).page({}, 10, None)] == [12]


async def test_words_are_no_values_and_booleans_and_integers_are(bench: Bench) -> None:
    await put(bench, threshold=0.5)
    for n, values in enumerate(([True, False], [2**40, 0], ["9", "x"])):
        stream = StreamOfBlocks(bench.mongo, ("r", f"kind{n}", "x"))
        await write(stream, 0, values, 10)  # type: ignore[arg-type]  # what is tried
        await bench.judge().judge(stream.place)
    found = await Alerts(bench.mongo).page({}, 10, None)
    assert sorted(d["session_id"] for d in found) == ["kind0", "kind1"]


async def test_a_rule_put_again_as_it_was_goes_on_and_while_disabled_nothing_counts(bench: Bench) -> None:
    rule = await put(bench)
    stream = StreamOfBlocks(bench.mongo)
    await write(stream, 0, [2], 10)
    await bench.judge().judge(stream.place)
    bench.clock.advance(200)
    await put(bench, severity="critical")
    await write(stream, 1, [2], 20, generation=GENERATION + 200)
    await bench.judge().judge(stream.place)
    [alert] = await Alerts(bench.mongo).page({}, 10, None)
    assert (alert["state"], alert["severity"]) == ("firing", "warning")
    await AlertRules(bench.mongo, bench.clock).put(replace_rule(rule, enabled=False))
    await bench.judge().judge(stream.place)
    await write(stream, 2, [2], 30, generation=GENERATION + 250)
    bench.clock.advance(500)
    await put(bench)
    await write(stream, 3, [0], 40, generation=GENERATION + 700)
    await bench.judge().judge(stream.place)
    assert [d["state"] for d in await Alerts(bench.mongo).page({}, 10, None)] == ["cleared"]


def replace_rule(rule: AlertRule, **more: Any) -> AlertRule:
    return msgspec.structs.replace(rule, **more)


async def test_a_result_whose_number_is_missing_holds_back_those_behind_it_for_a_while(bench: Bench) -> None:
    values = ResultValues(bench.mongo, bench.clock)
    place = ("r", "s", "front/detections")

    async def number(seq: int, at_s: float = NOW_S) -> None:
        fields = {"robot_id": "r", "session_id": "s", "output": place[2], "t_ns": seq, "status": "ok", "values": {}}
        document = fields | {"_id": f"e/{seq}", "feed": {"seq": seq}, "at_ns": round(at_s * S)}
        await bench.mongo.durable("results").insert_one(document)

    async def seqs(after: int | None, since_s: float = 0) -> list[int]:
        return [d["feed"]["seq"] for d in await values.after(place, after, round(since_s * S), 100)]

    assert await seqs(None) == []
    for seq in (0, 1, 3):
        await number(seq)
    assert await seqs(None) == [0, 1]
    assert await seqs(1) == []
    await number(2)
    assert await seqs(1) == [2, 3]
    await number(7)
    assert await seqs(3) == []
    bench.clock.advance(31)
    assert await seqs(3) == [7]
    await number(8, NOW_S + 100)
    assert await seqs(None, since_s=NOW_S + 50) == [8]
