"""Which frames models are asked about, decided by a real server."""

import asyncio
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from scheduling.conftest import Tally
from support.frames import jpeg
from support.image_samples import make_samples
from support.processes import served
from support.raw_robot import T0, RawRobot
from support.uploading import RawUploader
from support.waiting import eventually

from datamanager.clock import SystemClock
from datamanager.config import Config
from datamanager.local.binaries import REDIS, find_program
from datamanager.local.ports import HeldPorts
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.inference_job import InferenceJob, TakenInference
from datamanager.storage.inference_queue import InferenceQueue, open_inference_queue
from datamanager.storage.mongo import Mongo, open_mongo
from datamanager.storage.redis import Redis, open_redis
from datamanager.storage.unenriched import Unenriched
from datamanager.worker.enrich.sweep import EnrichSweep

PICTURE = jpeg(64, 48)
FRAME_NS = 33_333_333
SWEPT_S = 0.3

RULES = [
    Enrichment(name="all", model="m", stream="all*"),
    Enrichment(name="must.1", model="m", stream="must*", must=True, urgency="high"),
    Enrichment(name="some", model="m", stream="some", max_fps=10),
    Enrichment(name="deep", model="m", stream="all", role="depth"),
    Enrichment(name="both", model="other", stream="must-and", urgency="emergency"),
    Enrichment(name="off", model="m", must=True, enabled=False),
    Enrichment(name="numbers", kind="time_series", must=True),
]


@dataclass
class Stage:
    """A server, its stores, and what a worker would have got so far."""

    url: str
    mongo: Mongo
    redis: Redis
    queue: InferenceQueue
    jobs: list[InferenceJob] = field(default_factory=list)

    async def take(self) -> None:
        """Takes whatever is queued, until cancelled."""
        while True:
            taken = await self.queue.take(100, 1.0)
            self.jobs += [t.job for t in taken]
            await self.queue.done(taken)

    def asked(self, session: str, **of: Any) -> list[InferenceJob]:
        found = [j for j in self.jobs if j.session_id == session and all(getattr(j, k) == v for k, v in of.items())]
        return sorted(found, key=lambda job: job.t_ns)

    async def rules(self, rules: Sequence[Enrichment]) -> None:
        """Puts rules in place that name models which nobody has."""
        store = Enrichments(self.mongo, self.redis)
        now = await self.mongo.durable("enrichments").find_one({"_id": "rules"}) or {"revision": 0}
        document = {"revision": now["revision"] + 1, "rules": [msgspec.to_builtins(rule) for rule in rules]}
        await self.mongo.durable("enrichments").replace_one({"_id": "rules"}, document, upsert=True)
        await store.notices.tell()
        await asyncio.sleep(1.2)  # by then the server has looked, whether it was told or not

    async def documents(self, session: str) -> list[dict[str, Any]]:
        return await self.mongo.durable("frames_metadata").find({"session_id": session}).sort("t_ns", 1).to_list()

    async def shed(self, session: str, stream: str, enrichment: str) -> dict[str, Any]:
        document = await self.mongo.durable("streams").find_one({"_id": f"raw/{session}/{stream}"}) or {}
        return dict(document.get("enrichment", {}).get(enrichment, {}))


@asynccontextmanager
async def staged(url: str, config: Config) -> AsyncIterator[Stage]:
    async with (
        open_mongo(config.mongo) as mongo,
        open_redis(config.redis) as redis,
        open_inference_queue(redis, SystemClock(), Tally(), consumer="test", max_waiting=10_000) as queue,
    ):
        yield Stage(url, mongo, redis, queue)


@pytest.fixture(scope="module")
async def stage(new_config: Callable[[], Config], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    config = new_config()
    with served(config, log=tmp_path_factory.mktemp("policy") / "serve.log") as url:
        async with staged(url, config) as stage:
            await stage.rules(RULES)
            taking = asyncio.create_task(stage.take())
            yield stage
            taking.cancel()
            await asyncio.wait({taking})


async def send(robot: RawRobot, stream: str, numbers: Sequence[int], **more: Any) -> None:
    """Sends frames, 30 a second by their times, and waits for the ack of the last."""
    for n in numbers:
        payload = {"data": more.get("data", PICTURE), "frame_number": n}
        await robot.send(
            n, payload, stream=stream, data_type="images", t_ns=T0 + n * FRAME_NS, redelivery=more.get("again", False)
        )
    await robot.until(lambda: robot.acked.get(stream, -1) >= numbers[-1])


async def test_each_frame_of_a_stream_that_a_rule_names_is_asked_about_once(stage: Stage) -> None:
    async with RawRobot(stage.url, "s1") as robot:
        await robot.hello()
        await send(robot, "all", range(20))
        await send(robot, "all", range(20), again=True)
        await send(robot, "all", [20])
        await eventually(lambda: _has(stage, "s1", 21))
    jobs, documents = stage.asked("s1"), await stage.documents("s1")
    assert [j.frame_id for j in jobs] == [d["_id"] for d in documents]
    assert [j.key for j in jobs] == [d["keys"]["original"] for d in documents]
    assert {j.size_bytes for j in jobs} == {len(PICTURE)}
    assert {(j.enrichment, j.model, j.urgency, j.must) for j in jobs} == {("all", "m", "normal", False)}
    assert not any("enrich" in d for d in documents)
    for before, job in itertools.pairwise(jobs):  # S3 may have had them in another order
        assert job.previous is None or job.previous.t_ns <= before.t_ns
    assert sum(j.previous is not None for j in jobs) > 10


async def test_frames_one_by_one_name_the_one_before(stage: Stage) -> None:
    async with RawRobot(stage.url, "s2") as robot:
        await robot.hello()
        for n in range(4):
            await send(robot, "all", [n])
        await eventually(lambda: _has(stage, "s2", 4))
    jobs = stage.asked("s2")
    assert jobs[0].previous is None
    for before, job in itertools.pairwise(jobs):
        assert job.previous is not None
        assert (job.previous.frame_id, job.previous.key, job.previous.t_ns) == (
            before.frame_id,
            before.key,
            before.t_ns,
        )


async def test_what_must_be_looked_at_says_so_in_its_document_when_it_is_acked(stage: Stage) -> None:
    async with RawRobot(stage.url, "s3") as robot:
        await robot.hello()
        for n in range(3):
            await send(robot, "must-and", [n])
            documents = await stage.documents("s3")
            assert len(documents) == n + 1
            assert all(d["enrich"] == {"pending": ["must.1"], "since_ns": d["arrived_ns"]} for d in documents)
        await eventually(lambda: _has(stage, "s3", 6))
    assert [(j.must, j.urgency) for j in stage.asked("s3", enrichment="must.1")] == [(True, "high")] * 3
    assert [(j.must, j.urgency) for j in stage.asked("s3", enrichment="both")] == [(False, "emergency")] * 3


async def test_nothing_is_asked_or_noted_where_no_rule_matches(stage: Stage) -> None:
    async with RawRobot(stage.url, "s4") as robot:
        await robot.hello()
        await send(robot, "other", range(3))
        await send(robot, "deep/all", range(3))
        await robot.send(0, {"value": 1}, stream="must-numbers")
        await robot.send(0, {"data": b"text"}, stream="must-file", data_type="file")
        await send(robot, "all-last", [0])
        await eventually(lambda: _has(stage, "s4", 1))
    assert [j.stream for j in stage.asked("s4")] == ["all-last"]
    documents = await stage.documents("s4") + await stage.mongo.durable("records").find({"session_id": "s4"}).to_list()
    assert len(documents) == 8
    assert not any("enrich" in d for d in documents)


async def test_roles_are_told_apart(stage: Stage) -> None:
    samples = make_samples()
    depth = next(data for name, data in samples.items() if "depth" in name and name.endswith("png"))
    async with RawRobot(stage.url, "s5") as robot:
        await robot.hello()
        await send(robot, "all", [0], data=depth)
        await send(robot, "all", [1])
        await eventually(lambda: _has(stage, "s5", 2))
    documents = {d["_id"]: d for d in await stage.documents("s5")}
    assert {(j.enrichment, documents[j.frame_id]["role"]) for j in stage.asked("s5")} == {
        ("deep", "depth"),
        ("all", "rgb"),
    }


async def test_no_more_frames_a_second_are_asked_about_than_the_rule_wants(stage: Stage) -> None:
    async with RawRobot(stage.url, "s6") as robot:
        await robot.hello()
        for n in range(60):
            await send(robot, "some", [n])
        await send(robot, "all", [0])
        await eventually(lambda: _has(stage, "s6", 1, stream="all"))
    times = [j.t_ns for j in stage.asked("s6", stream="some")]
    assert len(times) == 20
    assert {round((b - a) / FRAME_NS) for a, b in itertools.pairwise(times)} == {3}
    assert await stage.shed("s6", "some", "some") == {}


async def test_frames_over_http_and_uploads_are_looked_at_too(stage: Stage) -> None:
    message = {"robot_id": "raw", "session_id": "s7", "stream": "must", "seq": 1, "data_type": "images", "t_ns": T0}
    async with httpx.AsyncClient(base_url=stage.url, trust_env=False, timeout=30) as http:
        answer = await http.post(
            "/api/v1/ingest",
            content=msgspec.msgpack.encode(message | {"payload": {"data": PICTURE}}),
            headers={"content-type": "application/msgpack"},
        )
    assert answer.json()["accepted"] == 1, answer.text
    uploader = RawUploader(stage.url, "s7", robot="raw")
    await asyncio.to_thread(uploader.upload, PICTURE, stream="must-up", kind="images")
    await eventually(lambda: _has(stage, "s7", 2))
    assert {j.stream for j in stage.asked("s7", must=True)} == {"must", "must-up"}
    assert [d["enrich"]["pending"] for d in await stage.documents("s7")] == [["must.1"]] * 2


async def test_rules_hold_for_what_comes_once_they_are_there_and_no_longer_than_they_are(stage: Stage) -> None:
    async with RawRobot(stage.url, "s8") as robot:
        await robot.hello()
        await send(robot, "new", [0])
        await stage.rules([*RULES, Enrichment(name="new", model="m", stream="new", must=True)])
        await send(robot, "new", [1])
        await stage.rules(RULES)
        await send(robot, "new", [2])
        await send(robot, "all", [0])
        await eventually(lambda: _has(stage, "s8", 1, stream="all"))
    assert [j.t_ns for j in stage.asked("s8", stream="new")] == [T0 + FRAME_NS]
    assert ["enrich" in d for d in await stage.documents("s8") if d["stream"] == "new"] == [False, True, False]


async def test_a_wipe_of_redis_is_survived(stage: Stage) -> None:
    async with RawRobot(stage.url, "s9") as robot:
        await robot.hello()
        await send(robot, "all", [0])
        await eventually(lambda: _has(stage, "s9", 1))
        await stage.redis.client.flushdb()
        await stage.redis.client.script_flush()
        await send(robot, "all", [1])
        await eventually(lambda: _has(stage, "s9", 2))


@contextmanager
def a_redis(program: Path, port: int, folder: Path) -> Iterator[None]:
    """A Redis of this test's own, which it may kill."""
    command = [str(program), "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603  # our own server
        try:
            yield
        finally:
            process.kill()


async def test_while_redis_is_away_acks_go_on_and_later_all_that_must_be_looked_at_is(
    new_config: Callable[[], Config], tmp_path: Path
) -> None:
    with HeldPorts() as held:
        port = held.choose()
        config = new_config()
        config = replace(config, redis=replace(config.redis, url=f"redis://127.0.0.1:{port}/0"))
        program = await find_program(REDIS)
        with a_redis(program, port, tmp_path), served(config, log=tmp_path / "serve.log") as url:
            async with staged(url, config) as stage, RawRobot(url, "away") as robot:
                await stage.rules(RULES)
                await robot.hello()
                await send(robot, "must", range(3))
                await send(robot, "all", range(3))
                await _behind(stage, robot)
                await _away(stage, robot, config, tmp_path)


async def _behind(stage: Stage, robot: RawRobot) -> None:
    """Nobody takes what is queued: ever fewer frames are let in, but for those that must be looked at."""
    n = 3
    until_s = time.monotonic() + 15
    while (await stage.shed("away", "all", "all")).get("shed", 0) < 10:
        await send(robot, "all", [n])
        await send(robot, "must", [n])
        n += 1
        assert time.monotonic() < until_s
    await asyncio.sleep(2.2)  # what was counted is written by then
    taken = await stage.queue.take(10_000, 0)
    assert sum(t.job.must for t in taken) == n
    counts = await stage.shed("away", "all", "all")
    assert counts["shed"] == counts["shed_by"]["rate"] == n - sum(not t.job.must for t in taken)
    assert await stage.shed("away", "must", "must%2E1") == {}
    await stage.queue.done(taken)


async def _away(stage: Stage, robot: RawRobot, config: Config, folder: Path) -> None:
    await stage.redis.client.shutdown(nosave=True)
    before = len(await stage.documents("away"))
    began_s = time.monotonic()
    await send(robot, "must", range(5000, 5040))
    await send(robot, "must-and", range(5000, 5040))
    assert time.monotonic() - began_s < 10
    documents = (await stage.documents("away"))[before:]
    assert len(documents) == 80

    async def counted() -> bool:
        return await stage.shed("away", "must-and", "both") == {"shed": 40, "shed_by": {"lost": 40}}

    await eventually(counted)
    port = urlsplit(config.redis.url).port or 0
    with a_redis(await find_program(REDIS), port, folder):
        async with staged(stage.url, config) as again:
            await eventually(lambda: _answers(again.redis))
            taken: list[TakenInference] = []
            await _sweep(again, taken)
            must = await again.queue.take(10_000, 1)
            found = {(t.job.stream, t.job.t_ns) for t in must}
            assert found >= {(s, T0 + n * FRAME_NS) for n in range(5000, 5040) for s in ("must", "must-and")}
            assert {(t.job.enrichment, t.job.must) for t in must} == {("must.1", True)}
            assert not taken
            await send(robot, "must", [9000])
            await eventually(lambda: _queued(again))


async def _sweep(stage: Stage, taken: list[TakenInference]) -> None:
    async def receive(found: Sequence[TakenInference]) -> None:
        taken.extend(found)

    async def give_up(found: TakenInference, why: str) -> None:
        pytest.fail(f"{found} is given up: {why}")

    clock = SystemClock()
    rules = Enrichments(stage.mongo, stage.redis)
    unenriched = Unenriched(stage.mongo, clock)
    await asyncio.sleep(SWEPT_S)
    sweep = EnrichSweep(
        stage.queue, unenriched, rules, receive, give_up, clock, interval_s=SWEPT_S, job_timeout_s=SWEPT_S
    )
    await sweep.sweep()


async def _has(stage: Stage, session: str, count: int, **of: Any) -> bool:
    return len(stage.asked(session, **of)) >= count


async def _answers(redis: Redis) -> bool:
    try:
        await redis.ping()
    except Exception:  # noqa: BLE001  # not yet
        return False
    return True


async def _queued(stage: Stage) -> bool:
    return any(t.job.t_ns == T0 + 9000 * FRAME_NS for t in await stage.queue.take(100, 0.1))
