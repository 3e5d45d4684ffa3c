import asyncio
import os
import sys
from pathlib import Path

import pytest

from datamanager.local.spawn import spawn

TIE = "import os, sys; from datamanager.local.spawn import die_with; die_with({parent}); sys.exit(0)"


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_both_outputs_come_in_order_in_one_pipe(tmp_path: Path) -> None:
    code = "import os; os.write(1, b'one\\n'); os.write(2, b'two\\n'); os.write(1, b'three\\n')"
    spawned = await spawn([sys.executable, "-c", code], env={}, cwd=tmp_path)
    assert await spawned.output.read() == b"one\ntwo\nthree\n"
    assert await spawned.process.wait() == 0
    spawned.pipe.close()


async def test_the_environment_and_folder_are_the_ones_given_and_there_is_nothing_to_read(tmp_path: Path) -> None:
    code = "import os, sys; print(sorted(os.environ.keys() - {'LC_CTYPE'}), os.getcwd(), repr(sys.stdin.read()))"
    spawned = await spawn([sys.executable, "-c", code], env={"ONE": "1"}, cwd=tmp_path)
    assert (await spawned.output.read()).decode() == f"['ONE'] {tmp_path} ''\n"
    await spawned.process.wait()
    spawned.pipe.close()


async def test_a_child_leads_its_own_process_group_so_that_ctrl_c_reaches_only_us(tmp_path: Path) -> None:
    spawned = await spawn([sys.executable, "-c", "input()"], env={}, cwd=tmp_path)
    assert os.getpgid(spawned.process.pid) == spawned.process.pid != os.getpgrp()
    spawned.process.kill()
    await spawned.process.wait()
    spawned.pipe.close()


async def test_the_end_of_a_child_is_seen_though_one_of_its_own_still_holds_the_pipe(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen(['sleep', '5']); sys.exit(4)"
    spawned = await spawn([sys.executable, "-c", code], env=dict(os.environ), cwd=tmp_path)
    async with asyncio.timeout(4):
        assert await spawned.process.wait() == 4
    spawned.pipe.close()


async def test_a_program_that_is_not_there_leaves_no_file_open(tmp_path: Path) -> None:
    before = _open_files()
    for _ in range(5):
        with pytest.raises(FileNotFoundError):
            await spawn(["/no/such/program"], env={}, cwd=tmp_path)
    assert _open_files() == before


@pytest.mark.parametrize(("parent", "status"), [("os.getppid()", 0), ("os.getppid() + 1", 127)])
async def test_a_child_whose_parent_died_before_it_was_watched_ends_at_once(parent: str, status: int) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", TIE.format(parent=parent))
    assert await process.wait() == status
