"""Steps are done once, as a whole, whoever is killed where: what comes out is what comes out without that."""

import asyncio
import pickle
from dataclasses import replace
from typing import Any

import pytest
from support.analytics import SECRET, Bench, Killed, Killer, made_blocks, rule
from support.manual_clock import ManualClock

from datamanager.clock import SystemClock
from datamanager.errors import DatamanagerError
from datamanager.inference.online.sealed import dump_models, load_models
from datamanager.storage.enrichments import Enrichments
from datamanager.storage.floors import Floors
from datamanager.storage.follow import begin_at
from datamanager.storage.jobs import JobQueue
from datamanager.storage.sessions import Streams
from datamanager.worker.analytics.analyse import Analyse, AnalyseSweep
from datamanager.worker.analytics.checkpoints import Checkpoint, Checkpoints

ALL = {
    "windows": {"seconds": 1, "lateness_s": 0},
    "anomaly": {"warm_up": 4},
    "learn": {"target": "a", "features": ["b", "c"]},
    "drift": {"channels": ["c"]},
}
TREES = {**ALL, "anomaly": {"warm_up": 4, "method": "trees"}}


async def outcome(bench: Bench, place: tuple[str, str, str]) -> tuple[dict[str, Any], Any]:
    """The results, and the state. Models of river that were loaded may be other bytes for the same: these are as loaded."""
    state = (await bench.checkpoint(place)).state
    for model, name in (("trees", "trees"), ("learner", "model"), ("drift", "detectors")):
        kept = state["models"].get(model)
        for _ in range(0 if kept is None else 2):
            kept[name] = dump_models(load_models(kept[name]))
    return await bench.results(place), state


async def test_new_blocks_become_results(bench: Bench) -> None:
    stream = await bench.stream()
    await stream.write(*made_blocks(stream.place, 8))
    bench.rule = rule(**ALL)
    await bench.run(bench.steps(), stream.place)
    found = await bench.results(stream.place)
    assert {output for output, _, _ in found.values()} == {"x/windows", "x/anomaly", "x/predictions"}
    assert len(found) == 7 + 3 + 7  # windows, scores but for those of the warm-up, predictions: the eighth is not whole
    document = await bench.analyses.get("odd", *stream.place)
    assert document is not None
    assert (document["windows"], document["unwritten"], document["error"]) == (7, False, "")


@pytest.mark.parametrize("after", [False, True])
async def test_killed_anywhere_it_goes_on_as_if_nothing_had_been(bench: Bench, *, after: bool) -> None:
    """Dies at the first call of a store, then at the second, and so on through two rounds of blocks."""
    bench.rule = rule(**ALL)
    plain = await bench.stream()
    counted = Killer(None)
    for first in (0, 6):
        await plain.write(*made_blocks(plain.place, 6, first=first))
        await bench.run(bench.steps(counted), plain.place)
    want = await outcome(bench, plain.place)
    assert counted.calls > 15
    for at in range(1, counted.calls + 1):
        killed = await bench.stream()
        killer = Killer(at, after=after)
        deaths = 0
        for first in (0, 6):
            await killed.write(*made_blocks(killed.place, 6, first=first))
            while True:
                try:
                    await bench.run(bench.steps(killer), killed.place)
                except Killed:
                    deaths += 1
                    continue
                break
        assert deaths == 1
        found = await outcome(bench, killed.place)
        assert found[0] == want[0], at
        assert found[1] == want[1], at


async def test_two_workers_at_one_stream_write_what_one_would(bench: Bench) -> None:
    bench.rule = rule(**ALL)
    plain, both = await bench.stream(), await bench.stream()
    workers = [bench.steps() for _ in range(3)]
    for first in range(0, 12, 2):
        await plain.write(*made_blocks(plain.place, 2, first=first))
        await bench.run(bench.steps(), plain.place)
        await both.write(*made_blocks(both.place, 2, first=first))
        await asyncio.gather(*(bench.run(worker, both.place) for worker in workers))
    assert await outcome(bench, both.place) == await outcome(bench, plain.place)


async def test_how_blocks_came_changes_nothing(bench: Bench) -> None:
    bench.rule = rule(**TREES)
    one, other = await bench.stream(), await bench.stream()
    await one.write(*made_blocks(one.place, 12))
    await bench.run(bench.steps(), one.place)
    for block in made_blocks(other.place, 12):
        await other.write(block)
        await bench.run(bench.steps(), other.place)
    assert await outcome(bench, one.place) == await outcome(bench, other.place)


async def test_a_block_that_was_sent_again_counts_once(bench: Bench) -> None:
    bench.rule = rule(**ALL)
    one, other = await bench.stream(), await bench.stream()
    await one.write(*made_blocks(one.place, 8))
    await other.write(*made_blocks(other.place, 5))
    await bench.run(bench.steps(), other.place)
    await other.write(*made_blocks(other.place, 5, first=3, generation=9))
    for stream in (one, other):
        await bench.run(bench.steps(), stream.place)
    assert await outcome(bench, one.place) == await outcome(bench, other.place)


async def test_a_silent_stream_gives_what_it_held_back_for_late_samples(bench: Bench) -> None:
    clock = ManualClock()
    bench = replace(bench, clock=clock, rule=rule(windows={"seconds": 1, "lateness_s": 3}))
    stream = await bench.stream()
    await stream.write(*made_blocks(stream.place, 5))
    await bench.run(bench.steps(), stream.place)
    assert len(await bench.results(stream.place)) == 1
    await bench.run(bench.steps(), stream.place, settle=True)
    clock.advance(5)
    await bench.run(bench.steps(), stream.place)
    assert len(await bench.results(stream.place)) == 1
    clock.advance(2)
    assert [d["stream"] for d in await bench.analyses.unfinished(5, 10) if d["session_id"] == stream.place[1]] == ["x"]
    await bench.run(bench.steps(), stream.place)
    assert len(await bench.results(stream.place)) == 4


async def test_a_rule_that_is_changed_goes_on_where_it_was(bench: Bench) -> None:
    stream = await bench.stream()
    bench.rule = rule(windows={"seconds": 1, "lateness_s": 0, "functions": ["mean"]})
    await stream.write(*made_blocks(stream.place, 4))
    await bench.run(bench.steps(), stream.place)
    assert len(await bench.results(stream.place)) == 3
    bench.rule = rule(windows={"seconds": 1, "lateness_s": 0, "functions": ["max"]})
    await stream.write(*made_blocks(stream.place, 3, first=4))
    await bench.run(bench.steps(), stream.place)
    document = await bench.analyses.get("odd", *stream.place)
    assert document is not None
    assert document["windows"] == 2


async def test_a_stream_with_too_many_channels_is_said_once_and_left(bench: Bench) -> None:
    stream = await bench.stream()
    bench.rule = rule(windows={"seconds": 1})
    blocks = made_blocks(stream.place, 1)
    await stream.write(*blocks)
    from datamanager.worker.analytics import columns  # noqa: PLC0415  # its limit is made small

    most, columns.MAX_CHANNELS = columns.MAX_CHANNELS, 2
    try:
        assert not await bench.steps().step(bench.rule, stream.place)
    finally:
        columns.MAX_CHANNELS = most
    document = await bench.analyses.get("odd", *stream.place)
    assert document is not None
    assert "3 channels" in document["error"]
    assert not await bench.steps().step(bench.rule, stream.place)
    bench.rule = rule(windows={"seconds": 1, "lateness_s": 0})  # changed, it is tried again
    await stream.write(*made_blocks(stream.place, 2, first=1))
    await bench.run(bench.steps(), stream.place)
    assert len(await bench.results(stream.place)) == 2


async def test_a_checkpoint_that_others_made_is_not_read(bench: Bench) -> None:
    good = Checkpoint(position=begin_at(1), state={})
    await bench.checkpoints.put("processed/t/one", good)
    assert (await bench.checkpoints.get("processed/t/one")).position == begin_at(1)
    data = await bench.s3.get("processed/t/one")
    await bench.s3.put("processed/t/other", data)  # of another stream
    await bench.s3.put("processed/t/changed", data[:-1] + bytes([data[-1] ^ 1]))
    await bench.s3.put("processed/t/short", data[:20])
    await bench.s3.put("processed/t/empty", b"")
    await Checkpoints(bench.s3, b"another secret").put("processed/t/foreign", good)
    for name in ("other", "changed", "short", "empty", "foreign"):
        with pytest.raises(DatamanagerError, match="signature"):
            await bench.checkpoints.get(f"processed/t/{name}")
    assert len(SECRET) == 32


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("this runs",))


@pytest.mark.parametrize("thing", [Evil(), print, [1].append, object.__subclasses__])
def test_a_pickle_of_anything_but_models_is_not_read(thing: Any) -> None:
    with pytest.raises(DatamanagerError, match="no model"):
        load_models(pickle.dumps(thing))


async def test_what_redis_forgot_is_found(bench: Bench) -> None:
    """Blocks of which no job tells are looked at by a sweep, and the session then is left alone until somebody writes."""
    rules = Enrichments(bench.mongo, bench.redis)
    bench.rule = rule(windows={"seconds": 1, "lateness_s": 0})
    await rules.put(bench.rule)
    stream = await bench.stream()
    floors = Floors(bench.mongo)
    floor_id, _ = await floors.enter(*stream.place[:2])
    await stream.write(*made_blocks(stream.place, 4))
    await bench.redis.client.flushdb()
    queue = JobQueue(bench.redis, SystemClock(), consumer="test")
    parts = (bench.analyses, rules, Streams(bench.mongo), floors, queue, SystemClock())
    sweep = AnalyseSweep(*parts, interval_s=0)
    analyse = Analyse(bench.steps(), rules, queue)

    async def turn() -> int:
        await sweep.sweep()
        taken = await queue.take(100, block_s=0)
        for each in taken:
            await analyse(each.job)
        await queue.done(taken)
        return sum(each.job.key == "/".join(stream.place) for each in taken)

    assert await turn() == 1
    assert len(await bench.results(stream.place)) == 3
    await floors.leave({floor_id: ("/".join(stream.place[:2]), 2)})
    assert await turn() == 1  # it is not known yet that nobody writes
    assert await turn() == 0
    due = [place async for place in bench.analyses.due_sessions(0, 100)]
    assert stream.place[:2] not in [(robot, session) for robot, session, _ in due]
    await floors.enter(*stream.place[:2])
    due = [place async for place in bench.analyses.due_sessions(0, 100)]
    assert stream.place[:2] in [(robot, session) for robot, session, _ in due]
    await rules.delete(bench.rule.name)
