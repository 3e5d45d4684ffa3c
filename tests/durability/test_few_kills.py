"""The durability contract in short: each process is killed once under load. `make soak` does it at length."""

from pathlib import Path

from support.killing import VICTIMS, run_under_kills, running_up


async def test_nothing_is_lost_or_doubled_when_every_process_is_killed_once(tmp_path: Path) -> None:
    with running_up(tmp_path) as up:
        kills = await run_under_kills(up, len(VICTIMS), seed=7)
    assert kills.by_victim.keys() == set(VICTIMS)
