"""The durability contract under load: fifty kills, nothing acked is lost, nothing is doubled."""

import os
import sys
from pathlib import Path

import pytest
from support.killing import run_under_hangs, run_under_kills, running_up

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("seed", [int(seed) for seed in os.environ.get("SEEDS", "1").split(",")])
async def test_nothing_is_lost_or_doubled_over_fifty_kills_of_any_process_in_any_order(
    tmp_path: Path, seed: int
) -> None:
    with running_up(tmp_path) as up:
        kills = await run_under_kills(up, int(os.environ.get("KILLS", "50")), seed)
    sys.__stderr__.write(f"\nseed {seed}\n{kills.table()}\n")


async def test_nothing_is_lost_or_doubled_when_servers_hang_for_longer_than_anybody_waits_and_then_go_on(
    tmp_path: Path,
) -> None:
    with running_up(tmp_path) as up:
        hangs = await run_under_hangs(up, [(["mongod"], 75), (["weed"], 45), (["redis-server"], 20), (["serve"], 10)])
    sys.__stderr__.write(f"\n{hangs.table()}\n")
