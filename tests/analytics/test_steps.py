"""Steps are done once, as a whole, whoever is killed where: what comes out is what comes out without that."""

from typing import Any

import msgspec
import pytest
from support.analytics import Bench, Killed, Killer, made_blocks, rule

ALL = {
    "windows": {"seconds": 1, "lateness_s": 0},
    "anomaly": {"warm_up": 4, "method": "trees"},
    "learn": {"target": "a", "features": ["b", "c"]},
    "drift": {"channels": ["c"]},
}


async def outcome(bench: Bench, place: tuple[str, str, str]) -> tuple[dict[str, Any], Any]:
    return await bench.results(place), (await bench.checkpoint(place)).state


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
    for at in range(1, counted.calls + 1, 1):
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
        assert msgspec.msgpack.encode(found[1]) == msgspec.msgpack.encode(want[1]), at
