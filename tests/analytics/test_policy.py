"""Analytics are told of new blocks at most once a second and stream, and of the last one in any case."""

from support.analytics import Bench, made_blocks
from support.manual_clock import ManualClock

from datamanager.ingest.analyse import AnalysePolicy
from datamanager.storage.analytics import Analyses
from datamanager.storage.enrichments import Enrichment, Enrichments
from datamanager.storage.jobs import Job


async def test_one_job_a_second_and_stream_and_one_for_what_came_last(bench: Bench) -> None:
    clock = ManualClock()
    rules = Enrichments(bench.mongo, bench.redis)
    policy = AnalysePolicy(rules, Analyses(bench.mongo, clock), clock)
    found: list[Job] = []
    (block,) = made_blocks(("policy", "s", "joints"), 1)
    (other,) = made_blocks(("policy", "s", "joints/anomaly"), 1)
    (foreign,) = made_blocks(("nobody", "s", "joints"), 1)
    await policy.load()
    policy.stored(block, found.append)
    assert found == []  # there is no rule
    await rules.put(Enrichment(name="policy", kind="time_series", robot_id="policy"))
    await policy.load()
    for each in (block, block, other, foreign, block):
        policy.stored(each, found.append)
    assert [job.key for job in found] == ["policy/s/joints"]
    clock.advance(1)
    policy.catch_up()
    policy.catch_up()
    assert len(found) == 2
    clock.advance(0.5)
    policy.stored(block, found.append)
    assert len(found) == 2
    clock.advance(0.5)
    policy.stored(block, found.append)
    assert len(found) == 3
    await rules.delete("policy")
    await policy.load()
    policy.catch_up()
    clock.advance(5)
    policy.stored(block, found.append)
    assert len(found) == 3
